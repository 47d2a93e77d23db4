"""How likely a picture is one that nobody wants, by any image classifier with labels for that. Off unless asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from pydantic import Field

from pipeline.adapters.audits.weighed import WeighedAudit, WeighedOptions, load_parts
from pipeline.adapters.weights import as_out_of_memory, choose_device
from pipeline.contracts.audit import AuditItem, Measure, Reading, Readings
from pipeline.contracts.render import Licence
from pipeline.values.errors import RenderError

MEASURES = (
    Measure(
        name="image.unsafe",
        unit="probability",
        better="lower",
        limit=0.5,
        summary="Probability of the labels named as unsafe, by the classifier chosen.",
    ),
)


class PictureSafetyOptions(WeighedOptions):
    """Options of ``picture-safety``.

    Attributes:
        unsafe_labels: Of the classifier's labels, those that count; case does not matter.
    """

    known_licences: ClassVar[Mapping[str, Licence]] = MappingProxyType({"Falconsai/nsfw_image_detection": "Apache-2.0"})

    model: str = "Falconsai/nsfw_image_detection"
    unsafe_labels: tuple[str, ...] = Field(default=("nsfw",), min_length=1)


class PictureSafety:
    """Measures pictures in batches."""

    def __init__(self, options: PictureSafetyOptions) -> None:
        """Load the classifier.

        Raises:
            ModelFileError: it cannot be had.
            RenderError: it cannot be loaded, or lacks a label that was named.
        """
        self._device = choose_device(options)
        weights, model, (self._reader,) = load_parts(options, "AutoModelForImageClassification", "AutoImageProcessor")
        labels = {str(label).casefold(): int(index) for index, label in model.config.id2label.items()}
        unknown = [label for label in options.unsafe_labels if label.casefold() not in labels]
        if unknown:
            raise RenderError(
                f"model {weights.name}: has no label {', '.join(map(repr, unknown))}; unsafe_labels may name "
                f"{', '.join(sorted(labels))}"
            )
        self._unsafe = [labels[label.casefold()] for label in options.unsafe_labels]
        self._names = {index: label for label, index in labels.items()}
        self._is_many = model.config.problem_type == "multi_label_classification"
        self._model = model.to(self._device)

    def measure(self, items: Sequence[AuditItem]) -> Sequence[Readings]:
        """Return the readings of each picture, in order."""
        import torch

        inputs = self._reader(images=[item.media for item in items], return_tensors="pt")
        with torch.inference_mode(), as_out_of_memory(f"{len(items)} pictures"):
            logits = self._model(pixel_values=inputs["pixel_values"].to(self._device)).logits.float().cpu()
        shares = logits.sigmoid() if self._is_many else logits.softmax(dim=-1)
        return [self._read(row.tolist()) for row in shares]

    def _read(self, shares: Any) -> Readings:
        unsafe = [shares[index] for index in self._unsafe]
        # Labels that exclude each other add up; those that do not are as bad as the worst of them.
        value = max(unsafe) if self._is_many else min(1.0, sum(unsafe))
        best = max(range(len(shares)), key=lambda index: shares[index])
        return {"image.unsafe": Reading(value=value, detail=f"likeliest label {self._names[best]}")}


PLUGIN = WeighedAudit("picture-safety", "1", "image", MEASURES, PictureSafetyOptions, PictureSafety)
