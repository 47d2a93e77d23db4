"""The mix of a corpus: which modalities go in and out, in which shares, and the shape of their dialogues."""

from __future__ import annotations

from collections.abc import Mapping
from operator import not_
from typing import Annotated

from pydantic import Field, model_validator

from pipeline.values.identifiers import Identifier
from pipeline.values.records import Modality
from pipeline.values.section import Section

Range = tuple[int, int]


class Cell(Section):
    """One entry of the mix: a set of modalities in, a set out, and the shape of the dialogue.

    Attributes:
        weight: Share of the corpus, relative to the other cells.
        rounds: Fewest and most user turns.
        images, music: Fewest and most pieces that a role with that modality contributes to the dialogue.
        features: By name, which share of the cell's dialogues has a requirement of that feature; a dialogue is asked
            for one of them at most. The rest has none of these; features that are not named come by chance. With
            ``edit`` among them, dialogues say which picture is a changed version of which.
    """

    name: Identifier
    weight: float = Field(1.0, gt=0)
    gives: tuple[Modality, ...] = Field(min_length=1)
    answers: tuple[Modality, ...] = Field(min_length=1)
    rounds: Range = (1, 3)
    images: Range = (1, 1)
    music: Range = (1, 1)
    # Left out where unstated, so that a cell without it is written as it was before there was such a key.
    features: Mapping[str, Annotated[float, Field(ge=0, le=1)]] = Field(default={}, exclude_if=not_)

    @model_validator(mode="after")
    def _is_possible(self) -> Cell:
        for key, lowest, highest in (("rounds", 1, 8), ("images", 1, 8), ("music", 1, 4)):
            low, high = getattr(self, key)
            if not lowest <= low <= high <= highest:
                raise ValueError(f"{key} [{low}, {high}]: must rise and lie within {lowest} to {highest}")
        for key in ("gives", "answers"):
            kinds = getattr(self, key)
            if len(set(kinds)) != len(kinds):
                raise ValueError(f"{key} names a modality twice")
            if {Modality.TEXT, Modality.SPEECH} <= set(kinds) and self.rounds[0] < 2:
                raise ValueError(f"{key} mixes text and speech, which needs two turns: rounds must start at 2 or more")
        # Shares such as 0.7, 0.2 and 0.1 add up to a little more than 1.
        if (total := sum(self.features.values())) > 1 + 1e-9:
            raise ValueError(f"features add up to {total:g}, and a dialogue is asked for one of them: at most 1")
        return self
