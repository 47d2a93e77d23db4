"""Whether a picture or a piece of music fits its description, by a model that lays both into one space.

Any CLIP or SigLIP for pictures and any CLAP for music, from the hub or a folder. Each record is embedded once, medium
and description; the comparison then holds every medium against its own description and against those of others, which
is what tells swapped media: a cosine means little by itself, since models and subjects differ in how high it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pipeline.adapters.audits.weighed import WeighedAudit, WeighedOptions, load_parts
from pipeline.adapters.weights import as_out_of_memory, choose_device
from pipeline.contracts.audit import AuditItem, Measure, Reading, Readings, Sketch
from pipeline.contracts.render import Licence
from pipeline.values.errors import RenderError
from pipeline.values.ids import rank_by_hash

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]

NUM_FOILS = 32
"""Other records' descriptions that each medium is held against."""

WINDOW = 10.0
"""Seconds of music that CLAP was trained on (Wu et al. 2023); longer pieces are embedded window by window."""


def _measures(subject: str) -> tuple[Measure, ...]:
    return (
        Measure(
            name=f"{subject}.text_cosine",
            better="higher",
            summary="Cosine between the medium and its description; how high it comes depends on the model.",
        ),
        Measure(
            name=f"{subject}.text_margin",
            better="higher",
            summary="That cosine less the mean one with 32 other records' descriptions; near 0 for swapped media.",
        ),
        Measure(
            name=f"{subject}.text_rank",
            unit="share",
            better="lower",
            summary="Share of those 32 that fit at least as well as its own; about one half for swapped media.",
        ),
    )


class PictureTextOptions(WeighedOptions):
    """Options of ``picture-text``."""

    known_licences: ClassVar[Mapping[str, Licence]] = MappingProxyType(
        {
            "openai/clip-vit-base-patch32": "MIT",
            "openai/clip-vit-large-patch14": "MIT",
            "google/siglip-base-patch16-224": "Apache-2.0",
            "google/siglip2-base-patch16-224": "Apache-2.0",
        }
    )

    model: str = "openai/clip-vit-base-patch32"


class MusicTextOptions(WeighedOptions):
    """Options of ``music-text``."""

    known_licences: ClassVar[Mapping[str, Licence]] = MappingProxyType({"laion/clap-htsat-unfused": "Apache-2.0"})

    model: str = "laion/clap-htsat-unfused"


class Embedder(Protocol):
    """Lays texts and media into one space."""

    def embed_texts(self, texts: Sequence[str]) -> tuple[Vectors, list[bool]]:
        """Return (num_texts, width), and which texts were cut at the encoder's tokens."""
        ...

    def embed_media(self, media: Sequence[Any]) -> Vectors:
        """Return (num_media, width)."""
        ...


class Agreement:
    """Compares media with descriptions; implements ``Comparer``.

    Memory: 4 bytes times the width a record, as numbers of 16 bits: 2 KB with 512.
    """

    def __init__(self, subject: str, make: Callable[[], Embedder]) -> None:
        """Load nothing yet: the weights are wanted for sketches, and the comparison runs where there may be none.

        Args:
            make: Loads the weights; raises ModelFileError or RenderError.
        """
        self._subject = subject
        self._make = make

    @cached_property
    def _embedder(self) -> Embedder:
        return self._make()

    def sketch(self, items: Sequence[AuditItem]) -> Sequence[bytes | None]:
        """Return both directions, and whether the description was cut; None for a record without one."""
        import numpy as np

        stated = [item for item in items if str(item.row.get("description") or "").strip()]
        if not stated:
            return [None] * len(items)
        texts, is_cut = self._embedder.embed_texts([str(item.row["description"]) for item in stated])
        media = self._embedder.embed_media([item.media for item in stated])
        pairs = np.stack([_normalise(media), _normalise(texts)], axis=1).astype("<f2")
        made = {item.id: bytes([cut]) + pair.tobytes() for item, cut, pair in zip(stated, is_cut, pairs, strict=True)}
        return [made.get(item.id) for item in items]

    def compare(self, sketches: Iterable[Sketch]) -> Iterator[tuple[str, Readings]]:
        """Yield the readings of each record, in an order of their ids' hashes, from which the foils are drawn."""
        import numpy as np

        kept = {sketch.id: sketch for sketch in sketches}
        ring = [kept[name] for name in rank_by_hash(sorted(kept), "foils")]
        if not ring:
            return
        pairs = np.stack([np.frombuffer(one.data[1:], "<f2").reshape(2, -1) for one in ring])
        own = _rowwise(pairs[:, 0], pairs[:, 1])
        dialogues = np.array([one.dialogue_id for one in ring])
        total, beaten, count = np.zeros(len(ring)), np.zeros(len(ring)), np.zeros(len(ring))
        # The next records of the ring, whatever order the corpus has: the same foils at every run.
        for shift in range(1, min(NUM_FOILS, len(ring) - 1) + 1):
            # Media of one dialogue are about one thing, and their descriptions no foils for each other.
            is_foil = dialogues != np.roll(dialogues, -shift)
            cosine = _rowwise(pairs[:, 0], np.roll(pairs[:, 1], -shift, axis=0))
            total += np.where(is_foil, cosine, 0.0)
            beaten += is_foil & (cosine >= own)
            count += is_foil
        for index, one in enumerate(ring):
            detail = "the description was cut at the encoder's last token" if one.data[0] else ""
            found = {"text_cosine": Reading(value=float(own[index]), detail=detail)}
            if count[index]:
                found["text_margin"] = Reading(value=float(own[index] - total[index] / count[index]))
                found["text_rank"] = Reading(value=float(beaten[index] / count[index]))
            yield one.id, {f"{self._subject}.{name}": reading for name, reading in found.items()}


