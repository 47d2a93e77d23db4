"""A corpus's figures, gathered from its tables, its ledger and what audits have left beside it."""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.adapters.census import MEDIA_TABLES, Census, count_corpus, kept_lines
from pipeline.adapters.files import sha256_file
from pipeline.adapters.published import TABLE_OF, PublishedCorpus
from pipeline.adapters.readings import CorpusReadings, Finding, TakenAudit
from pipeline.contracts.ledger import Ledger
from pipeline.execution.report_origin import describe_origin, describe_renderers, describe_spend
from pipeline.execution.showcase import Showcase
from pipeline.values.errors import CorpusError
from pipeline.values.ids import rank_by_hash
from pipeline.values.records import Modality
from pipeline.values.units import Bytes
from pipeline.work.audit_summary import Column, Summary, find_passing
from pipeline.work.pages import say_short
from pipeline.work.report_figures import (
    AssetFigures,
    CellFigures,
    Check,
    Fate,
    Figures,
    MetaTopicFigures,
    ModalityFigures,
)
from pipeline.work.report_page import write_report
from pipeline.work.taking import KEPT, ROWS, add_up, count_rejected

NO_META_TOPIC = "(none)"
ENDED = ("kept", "rejected", "failed")
MODALITIES = tuple(str(modality) for modality in Modality)


@dataclass
class Quality:
    """What audits say over all records.

    Attributes:
        audited: Dialogues of which something was measured.
        short: Findings by dialogue.
    """

    summaries: list[Summary] = field(default_factory=list)
    shares: dict[str, float] = field(default_factory=dict)
    audited: set[str] = field(default_factory=set)
    short: Counter[str] = field(default_factory=Counter)
    num_undecodable: int = 0


def gather_figures(root: Path, num_samples: int) -> Figures:
    """Read what a report tells of a corpus; media and turns stay unread.

    Args:
        num_samples: Dialogues to name among the worst, and as many at random.

    Raises:
        CorpusError: it is no corpus, or a file of it is damaged.
    """
    corpus = PublishedCorpus(root)
    try:
        return _gather(corpus, num_samples)
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        # The ledger's manifest, writer and renderers are open mappings, which a stranger may fill with anything.
        raise CorpusError(f"{root}: ledger or tables hold what no run writes ({exc}); `anyinstruct verify`") from exc


def _gather(corpus: PublishedCorpus, num_samples: int) -> Figures:
    root = corpus.root
    ledger, census = corpus.ledger, count_corpus(corpus)
    quality = gather_quality(CorpusReadings(root), census)
    per_meta, drawn = _look_at_kept(corpus, quality, num_samples)
    worst = heapq.nsmallest(num_samples, quality.short.items(), key=lambda pair: (-pair[1], pair[0]))
    audited = sum(counts["audited"] for counts in per_meta.values())
    return Figures(
        name=ledger.name if ledger else root.resolve().name,
        description=ledger.description if ledger else "",
        fate=_fate(census.states, census, ledger.counts.get("planned", 0) if ledger else None),
        checks=tuple(_checks(ledger, census)) if ledger else (),
        texts=dict(add_up(ledger.texts)) if ledger else {},
        cells=_cells(ledger, census),
        modalities=_modalities(_cells(ledger, census), ledger, census),
        assets=tuple(
            AssetFigures(
                kind=kind,
                num_assets=found.num_assets,
                num_drafts=found.num_drafts,
                seconds=found.seconds,
                num_bytes=found.num_bytes,
            )
            for kind, found in census.media.items()
        ),
        meta_topics=_meta_topics(ledger, census, per_meta),
        num_topics=sum(map(len, census.topics.values())),
        voices=tuple(census.voices.most_common()),
        reasons=tuple(sorted(census.reasons.items(), key=lambda pair: (-pair[1], pair[0]))),
        spend=describe_spend(ledger) if ledger else (),
        num_lost_calls=ledger.num_lost_calls if ledger else None,
        renderers=describe_renderers(ledger) if ledger else (),
        summaries=tuple(quality.summaries),
        share_audited=quality.shares,
        num_undecodable=quality.num_undecodable if quality.shares else None,
        num_audited=audited,
        num_good=sum(counts["good"] for counts in per_meta.values()),
        origin=describe_origin(ledger, sha256_file(root / "ledger.json")) if ledger else None,
        worst=tuple(name for name, _ in worst),
        random=tuple(drawn),
        repairs=ledger.passing if ledger and ledger.repairs else None,
    )


