"""Tokenizers: what turns a medium into whole numbers and back, and how one is registered.

A tokenizer is one module plus one entry point line in the group ``anyinstruct.tokenizers``:

    [project.entry-points."anyinstruct.tokenizers"]
    encodec = "pipeline.adapters.tokenizers.codecs:ENCODEC"

The module is imported to check options, so what is heavy to import belongs into :meth:`TokenizerPlugin.open`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from pydantic import BaseModel

from pipeline.contracts.render import Licence
from pipeline.values.records import Record
from pipeline.values.token_strings import Codes
from pipeline.values.units import Hertz

ENTRY_POINTS = "anyinstruct.tokenizers"


class TokenizerFacts(Record):
    """What is known of a tokenizer whose weights are loaded.

    Attributes:
        model: A hub id, or a folder's own name.
        fingerprint: Of the weights: the hub's commit, or a hash over a folder's files.
        num_codes: Of each codebook.
        num_codebooks: Of the arrays that :meth:`Tokenizer.encode` returns.
        frames_per_second: Of sound; None for pictures.
        frames: Of every picture; None for sound.
        sample_rate: Of sound; None for pictures.
    """

    model: str
    fingerprint: str
    licence: Licence
    num_codes: int
    num_codebooks: int
    frames_per_second: float | None = None
    frames: int | None = None
    sample_rate: Hertz | None = None


class Tokenizer(Protocol):
    """A tokenizer with its weights. A medium's codes do not depend on what else is encoded with it."""

    @property
    def facts(self) -> TokenizerFacts:
        """What is known of it."""
        ...

    def prepare(self, data: bytes) -> Any:
        """Decode an encoded picture or sound into what :meth:`encode` takes.

        Raises:
            ValueError: it cannot be decoded, or nothing is in it.
        """
        ...

    def encode(self, media: Sequence[Any]) -> list[Codes]:
        """Return the codes of some prepared media in order, each of shape (num_codebooks, num_frames)."""
        ...

    def decode(self, codes: Sequence[Codes]) -> list[bytes]:
        """Return media as PNG or FLAC. Arrays may have fewer codebooks than the tokenizer where those are residual."""
        ...


class TokenizerPlugin(Protocol):
    """What an entry point names. Cheap to import; everything but :meth:`open` is instant."""

    name: str
    version: str
    kinds: Sequence[str]
    """Of ``image``, ``music`` and ``speech``, those that it takes."""
    options: type[BaseModel]

    def missing(self) -> str | None:
        """Say which Python package is missing and how to get it, or None."""
        ...

    def open(self, options: Any) -> Tokenizer:
        """Find and load the weights.

        Raises:
            ModelFileError: they cannot be had.
            RenderError: they are of another kind, not whole, or pickles.
        """
        ...