def _normalise(vectors: Vectors) -> Vectors:
    import numpy as np

    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def _rowwise(left: Any, right: Any) -> npt.NDArray[np.float64]:
    import numpy as np

    rows = 4096
    parts = [
        np.einsum("ij,ij->i", left[at : at + rows].astype(np.float32), right[at : at + rows].astype(np.float32))
        for at in range(0, len(left), rows)
    ]
    return np.concatenate(parts).astype(np.float64)


class _Transformers:
    """Both towers of a model; the kinds of media follow in the subclasses' one method."""

    def __init__(self, options: WeighedOptions, reader: str, tower: str) -> None:
        self._device = choose_device(options)
        weights, model, (tokenizer, media_reader) = load_parts(options, "AutoModel", "AutoTokenizer", reader)
        if not hasattr(model, tower) or not hasattr(model, "get_text_features"):
            raise RenderError(
                f"model {weights.name}: its kind, {model.config.model_type}, does not lay both into one space; choose "
                "a CLIP or SigLIP for pictures, a CLAP for music"
            )
        self._tokenizer, self.reader = tokenizer, media_reader
        self._model = model.to(self._device)
        positions = getattr(model.config.text_config, "max_position_embeddings", tokenizer.model_max_length)
        # RoBERTa, which CLAP reads with, numbers its positions from 2.
        self._longest = min(tokenizer.model_max_length, positions - 2 * (model.config.model_type == "clap"))
        self._pads_fully = model.config.model_type.startswith("siglip")

    def embed_texts(self, texts: Sequence[str]) -> tuple[Vectors, list[bool]]:
        """Return one row a text, and which were cut. SigLIP was trained on texts filled up to the full length."""
        lengths = [len(ids) for ids in self._tokenizer(list(texts))["input_ids"]]
        padding = "max_length" if self._pads_fully else True
        inputs = self._tokenizer(
            list(texts), padding=padding, truncation=True, max_length=self._longest, return_tensors="pt"
        )
        if self._pads_fully:
            inputs = {"input_ids": inputs["input_ids"]}
        return self.compute("get_text_features", inputs), [length > self._longest for length in lengths]

    def compute(self, tower: str, inputs: Mapping[str, Any]) -> Vectors:
        """Run one tower; returns (num_rows, width)."""
        import numpy as np
        import torch

        with torch.inference_mode(), as_out_of_memory(f"{len(next(iter(inputs.values())))} inputs of {tower}"):
            output = getattr(self._model, tower)(**{name: value.to(self._device) for name, value in inputs.items()})
        pooled = output if isinstance(output, torch.Tensor) else output.pooler_output
        return np.asarray(pooled.float().cpu().numpy())


class _PictureEmbedder(_Transformers):
    def __init__(self, options: WeighedOptions) -> None:
        super().__init__(options, "AutoImageProcessor", "get_image_features")

    def embed_media(self, media: Sequence[Any]) -> Vectors:
        """One row a picture."""
        inputs = self.reader(images=list(media), return_tensors="pt")
        return self.compute("get_image_features", {"pixel_values": inputs["pixel_values"]})


class _MusicEmbedder(_Transformers):
    def __init__(self, options: WeighedOptions) -> None:
        super().__init__(options, "AutoFeatureExtractor", "get_audio_features")
        if self._model.config.audio_config.enable_fusion:
            raise RenderError(
                f"model {options.model}: is of the fused kind, which draws parts of long pieces by chance; choose an "
                "unfused one such as laion/clap-htsat-unfused"
            )

    def embed_media(self, media: Sequence[Any]) -> Vectors:
        """One row a piece: the mean over its windows, since the reader would draw one of a long piece by chance."""
        import numpy as np

        rows = [_cut(samples, sample_rate, self.reader.sampling_rate) for samples, sample_rate in media]
        inputs = self.reader(
            [window for windows in rows for window in windows],
            sampling_rate=self.reader.sampling_rate,
            truncation="rand_trunc",
            return_tensors="pt",
        )
        vectors = _normalise(self.compute("get_audio_features", {"input_features": inputs["input_features"]}))
        ends = np.cumsum([len(windows) for windows in rows])
        return np.stack([part.mean(axis=0) for part in np.split(vectors, ends[:-1])])


def _cut(samples: Any, sample_rate: int, wanted: int) -> list[Any]:
    """Return windows of at most :data:`WINDOW` in mono; a rest under a tenth of one is left out."""
    import numpy as np

    from pipeline.adapters.resampling import resample

    size = round(WINDOW * wanted)
    if not len(samples):
        return [np.zeros(size, np.float32)]
    mono = resample(samples.mean(axis=1, keepdims=True), sample_rate, wanted)[:, 0]
    windows = [mono[at : at + size] for at in range(0, len(mono), size)]
    return windows[:1] + [window for window in windows[1:] if len(window) * 10 >= size]


PICTURE_TEXT = WeighedAudit(
    "picture-text",
    "2",
    "image",
    _measures("image"),
    PictureTextOptions,
    lambda options: Agreement("image", partial(_PictureEmbedder, options)),
    compares=True,
)
MUSIC_TEXT = WeighedAudit(
    "music-text",
    "2",
    "music",
    _measures("music"),
    MusicTextOptions,
    lambda options: Agreement("music", partial(_MusicEmbedder, options)),
    compares=True,
)
