"""Which dialogues of several corpora a merge takes, and what they are called in it."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.contracts.storage import Row
from pipeline.values.errors import CorpusError
from pipeline.values.ids import ID_DIGITS, content_key
from pipeline.values.merging import OnConflict

RANKS = ("dialogues", "rejected", "failed")
"""Tables whose rows are dialogues: of two corpora, the one that has kept a dialogue says what becomes of it."""
_MEDIUM = {"images": "image", "music": "audio", "speech": "audio"}


_SUMS = ("made", "failed", "seconds")
"""Numbers of a renderer's facts that count what it has done; others are settings."""
_PRICES = "price_usd_per_million"
"""Prices by model stay prices: of one that has changed, the first corpus's."""


@dataclass
class Resolution:
    """What a merge does with dialogues that stand in several corpora; all others are taken as they are.

    Attributes:
        dropped: By corpus, ids that it does not bring.
        renamed: By corpus, new ids by old ones.
        counts: By corpus: ``same`` content as another's, ``conflicts`` left out, ``renamed``, and ``lost`` elsewhere:
            rejected or failed here and in another corpus, too, or kept there.
    """

    dropped: dict[int, set[str]] = field(default_factory=dict)
    renamed: dict[int, dict[str, str]] = field(default_factory=dict)
    counts: dict[int, Counter[str]] = field(default_factory=dict)

    def drop(self, corpus: int, name: str, why: str) -> None:
        """Leave a dialogue out."""
        self.dropped.setdefault(corpus, set()).add(name)
        self.counts.setdefault(corpus, Counter())[why] += 1

    def rename(self, corpus: int, name: str, new: str) -> None:
        """Take a dialogue under another id."""
        self.renamed.setdefault(corpus, {})[name] = new
        self.counts.setdefault(corpus, Counter())["renamed"] += 1


class MergeIndex:
    """All dialogues of some corpora, in the order in which they are merged: 19 bytes each, and what sorting takes.

    Args:
        names: What error texts call the corpora.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._ids = array("Q")
        self._contents = array("Q")
        self._corpora = array("H")
        self._ranks = array("B")

    def add(self, corpus: int, table: str, name: str, content: str) -> None:
        """Take a dialogue.

        Args:
            content: Key of what it says, shows and sounds; of one that was lost it does not matter.

        Raises:
            CorpusError: its id is not one of ours.
        """
        try:
            number = int(name, 16) if len(name) == ID_DIGITS else -1
        except ValueError:
            number = -1
        if number < 0:
            raise CorpusError(
                f"{self._names[corpus]}: {name!r:.40} is no id of a dialogue; `anyinstruct import` it first"
            )
        self._ids.append(number)
        self._contents.append(int(content[:ID_DIGITS], 16))
        self._corpora.append(corpus)
        self._ranks.append(RANKS.index(table))

    def resolve(self, on_conflict: OnConflict) -> Resolution:
        """Decide about ids that stand more than once.

        Raises:
            CorpusError: one corpus has an id twice, or two have it with other content and that is to be an error.
        """
        import numpy as np

        ids, ranks = np.array(self._ids, np.uint64), np.array(self._ranks, np.uint8)
        order = np.lexsort((np.arange(len(ids)), ranks, ids))
        ordered = ids[order]
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1]))) if len(ids) else np.empty(0, int)
        ends = np.append(starts[1:], len(ids))
        found = Resolution()
        for start, end in zip(starts[ends - starts > 1], ends[ends - starts > 1], strict=True):
            self._resolve_one([int(place) for place in order[start:end]], on_conflict, found)
        return found

    def _resolve_one(self, places: list[int], on_conflict: OnConflict, found: Resolution) -> None:
        name = f"{self._ids[places[0]]:0{ID_DIGITS}x}"
        times = Counter(self._corpora[place] for place in places)
        twice = next((corpus for corpus, count in times.items() if count > 1), None)
        if twice is not None:
            raise CorpusError(f"{self._names[twice]}: has dialogue {name} twice; run `anyinstruct verify` on it")
        first = places[0]
        taken = {self._contents[first]}
        for place in places[1:]:
            corpus, content = self._corpora[place], self._contents[place]
            if self._ranks[place]:
                found.drop(corpus, name, "lost")
            elif content in taken:
                found.drop(corpus, name, "same")
            elif on_conflict is OnConflict.ERROR:
                both = f"{self._names[self._corpora[first]]} and {self._names[corpus]}"
                raise CorpusError(
                    f"dialogue {name}: {both} have it with other content; say what to do about such dialogues: "
                    "--on-conflict keep-first, or --on-conflict rename"
                )
            elif on_conflict is OnConflict.KEEP_FIRST:
                found.drop(corpus, name, "conflicts")
            else:
                taken.add(content)
                # By its content, so that the same dialogue gets the same new id in whatever order corpora are merged.
                found.rename(corpus, name, content_key("merged", name, f"{content:0{ID_DIGITS}x}"))


def rename_row(table: str, row: Row, new: str) -> Row:
    """Return a row of a published table as that of a dialogue of another id."""
    if table in RANKS:
        old = row["id"]
        turns = [
            {**turn, "parts": [{**part, "asset": _rename(part.get("asset"), old, new)} for part in turn["parts"]]}
            for turn in row.get("turns") or ()
        ]
        return {**row, "id": new, **({"turns": turns} if "turns" in row else {})}
    old, column = row["dialogue_id"], _MEDIUM[table]
    name = _rename(row["id"], old, new)
    extension = str(row[column]["path"]).rpartition(".")[2]
    return {
        **row,
        "id": name,
        "dialogue_id": new,
        "part_id": _rename(row["part_id"], old, new),
        "edited_from": _rename(row.get("edited_from"), old, new),
        column: {**row[column], "path": f"{name}.{extension}"},
    }


def _rename(name: str | None, old: str, new: str) -> str | None:
    """Return the name of a part or an asset, which begins with its dialogue's id."""
    if name is None:
        return None
    return new + name.removeprefix(old) if name.startswith(f"{old}-") else f"{new}-{content_key(name)}"


def merge_facts(some: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what several ledgers say of one renderer or writer: tables and lists joined, other values side by side."""
    merged: dict[str, Any] = {}
    for key in dict.fromkeys(key for facts in some for key in facts):
        everything = [facts[key] for facts in some if key in facts]
        values = [value for place, value in enumerate(everything) if value not in everything[:place]]
        if key in _SUMS:
            merged[key] = sum(everything)
        elif len(values) == 1:
            merged[key] = values[0]
        elif key == _PRICES:
            merged[key] = {model: price for table in reversed(everything) for model, price in table.items()}
        elif all(isinstance(value, bool) for value in values):
            merged[key] = True
        elif all(isinstance(value, Mapping) for value in values):
            merged[key] = merge_facts(values)
        elif all(isinstance(value, list | tuple) for value in values):
            merged[key] = [one for value in values for one in value]
        else:
            merged[key] = " and ".join(map(str, values))
    return merged
