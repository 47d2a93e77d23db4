"""What pyarrow and the standard library alone take: ``python -m bench.export.peer CORPUS OUT FORM``.

The same tables are read, with their pages' checksums, and every row of theirs is written in the same form: as Parquet
with the same compression and checksums, never as a Python object; into tars; or a file for each medium beside lines of
JSON. Nothing is joined, split, spelled or moved into place.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.export.worker import report
from pipeline.adapters.exports.rows import GROUP_BYTES
from pipeline.adapters.published import ROWS_AT_A_TIME, SMALL_ROWS_AT_A_TIME

WORDS = "dialogues"
MEDIA = {"images": "image", "speech": "audio"}


def write_parquet(corpus: Path, out: Path) -> None:
    """Write each table anew, in row groups of as many bytes as an export's."""
    for table in (WORDS, *MEDIA):
        packed = table in MEDIA
        for path in sorted((corpus / table).glob("*.parquet")):
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                writer = pq.ParquetWriter(
                    out / f"{table}-{path.name}",
                    file.schema_arrow,
                    compression="NONE" if packed else "ZSTD",
                    use_dictionary=not packed,
                    write_page_checksum=True,
                )
                with writer:
                    for some in _groups(file):
                        writer.write_table(some, row_group_size=len(some))


def write_tars(corpus: Path, out: Path) -> None:
    """Write a tar a shard: each dialogue as JSON, each medium as it is."""
    for number, rows in enumerate(_shards(corpus)):
        with tarfile.open(out / f"{number}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for name, data in rows:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def write_files(corpus: Path, out: Path) -> None:
    """Write a file for each medium, and the dialogues of a shard as lines of JSON."""
    for number, rows in enumerate(_shards(corpus)):
        with (out / f"{number}.jsonl").open("wb") as lines:
            for name, data in rows:
                if name.endswith(".json"):
                    lines.write(data + b"\n")
                else:
                    (out / name).write_bytes(data)


def copy_files(corpus: Path, out: Path) -> None:
    """Copy the tables' files as they are: no export can be as fast, for it reads and writes rows."""
    for path in (path for table in (WORDS, *MEDIA) for path in (corpus / table).glob("*.parquet")):
        shutil.copyfile(path, out / f"{path.parent.name}-{path.name}")


FORMS: dict[str, Callable[[Path, Path], None]] = {
    "parquet": write_parquet,
    "tars": write_tars,
    "files": write_files,
    "copy": copy_files,
}


def _groups(file: pq.ParquetFile) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    for batch in file.iter_batches(ROWS_AT_A_TIME):
        held.append(batch)
        if sum(one.nbytes for one in held) >= GROUP_BYTES:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


def _shards(corpus: Path) -> Iterator[Iterator[tuple[str, bytes]]]:
    for path in sorted((corpus / WORDS).glob("*.parquet")):
        yield _members(corpus, path)


def _members(corpus: Path, words: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of a shard's dialogues and media; the tables of a shard are told by their stem."""
    with pq.ParquetFile(words, page_checksum_verification=True) as file:
        for batch in file.iter_batches(SMALL_ROWS_AT_A_TIME):
            for row in batch.to_pylist():
                yield f"{row['id']}.json", json.dumps(row).encode()
    stem = words.name.rpartition("-")[0]
    for table, column in MEDIA.items():
        (path,) = (corpus / table).glob(f"{stem}-*.parquet")
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for batch in file.iter_batches(ROWS_AT_A_TIME):
                for row in batch.to_pylist():
                    yield row["id"], row[column]["bytes"]


def main(corpus: str, out: str, form: str) -> None:
    """Write, and print what it took as JSON."""
    Path(out).mkdir(parents=True)
    started = time.perf_counter()
    FORMS[form](Path(corpus), Path(out))
    report(time.perf_counter() - started)


if __name__ == "__main__":
    main(*sys.argv[1:])
