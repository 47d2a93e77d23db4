"""Which English dialogues mean what another one means, whatever their words, by embeddings of whole dialogues.

Not taken by default: a dialogue costs about 0.04 s of one core, and the comparison looks at all pairs. Memory grows by
2.3 kB a dialogue, time with the square of their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec

import numpy as np
from pydantic import Field

from pipeline.adapters.embedding import MODEL, SentenceModel
from pipeline.contracts.audit import AuditItem, AuditOptions, Measure, Reading, Readings, Sketch, Subject
from pipeline.contracts.embedding import Embedder
from pipeline.contracts.render import Licence, ModelFiles
from pipeline.values.languages import ENGLISH, is_unspaced
from pipeline.values.utterances import language_of, list_utterances

BLOCK = 1024
"""Dialogues that are compared with all others at once: for 100,000 others, 400 MB."""

SAME_MEANING = 0.85
"""Cosine from which on two dialogues mean the same: of ``bench/data/dialogue_pairs.yaml``, the held-out ones too, light
rewordings have at least 0.97, and the same scenario with other details or the same phrases elsewhere at most 0.61."""


class MeaningsOptions(AuditOptions):
    """From which cosine on a dialogue repeats another one."""

    threshold: float = Field(SAME_MEANING, gt=0, le=1)


class Meanings:
    """Implements ``Comparer``; the model knows English alone."""

    def __init__(self, embedder: Embedder, threshold: float) -> None:
        self._embedder = embedder
        self._threshold = threshold

    def sketch(self, items: Sequence[AuditItem]) -> Sequence[bytes | None]:
        """Return each dialogue's vector in half precision; None for one without words or in another language."""
        return [self._sketch(item) for item in items]

    def _sketch(self, item: AuditItem) -> bytes | None:
        text = "\n".join(part.text for part in list_utterances(item.row) if part.text.strip())
        if not text or is_unspaced(text) or language_of(item.row) not in ("", ENGLISH):
            return None
        data: bytes = self._embedder.embed([text])[0].astype("<f2").tobytes()
        return data

    def compare(self, sketches: Iterable[Sketch]) -> Iterator[tuple[str, Readings]]:
        """Yield each dialogue's likeness to the nearest one with a lower id, and to all of them together."""
        some = sorted(sketches, key=lambda one: one.id)
        if not some:
            return
        data = b"".join(one.data for one in some)
        vectors = np.frombuffer(data, dtype="<f2").reshape(len(some), -1).astype(np.float32)
        centre = vectors.mean(axis=0)
        centre /= max(float(np.linalg.norm(centre)), 1e-9)
        for start in range(0, len(some), BLOCK):
            stop = min(start + BLOCK, len(some))
            products = vectors[start:stop] @ vectors[:stop].T
            for row, place in enumerate(range(start, stop)):
                best = int(products[row, :place].argmax()) if place else None
                yield (
                    some[place].id,
                    self._read(
                        0.0 if best is None else float(products[row, best]),
                        "" if best is None else some[best].id,
                        float(vectors[place] @ centre) if len(some) > 1 else None,
                    ),
                )

    def _read(self, likeness: float, other: str, spread: float | None) -> Readings:
        is_same = likeness >= self._threshold
        detail = f"means what {other!r:.60} means" if is_same else f"nearest is {other!r:.60}" if other else ""
        return {
            "dialogue.same_meaning": Reading(value=float(is_same), detail=detail),
            "dialogue.nearest_meaning": Reading(value=min(likeness, 1.0), detail=detail),
            "dialogue.typicality": Reading(value=spread),
        }


MEASURES = (
    Measure(
        name="dialogue.same_meaning",
        better="lower",
        limit=0.0,
        summary="1 where a dialogue means what one with a lower id means, else 0.",
    ),
    Measure(
        name="dialogue.nearest_meaning",
        unit="cosine",
        better="lower",
        summary="Likeness to the nearest dialogue with a lower id.",
    ),
    Measure(
        name="dialogue.typicality",
        unit="cosine",
        better="lower",
        summary="Likeness to the mean of all dialogues; high throughout where a corpus goes round in circles.",
    ),
)


class MeaningsPlugin:
    """Needs the sentence model of the embedded default, and onnxruntime."""

    name = "meanings"
    version = "1"
    about: Subject = "dialogue"
    is_default = False
    compares = True
    options = MeaningsOptions

    def measures(self, options: MeaningsOptions) -> Sequence[Measure]:
        """The same whatever the options."""
        return MEASURES

    def models(self, options: MeaningsOptions) -> Sequence[str]:
        """The sentence model."""
        return (MODEL,)

    def licences(self, options: MeaningsOptions) -> Mapping[str, Licence]:
        """That of the sentence model."""
        return {MODEL: "Apache-2.0"}

    def missing(self) -> str | None:
        """Name the package that is not installed."""
        absent = [name for name in ("onnxruntime", "tokenizers") if find_spec(name) is None]
        return f"the package {absent[0]} is missing; pip install {' '.join(absent)}" if absent else None

    def load(self, options: MeaningsOptions, models: ModelFiles) -> Meanings:
        """Load the model on one thread."""
        return Meanings(SentenceModel(models.path(MODEL)), options.threshold)


PLUGIN = MeaningsPlugin()
