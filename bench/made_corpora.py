"""Corpora of any size in seconds, for measurements: published tables with made-up words and media of random bytes.

Media begin as a PNG or a FLAC does and hold noise, so nothing can be compressed and nothing has to be decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from pipeline.adapters.table_file import write_table
from pipeline.values.ids import asset_id, part_id, sha256_hex, topic_id
from pipeline.values.units import Bytes
from pipeline.work.tables import PUBLISHED

PNG, FLAC = b"\x89PNG\r\n\x1a\n", b"fLaC"
LAYOUT = (("user", ("speech",)), ("assistant", ("speech", "image")))
"""Kinds of the parts of each turn."""


def write_corpus(root: Path, num_dialogues: int, dialogues_per_shard: int, media: Bytes) -> Bytes:
    """Write a corpus without a ledger, as a stranger's is; return the bytes of its media.

    Args:
        media: Of each picture; a clip has half as many.
    """
    total = 0
    for shard, first in enumerate(range(0, num_dialogues, dialogues_per_shard)):
        numbers = range(first, min(num_dialogues, first + dialogues_per_shard))
        stem = f"train-{shard:05d}"
        for table, rows in (
            ("dialogues", (_dialogue(number) for number in numbers)),
            ("images", _assets(numbers, "image", media)),
            ("speech", _assets(numbers, "speech", media // 2)),
        ):
            (root / table).mkdir(parents=True, exist_ok=True)
            write_table(root / table, stem, PUBLISHED[table], rows)
        total += len(numbers) * 2 * media
    return total


def _name(number: int) -> str:
    return sha256_hex(f"dialogue {number}")[:16]


def _dialogue(number: int) -> dict[str, Any]:
    topic = f"made-up topic {number // 5}"
    turns = [
        {
            "role": role,
            "parts": [
                {"kind": kind, "text": f"words {number}", "asset": asset_id(part_id(_name(number), turn, part), 0)}
                for part, kind in enumerate(kinds)
            ],
        }
        for turn, (role, kinds) in enumerate(LAYOUT)
    ]
    about = {"topic": topic, "topic_id": topic_id(topic), "meta_topic": f"meta {number % 50}", "language": "en"}
    return {
        "id": _name(number),
        **about,
        "cell": "talk",
        "num_rounds": 1,
        "scenario": f"scene {number}",
        "turns": turns,
    }


def _assets(numbers: range, kind: str, size: Bytes) -> Iterator[dict[str, Any]]:
    medium, magic = ("image", PNG) if kind == "image" else ("audio", FLAC)
    for number in numbers:
        noise = Random(number)
        for turn, (role, kinds) in enumerate(LAYOUT):
            for part, found in enumerate(kinds):
                if found == kind:
                    place = part_id(_name(number), turn, part)
                    data = magic + noise.randbytes(size - len(magic))
                    name = asset_id(place, 0)
                    about = {"dialogue_id": _name(number), "part_id": place, "turn": turn, "part": part, "role": role}
                    yield {"id": name, medium: {"bytes": data, "path": name}, "sha256": sha256_hex(data), **about}
