"""The shipped price list for media, reviewed by hand like that for words."""

from __future__ import annotations

from functools import cache
from typing import Any

from pipeline.adapters.shipped import shipped
from pipeline.adapters.yaml_file import load_yaml
from pipeline.values.prices import ImagePrice, SpeechPrice


@cache
def listed_images() -> dict[str, ImagePrice]:
    """Return the prices of pictures by model."""
    return {model: ImagePrice.model_validate(price) for model, price in _read("images").items()}


@cache
def listed_speech() -> dict[str, SpeechPrice]:
    """Return the prices of speech by model."""
    return {model: SpeechPrice.model_validate(price) for model, price in _read("speech").items()}


def _read(section: str) -> dict[str, Any]:
    data: dict[str, Any] = load_yaml(shipped("manifests", "prices.yaml"), dict[str, Any])
    found: dict[str, Any] = data[section]
    return found
