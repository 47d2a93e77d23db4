"""A copy of a corpus whose media went through tokenizers and back, to audit and compare: what do the tokens cost?

The copy is a corpus of plain folders without a ledger. Rows and ids are the same, so that `diff` finds each record on
both sides; pictures come back in their size and sound in its rate and length, so that nothing but the codes differs.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipeline.adapters.audio import encode_audio, measure_audio
from pipeline.adapters.decoding import decode_picture, decode_sound
from pipeline.adapters.exports.rows import RowFile
from pipeline.adapters.files import read_json, sync_folder, write_json
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.published import MEDIUM_OF, TABLE_OF, PublishedCorpus, PublishedShard
from pipeline.adapters.resampling import resample
from pipeline.adapters.tokenizers.choosing import TokenizerChoice
from pipeline.contracts.audit import Subject
from pipeline.contracts.scores import SCORES
from pipeline.contracts.storage import Row
from pipeline.values.errors import CorpusError
from pipeline.values.ids import content_key, sha256_hex

STATE = ".round-trip"
"""In the copy: receipts, staging folder, lock."""
ROWS_AT_A_TIME = 16


@dataclass(frozen=True)
class RoundTrip:
    """What goes through which tokenizer.

    Attributes:
        choices: Tokenizers by kind; media of other kinds are copied as they are.
    """

    corpus: Path
    out: Path
    choices: Mapping[str, TokenizerChoice]


class RoundTripWork:
    """Copies shard by shard; a shard that is there whole is not made again."""

    def __init__(self, setting: RoundTrip, lock: CorpusLock) -> None:
        self._setting = setting
        self._lock = lock
        self._state = setting.out / STATE
        self._source = PublishedCorpus(setting.corpus)
        self._schemas = self._read_schemas()
        self._identities = {kind: choice.identity for kind, choice in setting.choices.items()}

    def execute(self, on_shard: Callable[[int, int], None]) -> dict[str, int]:
        """Copy all shards.

        Args:
            on_shard: Told how many shards are done of how many.

        Returns:
            Media that went through a tokenizer, by kind, over all shards.

        Raises:
            CorpusError: a medium cannot be decoded, or the copy cannot be written.
        """
        counts = dict.fromkeys(self._setting.choices, 0)
        shards = self._source.shards
        for done, shard in enumerate(shards, 1):
            receipt = read_json(self._receipt(shard.number))
            if not isinstance(receipt, dict) or receipt.get("key") != self._key(shard):
                receipt = self._copy(shard)
            for kind, count in receipt["counts"].items():
                counts[kind] += count
            on_shard(done, len(shards))
        return counts

    def _copy(self, shard: PublishedShard) -> dict[str, Any]:
        staging = self._state / "staging"
        shutil.rmtree(staging, ignore_errors=True)
        counts: dict[str, int] = {}
        # Every shard gets a file of each table: a reader pairs the n-th files of all folders.
        for subject, schema in self._schemas.items():
            name = f"{TABLE_OF[subject]}/{shard.number:05d}.parquet"
            medium = MEDIUM_OF.get(subject)
            target = RowFile(staging, name, schema, (medium,) if medium else ())
            rows = shard.rows(subject)
            while some := list(islice(rows, ROWS_AT_A_TIME)):
                if medium and subject in self._setting.choices:
                    self._pass(subject, some)
                    counts[subject] = counts.get(subject, 0) + len(some)
                for row in some:
                    target.add(row, len((row[medium] or {}).get("bytes") or b"") if medium else 0)
            target.close()
        self._lock.check()
        for subject in self._schemas:
            table = TABLE_OF[subject]
            (self._setting.out / table).mkdir(exist_ok=True)
            name = f"{table}/{shard.number:05d}.parquet"
            os.replace(staging / name, self._setting.out / name)
            sync_folder(self._setting.out / table)
        receipt = {"key": self._key(shard), "counts": counts}
        write_json(self._receipt(shard.number), receipt, self._lock.check)
        return receipt

    def _pass(self, subject: Subject, rows: list[Row]) -> None:
        """Send the media of some rows through their tokenizer."""
        tokenizer = self._setting.choices[subject].open()
        medium = MEDIUM_OF[subject]
        before = [(row[medium] or {}).get("bytes") or b"" for row in rows]
        prepared = []
        for row, data in zip(rows, before, strict=True):
            try:
                prepared.append(tokenizer.prepare(data))
            except ValueError as exc:
                raise CorpusError(f"{subject} {row['id']}: {exc}; run `anyinstruct verify` on the corpus") from exc
        after = tokenizer.decode(tokenizer.encode(prepared))
        restore = _restore_picture if subject == "image" else _restore_sound
        for row, old, new in zip(rows, before, after, strict=True):
            data, extension, facts = restore(old, new)
            row[medium] = {"bytes": data, "path": f"{row['id']}.{extension}"}
            # What was measured before is no measure of this.
            facts = {**facts, "sha256": sha256_hex(data), SCORES: []}
            row.update({name: value for name, value in facts.items() if name in row})

    def _read_schemas(self) -> dict[Subject, pa.Schema]:
        found: dict[Subject, pa.Schema] = {}
        for shard in self._source.shards:
            for subject, path in shard.files.items():
                if subject not in found:
                    found[subject] = pq.read_schema(path)
        return found

    def _receipt(self, number: int) -> Path:
        return self._state / f"{number:05d}.json"

    def _key(self, shard: PublishedShard) -> str:
        stats = [[subject, path.name, path.stat().st_size] for subject, path in sorted(shard.files.items())]
        return content_key(stats, self._identities)


def _restore_picture(old: bytes, new: bytes) -> tuple[bytes, str, dict[str, Any]]:
    size = decode_picture(old).size
    target = io.BytesIO()
    decode_picture(new).resize(size, Image.Resampling.LANCZOS).save(target, "PNG")
    return target.getvalue(), "png", {}


def _restore_sound(old: bytes, new: bytes) -> tuple[bytes, str, dict[str, Any]]:
    before, rate = decode_sound(old)
    samples, own_rate = decode_sound(new)
    samples = resample(samples, own_rate, rate)[: len(before)]
    samples = np.pad(samples, ((0, len(before) - len(samples)), (0, 0)))
    facts = measure_audio(samples, rate)
    return encode_audio(samples, rate), "flac", {"channels": 1, "peak": facts.peak, "rms": facts.rms}
