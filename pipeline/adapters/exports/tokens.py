"""``tokens``: the codes of all media as integer arrays in Parquet, one table a shard, and an index of what made them.

``codes/`` has a row a medium: where it stands, the SHA-256 of what was encoded, and its codes of shape (num_codebooks,
num_frames). A run whose manifest has a section ``tokenize`` keeps such a folder in its corpus, under ``tokens/``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from pipeline.adapters.exports.encoding import Encoder, Waiting
from pipeline.adapters.exports.rows import RowFile
from pipeline.adapters.exports.token_tables import CODES, INDEX, KEPT, describe_codes, read_tokenizers, with_tokenizers
from pipeline.adapters.tokenizers.choosing import TokenizerChoice
from pipeline.contracts.export import ExportOptions, ExportSummary, Sample
from pipeline.values.errors import CorpusError, ManifestError
from pipeline.values.ids import sha256_hex


class TokensOptions(ExportOptions):
    """Which tokenizers are used; media of a kind without one are left out.

    Attributes:
        batch: Media encoded at once.
    """

    image: TokenizerChoice | None = None
    music: TokenizerChoice | None = None
    speech: TokenizerChoice | None = None
    batch: int = Field(default=16, ge=1, le=256)

    @model_validator(mode="after")
    def _can_tokenize(self) -> TokensOptions:
        if not self.choices:
            raise ValueError("no tokenizer is chosen; say which, e.g. --option music=encodec:facebook/encodec_32khz")
        for kind, choice in self.choices.items():
            try:
                choice.check(kind)
            except ManifestError as exc:
                raise ValueError(f"{kind}: {exc}") from exc
        return self

    @property
    def choices(self) -> dict[str, TokenizerChoice]:
        """Tokenizers by kind."""
        found = {"image": self.image, "music": self.music, "speech": self.speech}
        return {kind: choice for kind, choice in found.items() if choice is not None}

    def as_published(self) -> dict[str, Any]:
        """All options, folders by their own names."""
        return {**super().as_published(), **{kind: choice.as_published() for kind, choice in self.choices.items()}}

    def identity(self) -> dict[str, Any]:
        """Tokenizers with their weights; the batch changes nothing."""
        return {kind: choice.identity for kind, choice in self.choices.items()}


class CodeRows:
    """The table of one part. Dialogues wait until a batch of media has come together."""

    def __init__(self, options: TokensOptions, staging: Path, split: str, shard: int) -> None:
        self._options = options
        self._encoder = Encoder(options.choices, None, frozenset(), shard)
        path = f"{CODES}/{split}-{shard:05d}.parquet"
        self._file = RowFile(staging, path, with_tokenizers(KEPT, self._encoder.facts), ())
        self._waiting: list[Waiting] = []

    def add(self, sample: Sample) -> None:
        """Take a dialogue; it is written with its batch."""
        self._waiting.append(self._encoder.prepare(sample, lambda _, kind: kind in self._options.choices))
        if sum(len(one.due) for one in self._waiting) >= self._options.batch:
            self._flush()

    def close(self) -> Mapping[str, int]:
        """Write what waits, and end the table."""
        self._flush()
        return self._file.close()

    def _flush(self) -> None:
        self._encoder.encode(self._waiting)
        for one in self._waiting:
            for piece in one.sample.pieces():
                if piece.medium is not None and piece.place in one.codes:
                    codes = one.codes[piece.place]
                    row = {**describe_codes(one.sample, piece, codes), "sha256": sha256_hex(piece.medium.data)}
                    self._file.add(row, codes.nbytes)
        self._waiting = []


class TokensPlugin:
    """Needs nothing itself; the tokenizers say what they need."""

    name = "tokens"
    version = "1"
    summary = "the codes of all media as integer arrays: whoever trains on tokens and spells them differently"
    usage = 'datasets.load_dataset("parquet", data_files="FOLDER/codes/train-*.parquet")'
    options: type[ExportOptions] = TokensOptions

    def missing(self) -> str | None:
        """Nothing can be missing."""
        return None

    def open(self, options: TokensOptions, staging: Path, split: str, shard: int) -> CodeRows:
        """Begin ``codes/<split>-<shard>.parquet``, and load the tokenizers where this process has not."""
        return CodeRows(options, staging, split, shard)

    def configs(self, summary: ExportSummary) -> Sequence[Mapping[str, Any]]:
        """It is not for the Hub."""
        return ()

    def finish(self, options: TokensOptions, out: Path, summary: ExportSummary) -> Sequence[str]:
        """Write what made the tables.

        Raises:
            CorpusError: they were made by different weights.
        """
        made = [read_tokenizers(out / file.path) for part in summary.parts for file in part.files]
        if not made:
            return ()
        if any(facts != made[0] for facts in made):
            raise CorpusError(f"{out}: its tables were made by different weights; take it away, and run again")
        index = {
            "tokenizers": made[0],
            "choices": {kind: choice.as_published() for kind, choice in options.choices.items()},
            "identities": options.identity(),
        }
        (out / INDEX).write_text(json.dumps(index, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        return ()


PLUGIN = TokensPlugin()
