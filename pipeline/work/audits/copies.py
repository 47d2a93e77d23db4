"""Which dialogues say what another one says in nearly the same words, and how alike the whole corpus is.

The comparison is that of the screen (:mod:`pipeline.work.twins`), over descriptions too. Memory grows by 1.7 kB a
dialogue, time with their number: 100,000 take 170 MB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pipeline.contracts.audit import AuditItem, AuditOptions, Measure, Reading, Readings, Sketch
from pipeline.contracts.plain_audit import PlainAudit
from pipeline.values.ids import ID_DIGITS, content_key, normalise_text
from pipeline.values.screen import NEAR_DUPLICATES
from pipeline.values.utterances import list_utterances
from pipeline.work.growing_rows import GrowingRows
from pipeline.work.twins import Sketched, TwinIndex, sketch_texts

_BATCH = 4096


class CopiesOptions(AuditOptions):
    """From which share of common shingles on a dialogue is a copy."""

    threshold: float = Field(NEAR_DUPLICATES, gt=0, le=1)


MEASURES = (
    Measure(
        name="dialogue.copied_share",
        unit="share",
        better="lower",
        limit=0.0,
        summary="Share of words in common with the dialogue that it is a copy of; 0 where it is of none.",
    ),
    Measure(
        name="dialogue.self_similarity",
        unit="share",
        better="lower",
        summary="Share of words in common with the other dialogues of the corpus, on average.",
    ),
)


class Copies:
    """Implements ``Comparer``. The first of some copies, by its id's hash, is none."""

    def __init__(self, options: CopiesOptions) -> None:
        self._threshold = options.threshold

    def sketch(self, items: Sequence[AuditItem]) -> Sequence[bytes | None]:
        """Return the key of the words and their sketch; None for a dialogue without any."""
        return [_sketch([part.text for part in list_utterances(item.row) if part.text.strip()]) for item in items]

    def compare(self, sketches: Iterable[Sketch]) -> Iterator[tuple[str, Readings]]:
        """Yield both measures of every dialogue."""
        index, table, names = TwinIndex(self._threshold), GrowingRows(np.uint16), {}
        batch: list[Sketched] = []
        for one in sketches:
            # A stranger's id may be anything; the index wants ours.
            key = content_key(one.id)
            names[key] = one.id
            made = Sketched(key, one.data[:ID_DIGITS].decode(), one.data[ID_DIGITS:])
            table.add(np.frombuffer(made.sketch[1:], dtype="<u2").reshape(1, -1))
            batch.append(made)
            if len(batch) == _BATCH:
                index.add(batch)
                batch = []
        index.add(batch)
        twins = index.find()
        for (key, name), alike in zip(names.items(), measure_self_similarity(table.rows), strict=True):
            twin = twins.get(key)
            copied = Reading(value=0.0)
            if twin is not None:
                copied = Reading(value=twin.similarity, detail=f"a copy of {names[twin.of]!r:.60}")
            yield name, {"dialogue.copied_share": copied, "dialogue.self_similarity": Reading(value=alike)}


def measure_self_similarity(hashes: npt.NDArray[np.uint16]) -> list[float | None]:
    """Estimate each dialogue's mean Jaccard similarity with all others.

    Args:
        hashes: (num_dialogues, num_hashes) of MinHash: two dialogues share as many as they are alike.

    Returns:
        One a dialogue; None where there is no other.
    """
    if len(hashes) < 2:
        return [None] * len(hashes)
    shared = np.zeros(len(hashes))
    for column in hashes.T:
        shared += np.bincount(column, minlength=2**16)[column] - 1
    # Cut to 16 bits, different shingles agree once in 65,536 times.
    alike = shared / (hashes.shape[1] * (len(hashes) - 1)) - 2.0**-16
    return [float(value) for value in np.maximum(alike, 0.0)]


def _sketch(texts: Sequence[str]) -> bytes | None:
    if not texts:
        return None
    return content_key([normalise_text(text) for text in texts]).encode() + sketch_texts(texts)


PLUGIN = PlainAudit("copies", "1", MEASURES, Copies, CopiesOptions, compares=True)
