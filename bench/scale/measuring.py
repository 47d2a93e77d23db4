"""Corpora of growing sizes, each made by ``anyinstruct run`` in a process of its own, and what they took."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from bench.demo import stage_spans
from bench.scale.manifests import Shape, grow, write_manifest
from bench.scale.watching import Watched, watch
from pipeline.adapters.corpus import CorpusFolder
from pipeline.contracts.storage import Row
from pipeline.values.records import Turn, TurnLayout
from pipeline.values.units import Bytes, Seconds
from pipeline.work import dialogues
from pipeline.work.answers import field_names, parse_turn, texts_of
from pipeline.work.editing import check_turn
from pipeline.work.tables import PUBLISHED, TABLE_OF
from pipeline.work.twins import sketch_texts

WARM_UP = 20
"""Dialogues that are checked before time is taken."""

AUDITS = ("structure", "picture-basics", "music-basics", "speech-basics")
"""Audits of a step that measures the framework and not the models behind it."""

MORE_TOPICS = 50
ADDED = f"run, {MORE_TOPICS} topics more"
IDLE = "run, nothing to do"
READING = ("verify", "export")
"""Steps that read all that is published, and are held against a raw read of it."""


class CommandFailed(Exception):
    """A command of a measurement ended with an error; the text is what it said."""


@dataclass(frozen=True)
class Size:
    """What a corpus takes on disk: files, and bytes published and in all."""

    num_files: int
    published: Bytes
    total: Bytes


@dataclass(frozen=True)
class Made:
    """A corpus that was made.

    Attributes:
        run: What the run took.
        num_calls: Answers of the LLM.
        num_assets: By table.
        spans: Stage, first and last second in which it made something.
    """

    shape: Shape
    run: Watched
    num_calls: int
    num_assets: dict[str, int]
    spans: Sequence[tuple[str, float, float]]
    size: Size

    @property
    def num_media(self) -> int:
        """Assets of all tables."""
        return sum(self.num_assets.values())


def make(folder: Path, shape: Shape, url: str) -> Made:
    """Make a corpus in a folder that is not there yet.

    Raises:
        CommandFailed: the run failed, or not every dialogue was kept.
    """
    manifest = write_manifest(folder, shape, url)
    run = command(folder, "run", str(manifest))
    ledger = json.loads((folder / "corpus" / "ledger.json").read_text(encoding="utf-8"))
    if ledger["counts"]["kept"] < shape.num_dialogues:
        raise CommandFailed(f"not all dialogues were kept: {ledger['counts']}, {ledger['reasons']}")
    calls = sum(spend["calls"] for models in ledger["spend"].values() for spend in models.values())
    assets = {table: ledger["tables"][table] for table in TABLE_OF.values() if table in ledger["tables"]}
    return Made(shape, run, round(calls), assets, stage_spans(folder / "corpus"), measure_size(folder / "corpus"))


def use(made: Made, folder: Path, is_quick: bool) -> Iterator[tuple[str, Watched]]:
    """Do with a finished corpus what people do; yield each command and what it took."""
    manifest, corpus = str(folder / "manifest.yaml"), str(folder / "corpus")
    yield "plan", command(folder, "plan", manifest)
    yield IDLE, command(folder, "run", manifest)
    yield "verify", command(folder, "verify", corpus)
    if not is_quick:
        # Before the audit, since a run packs every shard anew that an audit has found something out about.
        grow(folder, made.shape.num_topics, MORE_TOPICS)
        yield ADDED, command(folder, "run", manifest)
        yield "export", command(folder, "export", corpus, str(folder / "out"), "--to", "parquet")
        only = [word for name in AUDITS for word in ("--only", name)]
        yield "audit --sample 500", command(folder, "audit", corpus, *only, "--sample", "500")


def command(folder: Path, *words: str) -> Watched:
    """Run a command of the program on the corpus in a folder.

    Raises:
        CommandFailed: it ended with an error.
    """
    takes_manifest = words[0] in ("plan", "run")
    where = ("--corpus", str(folder / "corpus")) if takes_manifest else ()
    watched = watch((*words, *where), folder / f"{words[0]}.log")
    # An audit that finds fault says so by its exit code, and made-up words and tones have faults.
    if watched.code and words[0] != "audit":
        raise CommandFailed(f"{' '.join(words)} ended with exit code {watched.code}:\n{watched.output[-2000:]}")
    return watched


def measure_size(corpus: Path) -> Size:
    """Count files and bytes."""
    sizes = {path: path.stat().st_size for path in corpus.rglob("*") if path.is_file()}
    total = sum(sizes.values())
    in_work = sum(size for path, size in sizes.items() if path.is_relative_to(corpus / "work"))
    return Size(len(sizes), total - in_work, total)


def read_raw(corpus: Path) -> tuple[Bytes, Seconds]:
    """Read every published table, a row group after the other, and do nothing with it; return bytes and wall time."""
    started = time.perf_counter()
    num_bytes = 0
    for folder in PUBLISHED:
        for path in sorted((corpus / folder).glob("*.parquet")):
            num_bytes += path.stat().st_size
            with pq.ParquetFile(path) as file:
                for index in range(file.num_row_groups):
                    file.read_row_group(index)
    return num_bytes, time.perf_counter() - started


def measure_checks(corpus: Path, num_dialogues: int) -> Seconds:
    """Return the CPU that checking the words of so many dialogues takes by itself, by those of one shard.

    Language, spoken form, repeated words, and the sketch by which twins are found.
    """
    rows = [row for row in CorpusFolder(corpus).shard(0).rows(dialogues.STAGE, ["status", "turns"]) if row["turns"]]
    _check(rows[:WARM_UP])
    started = time.process_time()
    _check(rows)
    return (time.process_time() - started) / len(rows) * num_dialogues


def _check(rows: Sequence[Row]) -> None:
    for row in rows:
        turns: list[Turn] = []
        for said in row["turns"]:
            layout = TurnLayout(role=said["role"], kinds=tuple(part["kind"] for part in said["parts"]))
            texts = (part["text"] for part in said["parts"])
            turn = parse_turn(dict(zip(field_names(layout), texts, strict=True)), layout, slack=2)
            check_turn(turn, turns)
            turns.append(turn)
        sketch_texts(texts_of(turns))
