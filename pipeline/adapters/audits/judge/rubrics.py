"""Rubrics: what a judge is asked, with what each score means; one YAML file each in the prompts folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from pipeline.adapters.prompt_files import TemplateFolder
from pipeline.adapters.shipped import shipped
from pipeline.adapters.yaml_file import load_yaml
from pipeline.contracts.audit import Measure
from pipeline.values.errors import ManifestError
from pipeline.values.ids import content_key
from pipeline.values.records import Record

SCORES = (1, 2, 3, 4, 5)

MEAN = "mean"

SYSTEM, USER, RETRY = "judge.system", "judge.user", "retry.user"


class Rubric(Record):
    """One thing that dialogues are scored on.

    Attributes:
        id: The name of its file.
        summary: For people who read the measure.
        asks: For the judge.
        anchors: What each score means, from 1 to 5.
        needs_media: It says nothing of dialogues that are typed from end to end.
        limit: The lowest mean score that passes; None where it is only reported.
    """

    id: str
    summary: Annotated[str, Field(min_length=1)]
    asks: Annotated[str, Field(min_length=1)]
    anchors: Mapping[int, str]
    needs_media: bool = False
    limit: Annotated[float, Field(ge=1, le=5)] | None = None


class _WrittenRubric(Record):
    summary: Annotated[str, Field(min_length=1)]
    asks: Annotated[str, Field(min_length=1)]
    anchors: Mapping[int, Annotated[str, Field(min_length=1)]]
    needs_media: bool = False
    limit: Annotated[float, Field(ge=1, le=5)] | None = None

    @field_validator("anchors")
    @classmethod
    def _has_all_scores(cls, anchors: Mapping[int, str]) -> Mapping[int, str]:
        if sorted(anchors) != list(SCORES):
            raise ValueError("anchors: say what each of 1, 2, 3, 4 and 5 means, and nothing else")
        return dict(sorted(anchors.items()))


class RubricBook:
    """The judge's part of a prompts folder.

    Args:
        folder: None takes the shipped one.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder or shipped("prompts")
        self._templates = TemplateFolder(self._folder)

    def rubrics(self, names: Sequence[str]) -> list[Rubric]:
        """Return rubrics by name, in order.

        Raises:
            ManifestError: a file is missing or wrong; the text names it and its line.
        """
        return [self._rubric(name) for name in names]

    def text(self, template: str, **values: Any) -> str:
        """Fill a template; see ``PromptBook``."""
        return self._templates.text(template, **values)

    def key(self, names: Sequence[str]) -> str:
        """Hash of all that a judge is told of these rubrics; limits and summaries are not."""
        told = [rubric.model_dump(mode="json", exclude={"limit", "summary"}) for rubric in self.rubrics(names)]
        return content_key(self._templates.key(SYSTEM, USER, RETRY), told)

    def _rubric(self, name: str) -> Rubric:
        path = self._folder / "judge" / f"{name}.yaml"
        if not path.is_file():
            known = ", ".join(sorted(found.stem for found in path.parent.glob("*.yaml"))) or "none"
            raise ManifestError(f"{path}: there is no such rubric; there are {known}")
        return Rubric(id=name, **load_yaml(path, _WrittenRubric).model_dump())


def measure_of(rubric: Rubric | None) -> Measure:
    """Return the measure of a rubric; for None, that of the mean over all that apply."""
    if rubric is None:
        summary = "Mean of an LLM's scores over all rubrics that apply to the dialogue."
        return Measure(name=f"dialogue.judge_{MEAN}", unit="of 5", better="higher", summary=summary)
    return Measure(
        name=f"dialogue.judge_{rubric.id}", unit="of 5", better="higher", limit=rubric.limit, summary=rubric.summary
    )
