"""The root ledger and the data card of a corpus that no manifest makes."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import pyarrow.parquet as pq

from pipeline import __version__
from pipeline.adapters.corpus import SCHEMA_VERSION, CorpusFolder
from pipeline.contracts.ledger import Ledger, ShardEntry, ShardLedger
from pipeline.contracts.storage import Row
from pipeline.execution.ledger import sum_counts, write_corpus_card
from pipeline.work.shard_tally import OUTCOMES

_COLUMNS = ("cell", "gives", "answers", "topic_id", "language")
SEVERAL, UNKNOWN = "mul", "und"
"""ISO 639-2: several languages, and one that nobody has stated."""


@dataclass(frozen=True)
class Stated:
    """What the root ledger says that no row does; fields as in :class:`Ledger`.

    Attributes:
        text_sources: The ``files`` and ``hub`` sets of text-only instruction data as manifests name them.
    """

    name: str
    description: str
    origins: tuple[Mapping[str, Any], ...]
    writer: Mapping[str, Any] = field(default_factory=dict)
    renderers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    prompts: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    text_sources: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    spend: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    audits: tuple[Mapping[str, Any], ...] = ()
    num_lost_calls: int = 0


class _Survey:
    """What a few small columns of all rows tell of the corpus as a whole."""

    def __init__(self, folder: CorpusFolder, ledgers: Sequence[ShardLedger]) -> None:
        self.planned: Counter[str] = Counter()
        self.mix: dict[str, Row] = {}
        self.languages: set[str] = set()
        self.topics: set[str] = set()
        for table, row in _read(folder, ledgers):
            self.planned[row["cell"] or ""] += 1
            if table != "dialogues":
                continue
            cell = {"name": row["cell"], "gives": row["gives"], "answers": row["answers"]}
            self.mix.setdefault(row["cell"], cell)
            self.languages.add(row["language"] or UNKNOWN)
            self.topics.add(row["topic_id"])

    @property
    def language(self) -> str:
        return SEVERAL if len(self.languages) > 1 else next(iter(self.languages), UNKNOWN)

    def matrix(self, kept: Mapping[str, int]) -> dict[str, dict[str, float]]:
        total = self.planned.total()
        return {
            name: {"share": round(count / total, 6), "planned": count, "kept": kept.get(name, 0)}
            for name, count in sorted(self.planned.items())
        }


def publish_gathered(folder: CorpusFolder, entries: Sequence[ShardEntry], stated: Stated) -> Ledger:
    """Write the card and the root ledger, which makes a corpus of the shards.

    Nobody has planned such a corpus: the share of a cell is what it has, and each dialogue counts as planned.
    """
    ledgers = [folder.read_shard_ledger(entry) for entry in entries]
    survey = _Survey(folder, ledgers)
    tables: Counter[str] = Counter()
    for ledger in ledgers:
        tables.update({file.table: file.num_rows for file in ledger.files})
    sums: dict[str, Any] = {
        name: sum_counts(getattr(ledger, name) for ledger in ledgers)
        for name in ("counts", "reasons", "edits", "repairs", "shortfalls", "voices")
    }
    root = Ledger(
        schema_version=SCHEMA_VERSION,
        name=stated.name,
        description=stated.description,
        generator=f"anyinstruct {__version__}",
        manifest={
            "language": survey.language,
            "mix": list(survey.mix.values()),
            **({"texts": stated.text_sources} if stated.text_sources else {}),
        },
        matrix=survey.matrix(sum_counts(ledger.cells for ledger in ledgers)),
        audits=stated.audits,
        topics={"used": len(survey.topics - {""}), "held_back": 0},
        texts=stated.texts,
        tables=tables,
        spend=stated.spend,
        num_lost_calls=stated.num_lost_calls,
        writer=stated.writer,
        renderers=stated.renderers,
        prompts=stated.prompts,
        versions={"python": platform.python_version(), "pyarrow": version("pyarrow")},
        card_sha256="",
        shards=tuple(entries),
        origins=stated.origins,
        **{**sums, "counts": {**dict.fromkeys(("planned", *OUTCOMES.values()), 0), **sums["counts"]}},
    )
    card, root = write_corpus_card(folder, root)
    folder.publish(root, card)
    return root


def _read(folder: CorpusFolder, ledgers: Sequence[ShardLedger]) -> Iterator[tuple[str, Row]]:
    for ledger in ledgers:
        for file in ledger.files:
            if file.table not in OUTCOMES:
                continue
            with pq.ParquetFile(folder.inside(file.path)) as table:
                names = [name for name in _COLUMNS if name in table.schema_arrow.names]
                for row in table.read(columns=names, use_threads=False).to_pylist():
                    yield file.table, row