def gather_quality(readings: CorpusReadings, census: Census) -> Quality:
    """Sum up what audits have left."""
    quality = Quality()
    for audit in readings.audits:
        total = census.rows[TABLE_OF[audit.about]]
        seen, columns = _gather_audit(readings, audit, quality)
        share = min(1.0, seen / total) if total and seen else 1.0
        quality.shares[audit.name] = share if seen else 0.0
        quality.summaries += [column.sum_up(share) for column in columns]
    return quality


def _gather_audit(readings: CorpusReadings, audit: TakenAudit, quality: Quality) -> tuple[int, list[Column]]:
    columns = {measure: Column(measure, audit.about, audit.name, None) for measure in audit.measures}
    num_seen = 0
    for some in readings.columns(audit):
        num_seen += len(some.record_ids)
        quality.audited.update(some.dialogue_ids)
        broken = [name for name, is_broken in zip(some.dialogue_ids, some.is_damaged, strict=True) if is_broken]
        quality.num_undecodable += len(broken)
        quality.short.update(broken)
        for measure, column in columns.items():
            values = some.values(measure.name)
            column.extend(some.record_ids, some.dialogue_ids, values)
            if measure.limit is not None:
                is_short = np.isfinite(values) & ~find_passing(values, measure, measure.limit)
                quality.short.update(compress(some.dialogue_ids, is_short))
    return num_seen, list(columns.values())


def _look_at_kept(
    corpus: PublishedCorpus, quality: Quality, num_samples: int
) -> tuple[dict[str, Counter[str]], list[str]]:
    """Return audited and good dialogues by meta-topic, and the ids of a few dialogues drawn by hash."""
    per_meta: dict[str, Counter[str]] = {}
    drawn: list[str] = []
    seed = int(corpus.ledger.manifest.get("seed", 0)) if corpus.ledger else 0
    for line in kept_lines(corpus):
        counts = per_meta.setdefault(line.meta_topic, Counter())
        if line.id in quality.audited:
            counts["audited"] += 1
            counts["good"] += line.id not in quality.short
        drawn.append(line.id)
        if len(drawn) >= 1024 + num_samples:
            drawn = rank_by_hash(drawn, seed, "report sample")[:num_samples]
    return per_meta, rank_by_hash(drawn, seed, "report sample")[:num_samples]


def _fate(states: Mapping[str, int], census: Census, packed: int | None) -> Fate:
    """Say where dialogues ended; ``packed`` is how many of them a ledger planned in packed shards, None without one."""
    waiting = states.get("waiting", 0) if census.has_plan else None
    planned = None if packed is None else packed + (waiting or 0)
    kept, rejected, failed = (states.get(state, 0) for state in ENDED)
    return Fate(planned=planned, kept=kept, rejected=rejected, failed=failed, waiting=waiting)


def _part_fate(states: Mapping[str, int], ledger: Ledger | None, census: Census) -> Fate:
    """Of some dialogues; the ledger states no plan for those, so that it is what became of them."""
    return _fate(states, census, None if ledger is None else sum(states.get(state, 0) for state in ENDED))


def _checks(ledger: Ledger, census: Census) -> Iterable[Check]:
    for state in ENDED:
        yield Check(what=f"dialogues {state}", stated=ledger.counts.get(state, 0), counted=census.states[state])
    ended = sum(census.states[state] for state in ENDED)
    yield Check(what="planned, in packed shards", stated=ledger.counts.get("planned", 0), counted=ended)
    for source, found in ledger.texts.items():
        told = found.get(KEPT, 0) + count_rejected(found)
        yield Check(what=f"rows of {source}, kept or rejected", stated=found.get(ROWS, 0), counted=told)
    for table in MEDIA_TABLES:
        if table in ledger.tables or census.rows[table]:
            yield Check(what=f"rows of {table}", stated=ledger.tables.get(table, 0), counted=census.rows[table])
    yield Check(what="reasons of losses", stated=sum(ledger.reasons.values()), counted=sum(census.reasons.values()))
    kept: Counter[str] = Counter()
    for (cell, _, _), counts in census.cells.items():
        kept[cell] += counts["kept"]
    for cell, numbers in ledger.matrix.items():
        yield Check(what=f"kept in cell {cell}", stated=int(numbers.get("kept", 0)), counted=kept[cell])
    yield Check(what="clips, over all voices", stated=sum(ledger.voices.values()), counted=sum(census.voices.values()))


