"""``webdataset``: one tar a part, one sample a dialogue: its JSON, and each of its media as a file."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.contracts.export import ExportOptions, ExportSummary, Sample


class TarPart:
    """A tar in the order of its dialogues, without times and owners: equal samples make equal bytes.

    Readers cut a name at its first dot into the sample's key and the field's name, so a dialogue ``d`` has the fields
    ``json`` and, for each medium, ``<turn>-<part>.<extension>``; its JSON names the field of each part.
    """

    def __init__(self, staging: Path, split: str, shard: int) -> None:
        self._path = f"{split}-{shard:05d}.tar"
        self._tar = tarfile.open(staging / self._path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115  closed below
        self._num_rows = 0

    def add(self, sample: Sample) -> None:
        """Write a dialogue and what it shows and sounds."""
        fields = {piece.place: piece.medium for piece in sample.pieces() if piece.medium is not None}
        turns = [
            {"role": turn["role"], "parts": [dict(part) for part in turn["parts"]]} for turn in sample.row["turns"]
        ]
        for place, medium in fields.items():
            turn, part = map(int, place.split("-"))
            turns[turn]["parts"][part]["field"] = f"{place}.{medium.extension}"
        about = {name: value for name, value in sample.row.items() if name != "turns"}
        described = {medium.row["id"]: medium.row for medium in fields.values()}
        record = {**about, "turns": turns, "media": described}
        self._write(f"{sample.id}.json", json.dumps(record, ensure_ascii=False, sort_keys=True).encode())
        for place, medium in fields.items():
            self._write(f"{sample.id}.{place}.{medium.extension}", medium.data)
        self._num_rows += 1

    def close(self) -> Mapping[str, int]:
        """End the tar."""
        self._tar.close()
        return {self._path: self._num_rows}

    def _write(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(data), 0o644
        self._tar.addfile(member, io.BytesIO(data))


class WebDatasetPlugin:
    """Needs nothing but the standard library."""

    name = "webdataset"
    version = "1"
    summary = "tars read in sequence, one sample a dialogue: webdataset and its kin"
    usage = 'webdataset.WebDataset("FOLDER/train-{00000..00009}.tar").decode("pil")'
    options = ExportOptions

    def missing(self) -> str | None:
        """Nothing can be missing."""
        return None

    def open(self, options: ExportOptions, staging: Path, split: str, shard: int) -> TarPart:
        """Begin ``<split>-<shard>.tar``."""
        return TarPart(staging, split, shard)

    def configs(self, summary: ExportSummary) -> Sequence[Mapping[str, Any]]:
        """It is not for the Hub."""
        return ()

    def finish(self, options: ExportOptions, out: Path, summary: ExportSummary) -> Sequence[str]:
        """Nothing stands beside the tars."""
        return ()


PLUGIN = WebDatasetPlugin()
