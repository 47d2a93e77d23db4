"""``anyinstruct``: the layout in which AnyInstruct-108k is published.

A split is a folder as ``part1/`` is there: ``metadata.json`` with a line a dialogue, tars of each medium, and
``data_construction/`` with topics.txt, scenario.json, text_chat.json, image.json and music.json. Media carry the keys
of those files, ``<8 hex>_<n>`` counting the dialogue's media of both kinds from 1. Pages of the published set describe
rows of its speech_conv alone (``chat``, ``role``, ``message``, ``speech``); rows here are those, with ``image`` and
``music`` beside ``speech``.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from pipeline.contracts.export import ExportOptions, ExportSummary, Medium, Piece, Sample
from pipeline.values.ids import sha256_hex

ROLES = {"user": "USER", "assistant": "AnyGPT"}
TARS = ("image", "music", "speech")
_ROWS = "rows"


class PublishedPart:
    """A shard's tars, and a line a dialogue from which :func:`gather` makes the files of the whole split."""

    def __init__(self, staging: Path, split: str, shard: int) -> None:
        self._staging = staging
        self._split = split
        self._chunk = f"chunk_{shard:05d}"
        self._tars: dict[str, tarfile.TarFile] = {}
        (staging / split / _ROWS).mkdir(parents=True)
        self._path = f"{split}/{_ROWS}/{self._chunk}.jsonl"
        self._rows = (staging / self._path).open("w", encoding="utf-8")
        self._num_rows = 0

    def add(self, sample: Sample) -> None:
        """Write a dialogue's row, and its media into the tars."""
        key = sha256_hex(sample.id)[:8]
        described: dict[str, dict[str, str]] = {"image": {}, "music": {}}
        number = 0
        chat = []
        for index, turn in enumerate(sample.row["turns"]):
            row: dict[str, Any] = {"role": ROLES[turn["role"]], "message": ""}
            words = []
            for piece in (piece for piece in sample.pieces() if piece.turn == index):
                words.append(_words(piece))
                if piece.kind in described:
                    number += 1
                    described[piece.kind][f"{key}_{number}"] = piece.text
                if piece.medium is not None:
                    name = f"{key}_{number}" if piece.kind in described else f"{key}-{piece.place}"
                    row.setdefault(piece.kind, []).append(self._put(name, piece.medium))
            row["message"] = " ".join(word for word in words if word)
            # One clip stands as itself, as in the published rows.
            chat.append({k: v[0] if isinstance(v, list) and len(v) == 1 else v for k, v in row.items()})
        about = {name: sample.row.get(name) for name in ("topic", "meta_topic", "scenario")}
        line = {"id": sample.id, "key": key, **about, "chat": chat, **described}
        self._rows.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._num_rows += 1

    def close(self) -> Mapping[str, int]:
        """End all files."""
        self._rows.close()
        for tar in self._tars.values():
            tar.close()
        return {self._path: self._num_rows}

    def _put(self, name: str, medium: Medium) -> str:
        if medium.kind not in self._tars:
            path = self._staging / self._split / f"{medium.kind}_{self._chunk}.tar"
            self._tars[medium.kind] = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        member = tarfile.TarInfo(f"{self._chunk}/{name}.{medium.extension}")
        member.size, member.mode = len(medium.data), 0o644
        self._tars[medium.kind].addfile(member, io.BytesIO(medium.data))
        return member.name


def _words(piece: Piece) -> str:
    if piece.kind in ("image", "music"):
        # A bracket inside would end the tag for whoever reads it.
        return f"[{piece.kind}: {piece.text.translate(_NO_BRACKETS)}]"
    return piece.text


_NO_BRACKETS = str.maketrans("[]", "()")


def gather(out: Path, split: str, rows: Iterable[Path]) -> None:
    """Write a split's metadata.json and its data_construction files, holding no more than a row."""
    folder = out / split / "data_construction"
    folder.mkdir(parents=True, exist_ok=True)
    names = ("metadata.json", *(f"data_construction/{name}" for name in ("topics.txt", *_OBJECTS)))
    files = {name: (out / split / name).open("w", encoding="utf-8") for name in names}
    objects = {name: _Object(files[f"data_construction/{name}"]) for name in _OBJECTS}
    topics: set[str] = set()
    try:
        for row in _read(rows):
            named = {name: row[name] for name in ("id", "key", "topic")}
            files["metadata.json"].write(json.dumps({**named, "chat": row["chat"]}, ensure_ascii=False) + "\n")
            if row["topic"] and row["topic"] not in topics:
                topics.add(row["topic"])
                files["data_construction/topics.txt"].write(" ".join(row["topic"].split()) + "\n")
            objects["scenario.json"].add(row["id"], {"scenario": row["scenario"] or "", "topic": row["topic"] or ""})
            said = [{"role": turn["role"], "message": turn["message"]} for turn in row["chat"]]
            objects["text_chat.json"].add(row["id"], {"chat": said})
            for kind in ("image", "music"):
                for name, text in row[kind].items():
                    objects[f"{kind}.json"].add(name, {"description": text})
        for one in objects.values():
            one.close()
    finally:
        for file in files.values():
            file.close()


_OBJECTS = ("scenario.json", "text_chat.json", "image.json", "music.json")


class _Object:
    """A JSON object that is written record by record."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._separator = "{\n"

    def add(self, key: str, value: Any) -> None:
        self._file.write(f"{self._separator}{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
        self._separator = ",\n"

    def close(self) -> None:
        self._file.write("{}\n" if self._separator == "{\n" else "\n}\n")


def _read(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    for path in paths:
        with path.open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)


class AnyInstructPlugin:
    """Needs nothing but the standard library."""

    name = "anyinstruct"
    version = "1"
    summary = "the published layout of AnyInstruct-108k: metadata, tars and data_construction files"
    usage = "anyinstruct import FOLDER/train imported"
    options = ExportOptions

    def missing(self) -> str | None:
        """Nothing can be missing."""
        return None

    def open(self, options: ExportOptions, staging: Path, split: str, shard: int) -> PublishedPart:
        """Begin a shard's tars and rows."""
        return PublishedPart(staging, split, shard)

    def configs(self, summary: ExportSummary) -> Sequence[Mapping[str, Any]]:
        """Tell of none: the Hub's viewer cannot read this layout."""
        return ()

    def finish(self, options: ExportOptions, out: Path, summary: ExportSummary) -> Sequence[str]:
        """Write what a whole split has one of."""
        for split, parts in summary.splits.items():
            files = [file.path for part in parts for file in part.files if file.path.startswith(f"{split}/{_ROWS}/")]
            gather(out, split, [out / path for path in files])
        return ()


PLUGIN = AnyInstructPlugin()
