"""The root ledger: sums over the shard ledgers, and what the corpus was made with."""

from __future__ import annotations

import platform
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from pipeline import __version__
from pipeline.adapters.corpus import SCHEMA_VERSION, CorpusFolder
from pipeline.adapters.model_lock import load_lock
from pipeline.adapters.scores import CorpusScores
from pipeline.contracts.ledger import Ledger, ShardEntry, ShardLedger
from pipeline.contracts.remote import RemotePlugin
from pipeline.execution.project import Project
from pipeline.values.ids import content_key, sha256_hex
from pipeline.values.records import Modality, PlannedDialogue
from pipeline.work import taking, topics
from pipeline.work.card import write_card

LIBRARIES = ("ray", "pyarrow", "openai", "numpy", "pillow", "soundfile")


def build_ledger(
    project: Project,
    folder: CorpusFolder,
    entries: Sequence[ShardEntry],
    shards: Mapping[int, Sequence[PlannedDialogue]],
) -> Ledger:
    """Sum up the shards; the card's hash is filled in by :func:`write_corpus_card`."""
    ledgers = [folder.read_shard_ledger(entry) for entry in entries]
    tables: Counter[str] = Counter()
    for ledger in ledgers:
        for file in ledger.files:
            tables[file.table] += file.num_rows
    lost = [sum(dict(ledger.stages.get(s, {})).get("num_lost_calls", 0) for s in ledger.stages) for ledger in ledgers]
    return Ledger(
        schema_version=SCHEMA_VERSION,
        name=project.manifest.name,
        description=project.manifest.description,
        generator=f"anyinstruct {__version__}",
        manifest=project.manifest.model_dump(mode="json"),
        counts=sum_counts(ledger.counts for ledger in ledgers),
        reasons=sum_counts(ledger.reasons for ledger in ledgers),
        matrix=_matrix(project, ledgers, shards),
        features=_features(project, ledgers, shards),
        edits=sum_counts(ledger.edits for ledger in ledgers),
        repairs=sum_counts(ledger.repairs for ledger in ledgers),
        shortfalls=sum_counts(ledger.shortfalls for ledger in ledgers),
        audits=tuple(CorpusScores(folder.root, project.manifest.screen.limits).stated),
        topics=_count_topics(folder, shards),
        texts=_count_texts(project, folder),
        tables=tables,
        voices=sum_counts(ledger.voices for ledger in ledgers),
        spend=sum_spend(folder, ledgers),
        num_lost_calls=sum(lost),
        writer=_describe_writer(project),
        renderers={str(m): _describe_renderer(project, m, ledgers) for m in project.manifest.media},
        prompts=describe_prompts(project),
        versions={"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        card_sha256="",
        shards=tuple(entries),
    )


def write_corpus_card(folder: CorpusFolder, ledger: Ledger) -> tuple[str, Ledger]:
    """Return the data card and the ledger that carries its hash."""
    card = write_card(ledger, [folder.read_shard_ledger(entry) for entry in ledger.shards])
    return card, ledger.model_copy(update={"card_sha256": sha256_hex(card)})


def _count_topics(folder: CorpusFolder, shards: Mapping[int, Sequence[PlannedDialogue]]) -> dict[str, int]:
    """Topics that dialogues are about, and generated ones that were left out for being like another."""
    used = {row.topic.id for rows in shards.values() for row in rows}
    return {"used": len(used), "held_back": len((folder.read_topic_screen() or {}).get("held_back", ()))}


def _count_texts(project: Project, folder: CorpusFolder) -> Any:
    """What became of all rows that dialogues were taken from."""
    receipt = folder.texts().receipt(taking.STAGE) if project.manifest.texts else None
    return receipt.facts[taking.COUNTS] if receipt else {}


def sum_counts(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add counts up by name, in the order of names."""
    total: Counter[str] = Counter()
    for some in counts:
        for name, number in some.items():
            total[name] += number
    return dict(sorted(total.items()))


def _matrix(
    project: Project, ledgers: Sequence[ShardLedger], shards: Mapping[int, Sequence[PlannedDialogue]]
) -> dict[str, dict[str, float]]:
    """By cell: the share that the manifest wants, and how many were planned and kept."""
    weights = sum(cell.weight for cell in project.manifest.mix)
    planned = Counter(row.slot.cell for rows in shards.values() for row in rows)
    kept = sum_counts(ledger.cells for ledger in ledgers)
    return {
        cell.name: {
            "share": round(cell.weight / weights, 6),
            "planned": planned[cell.name],
            "kept": kept.get(cell.name, 0),
        }
        for cell in project.manifest.mix
    }


def _features(
    project: Project, ledgers: Sequence[ShardLedger], shards: Mapping[int, Sequence[PlannedDialogue]]
) -> dict[str, dict[str, float]]:
    """By cell and feature: the share of the cell that the manifest wants, and how many were planned and kept."""
    planned = Counter(f"{row.slot.cell}/{name}" for rows in shards.values() for row in rows for name in row.features)
    kept = sum_counts(ledger.features for ledger in ledgers)
    return {
        f"{cell.name}/{name}": {
            "share": share,
            "planned": planned[f"{cell.name}/{name}"],
            "kept": kept.get(f"{cell.name}/{name}", 0),
        }
        for cell in project.manifest.mix
        for name, share in cell.features.items()
    }


def sum_spend(folder: CorpusFolder, ledgers: Sequence[ShardLedger]) -> dict[str, dict[str, dict[str, float]]]:
    """Return calls, tokens and dollars by stage and model, over the rows that the corpus rests on."""
    receipt = folder.topics().receipt(topics.STAGE)
    facts = [(topics.STAGE, receipt.facts)] if receipt else []
    facts += [(stage, facts) for ledger in ledgers for stage, facts in ledger.stages.items()]
    total: dict[str, dict[str, dict[str, float]]] = {}
    for stage, fact in facts:
        for model, columns in fact.get("spend", {}).items():
            sums = total.setdefault(stage, {}).setdefault(model, defaultdict(float))
            for name, value in columns.items():
                sums[name] += value
    return total


def _describe_writer(project: Project) -> dict[str, Any]:
    writer = project.manifest.writer
    facts: dict[str, Any] = {
        "engine": writer.engine,
        "models": {entry.model: entry.weight for entry in writer.blend},
        "style": writer.effective_style,
    }
    if writer.engine == "embedded":
        locked = load_lock().model(writer.blend[0].model)
        facts |= {"licence": locked.licence, "sha256": {file.name: file.sha256 for file in locked.files}}
    facts["price_usd_per_million"] = {model: price.model_dump(mode="json") for model, price in project.prices.items()}
    return facts


def _describe_renderer(project: Project, modality: Modality, ledgers: Sequence[ShardLedger]) -> dict[str, Any]:
    plugin, options = project.plugin(modality), project.options(modality)
    price = plugin.price(options) if isinstance(plugin, RemotePlugin) else None
    return {
        **({} if price is None else {"price_usd": dict(price)}),
        "renderer": plugin.name,
        "version": plugin.version,
        "is_draft": plugin.is_draft,
        "options": options.model_dump(mode="json"),
        "licences": dict(plugin.licences(options)),
        **describe_renders(modality, ledgers),
    }


def describe_renders(kind: str, ledgers: Sequence[ShardLedger]) -> dict[str, Any]:
    """Return what shards state of the renders of a kind of media, summed up."""
    facts = [ledger.stages[kind] for ledger in ledgers if kind in ledger.stages]
    return {
        "seconds": round(sum(fact.get("render_seconds", 0.0) for fact in facts), 3),
        "made": sum(fact.get("num_made", 0) for fact in facts),
        "failed": sum(fact.get("num_failed", 0) for fact in facts),
        "made_by": _distinct(stated for fact in facts for stated in fact.get("provenance", [])),
    }


def _distinct(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def describe_prompts(project: Project) -> dict[str, str]:
    """Return hashes of all that the prompts folder holds, by file; none where nobody is asked for words."""
    texts = project.manifest.texts
    if texts is not None and not texts.rewrite:
        return {}
    book = project.book
    names = sorted(path.stem for path in (book.folder / "templates").glob("*.j2"))
    keys = {f"templates/{name}.j2": book.key(name) for name in names}
    keys["meta_topics.yaml"] = content_key([m.model_dump(mode="json") for m in book.meta_topics.values()])
    keys["demonstrations"] = content_key([d.model_dump(mode="json") for d in book.demonstrations.values()])
    keys["requirements.yaml"] = content_key([r.model_dump(mode="json") for r in book.requirements.values()])
    return keys
