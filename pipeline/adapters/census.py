"""Counting what the published tables hold, out of their small columns: media bytes and turns are not read."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.adapters.published import PublishedCorpus
from pipeline.contracts.storage import Row
from pipeline.values.errors import CorpusError

STATES: Mapping[str, str] = {"dialogues": "kept", "rejected": "rejected", "failed": "failed"}
MEDIA_TABLES: Mapping[str, str] = {"images": "image", "music": "music", "speech": "speech"}

_DIALOGUE_COLUMNS = ("id", "topic", "topic_id", "meta_topic", "cell", "gives", "answers", "stage", "code")
_ASSET_COLUMNS = ("is_draft", "duration", "voice")


@dataclass(frozen=True)
class Line:
    """A dialogue as it is counted; what its table does not say is empty."""

    id: str
    state: str
    topic: str
    meta_topic: str
    cell: str
    gives: tuple[str, ...]
    answers: tuple[str, ...]


@dataclass
class MediaCount:
    """What one media table holds; None for what its rows do not say."""

    num_assets: int = 0
    num_bytes: int = 0
    num_drafts: int | None = None
    seconds: float | None = None


@dataclass
class Census:
    """Counts over all tables.

    Attributes:
        states: Dialogues by ``kept``, ``rejected``, ``failed`` and ``waiting``; the last only where there is a plan.
        cells, meta_topics: The same by cell, with its modalities, and by meta-topic.
        topics: Distinct topics by meta-topic.
        rows: Rows by table.
    """

    has_plan: bool = False
    states: Counter[str] = field(default_factory=Counter)
    cells: dict[tuple[str, tuple[str, ...], tuple[str, ...]], Counter[str]] = field(default_factory=dict)
    meta_topics: dict[str, Counter[str]] = field(default_factory=dict)
    topics: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    reasons: Counter[str] = field(default_factory=Counter)
    voices: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    media: dict[str, MediaCount] = field(default_factory=dict)

    def take(self, line: Line) -> None:
        """Count a dialogue."""
        self.states[line.state] += 1
        self.cells.setdefault((line.cell, line.gives, line.answers), Counter())[line.state] += 1
        self.meta_topics.setdefault(line.meta_topic, Counter())[line.state] += 1
        self.topics[line.meta_topic].add(line.topic)


def count_corpus(corpus: PublishedCorpus) -> Census:
    """Count everything.

    Raises:
        CorpusError: a file is missing or damaged.
    """
    census = Census()
    files = find_tables(corpus)
    for table, state in STATES.items():
        for path in files.get(table, ()):
            for row in read_columns(path, _DIALOGUE_COLUMNS):
                census.rows[table] += 1
                census.take(_line(row, state))
                if state != "kept":
                    census.reasons[f"{row.get('stage') or '?'}/{row.get('code') or '?'}"] += 1
    for line in _waiting(corpus, census):
        census.take(line)
    for table, kind in MEDIA_TABLES.items():
        if files.get(table):
            census.media[kind] = _count_media(files[table], census.voices)
            census.rows[table] = census.media[kind].num_assets
    return census


def find_tables(corpus: PublishedCorpus) -> dict[str, list[Path]]:
    """Return the files of all tables: those that the ledger names, or those that lie in a stranger's folders."""
    found: dict[str, list[Path]] = defaultdict(list)
    if corpus.ledger is None:
        for table in (*STATES, *MEDIA_TABLES):
            found[table] = sorted((corpus.root / table).glob("*.parquet"))
        return found
    for entry in corpus.ledger.shards:
        for file in corpus.folder.read_shard_ledger(entry).files:
            found[file.table].append(corpus.folder.inside(file.path))
    return found


def kept_lines(corpus: PublishedCorpus) -> Iterator[Line]:
    """Yield the kept dialogues."""
    for path in find_tables(corpus).get("dialogues", ()):
        for row in read_columns(path, _DIALOGUE_COLUMNS):
            yield _line(row, "kept")


def read_columns(path: Path, wanted: Iterable[str]) -> Iterator[Row]:
    """Yield rows with those of some columns that a file has.

    Raises:
        CorpusError: the file is missing or damaged.
    """
    yield from _read(path, wanted).to_pylist()


def _read(path: Path, wanted: Iterable[str]) -> pa.Table:
    """Read small columns of a whole file: reading them by row groups of 100 takes five times as long."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return file.read(columns=[name for name in wanted if name in file.schema_arrow.names])
    except (OSError, pa.ArrowException) as exc:
        raise CorpusError(f"{path}: cannot be read ({exc}); run `anyinstruct verify` on the corpus") from exc


def _line(row: Row, state: str) -> Line:
    return Line(
        id=str(row.get("id") or ""),
        state=state,
        topic=str(row.get("topic") or row.get("topic_id") or ""),
        meta_topic=str(row.get("meta_topic") or ""),
        cell=str(row.get("cell") or ""),
        gives=tuple(row.get("gives") or ()),
        answers=tuple(row.get("answers") or ()),
    )


def _waiting(corpus: PublishedCorpus, census: Census) -> Iterator[Line]:
    """Yield what the plan has in shards that no ledger names yet."""
    path = corpus.folder.work / "plan.parquet"
    if corpus.ledger is None or not path.is_file():
        return
    census.has_plan = True
    packed = pa.array([entry.shard for entry in corpus.ledger.shards], pa.int32())
    plan = _read(path, ("id", "topic", "meta_topic", "shard", "slot"))
    for row in plan.filter(pc.invert(pc.is_in(plan["shard"], packed))).to_pylist():
        slot = json.loads(row["slot"])
        yield _line({**row, "cell": slot["cell"], "gives": slot["gives"], "answers": slot["answers"]}, "waiting")


def _count_media(paths: Iterable[Path], voices: Counter[str]) -> MediaCount:
    count = MediaCount()
    for path in paths:
        count.num_bytes += path.stat().st_size
        rows = _read(path, ("id", *_ASSET_COLUMNS))
        count.num_assets += rows.num_rows
        try:
            if "is_draft" in rows.column_names:
                count.num_drafts = (count.num_drafts or 0) + (pc.sum(rows["is_draft"]).as_py() or 0)
            if "duration" in rows.column_names:
                count.seconds = (count.seconds or 0.0) + (pc.sum(rows["duration"]).as_py() or 0.0)
        except pa.ArrowException as exc:
            raise CorpusError(f"{path}: is_draft is no truth value, or duration no number ({exc})") from exc
        if "voice" in rows.column_names:
            for pair in pc.value_counts(rows["voice"].drop_null()).to_pylist():
                voices[str(pair["values"])] += pair["counts"]
    return count
