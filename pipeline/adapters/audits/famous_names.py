"""Names of living artists, franchises, brands and works, out of a list that is reviewed by people.

A picture "in the style of" somebody alive, or a tune that is somebody's song, is what nobody should train on by
accident. So descriptions have a limit of 0; what is merely talked about is counted and no more.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pipeline.adapters.audits.wordlists import compile_names
from pipeline.adapters.yaml_file import load_yaml
from pipeline.contracts.audit import AuditItem, AuditOptions, Reading, Readings
from pipeline.contracts.plain_audit import OneByOne, PlainAudit, count_measure
from pipeline.values.utterances import Utterance, list_utterances

NAMES = Path(__file__).with_name("famous_names.yaml")


class FamousNames(BaseModel):
    """The file of names, by what they are of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    artists: tuple[str, ...]
    franchises: tuple[str, ...]
    brands: tuple[str, ...]
    works: tuple[str, ...]


class FamousNamesOptions(AuditOptions):
    """What a user makes of the list.

    Attributes:
        add: Names that count as well.
        allow: Names that do not count, written as the list has them.
    """

    add: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()


MEASURES = (
    count_measure("famous_described", "Famous names and works in descriptions of pictures and music."),
    count_measure("famous_said", "Famous names and works in text and speech.", limit=None),
)


class FamousNameSearch:
    """Finds the names of the list."""

    def __init__(self, options: FamousNamesOptions) -> None:
        listed = load_yaml(NAMES, FamousNames)
        names = {*listed.artists, *listed.franchises, *listed.brands, *listed.works, *options.add}
        self._pattern = compile_names(names - set(options.allow))

    def read(self, item: AuditItem) -> Readings:
        """Count in descriptions and in what is said."""
        parts = list_utterances(item.row)
        return {
            "dialogue.famous_described": self._count([part for part in parts if not part.is_said]),
            "dialogue.famous_said": self._count([part for part in parts if part.is_said]),
        }

    def find(self, text: str) -> list[str]:
        """Return the names that a text holds, each once, as they stand."""
        return list(dict.fromkeys(hit[0] for hit in self._pattern.finditer(text)))

    def _count(self, parts: list[Utterance]) -> Reading:
        found = [(part.place, name) for part in parts for name in self.find(part.text)]
        detail = "; ".join(f"part {place} names {name!r:.60}" for place, name in found)
        return Reading(value=float(len(found)), detail=detail)


def _open(options: FamousNamesOptions) -> OneByOne:
    return OneByOne(FamousNameSearch(options).read)


PLUGIN = PlainAudit("famous-names", "1", MEASURES, _open, FamousNamesOptions)