def _cells(ledger: Ledger | None, census: Census) -> tuple[CellFigures, ...]:
    mix: dict[str, Mapping[str, Any]] = {}
    if ledger is not None:
        mix = {str(cell.get("name")): cell for cell in ledger.manifest.get("mix", ())}
    states: dict[str, Counter[str]] = {name: Counter() for name in mix}
    shapes = {name: (tuple(cell.get("gives", ())), tuple(cell.get("answers", ()))) for name, cell in mix.items()}
    for (cell, gives, answers), counts in census.cells.items():
        name = cell or (f"{', '.join(gives)} → {', '.join(answers)}" if gives or answers else "")
        states.setdefault(name, Counter()).update(counts)
        if not any(shapes.get(name, ((), ()))):
            shapes[name] = (gives, answers)
    kept = census.states["kept"]
    return tuple(
        CellFigures(
            name=name,
            gives=shapes[name][0],
            answers=shapes[name][1],
            wanted=float(ledger.matrix[name].get("share", 0.0)) if ledger and name in ledger.matrix else None,
            reached=counts["kept"] / kept if kept else 0.0,
            fate=_part_fate(counts, ledger, census),
        )
        for name, counts in states.items()
    )


def _modalities(cells: Iterable[CellFigures], ledger: Ledger | None, census: Census) -> tuple[ModalityFigures, ...]:
    sums: dict[str, Counter[str]] = {}
    for cell in cells:
        for modality in {*cell.gives, *cell.answers}:
            counts = sums.setdefault(modality, Counter())
            for state in (*ENDED, "waiting"):
                counts[state] += getattr(cell.fate, state) or 0
    order = [*(m for m in MODALITIES if m in sums), *sorted(sums.keys() - set(MODALITIES))]
    return tuple(ModalityFigures(name=name, fate=_part_fate(sums[name], ledger, census)) for name in order)


def _meta_topics(
    ledger: Ledger | None, census: Census, per_meta: Mapping[str, Counter[str]]
) -> tuple[MetaTopicFigures, ...]:
    rows = [
        MetaTopicFigures(
            name=name or NO_META_TOPIC,
            num_topics=len(census.topics[name]),
            fate=_part_fate(counts, ledger, census),
            num_audited=per_meta.get(name, Counter())["audited"],
            num_good=per_meta.get(name, Counter())["good"],
        )
        for name, counts in census.meta_topics.items()
    ]
    return tuple(sorted(rows, key=lambda row: row.name))


def write_page(root: Path, figures: Figures, budget: Bytes) -> str:
    """Return the report as a page, with the samples that the figures name.

    Args:
        budget: Bytes of the page that media may take.
    """
    findings: dict[str, list[str]] = {}
    for finding in CorpusReadings(root).findings({*figures.worst, *figures.random}):
        findings.setdefault(finding.dialogue_id, []).append(_say(finding))
    names = dict.fromkeys([*figures.worst, *figures.random])
    shown = Showcase(PublishedCorpus(root), budget).show(list(names), findings)
    worst, random = ([shown[name] for name in some if name in shown] for some in (figures.worst, figures.random))
    return write_report(figures, worst, random)


def _say(finding: Finding) -> str:
    if finding.measure is None or finding.value is None:
        return f"{finding.record_id}: cannot be decoded: {finding.detail}"
    sign = "≥" if finding.measure.better == "higher" else "≤"
    bound = "" if finding.measure.limit is None else f", limit {sign} {say_short(finding.measure.limit)}"
    detail = f": {finding.detail}" if finding.detail else ""
    return f"{finding.measure.name} {say_short(finding.value)}{bound}{_say_place(finding)}{detail}"


def _say_place(finding: Finding) -> str:
    """Say which of a dialogue's media a finding is about; a stranger's ids need not tell the turn."""
    if finding.about == "dialogue":
        return ""
    turn = finding.record_id.removeprefix(f"{finding.dialogue_id}-").partition("-")[0]
    if re.fullmatch("[0-9]{1,4}", turn):
        return f" ({finding.about} of turn {int(turn) + 1})"
    return f" ({finding.record_id})"
