"""``anyinstruct import``: topics and text dialogues of the published set, as a start or to compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO, TypeVar

import yaml
from rich.console import Console
from rich.table import Table

from pipeline.adapters.files import replacing
from pipeline.adapters.published_set import (
    DIALOGUES,
    IMAGES,
    MUSIC,
    SCENARIOS,
    TOPICS,
    PublishedFolder,
    RawRecord,
    find_published,
    read_published_records,
    read_published_topics,
)
from pipeline.adapters.shipped import shipped
from pipeline.adapters.topic_files import TopicFile, make_line_topic
from pipeline.adapters.yaml_file import load_yaml
from pipeline.cli.plain import plain
from pipeline.values.errors import ManifestError
from pipeline.values.manifest import Manifest
from pipeline.values.records import Modality, Topic
from pipeline.work.mix_estimate import MixEstimate
from pipeline.work.published_shapes import (
    FileCount,
    PublishedDialogue,
    PublishedScenario,
    Reason,
    RecordCount,
    Unfit,
    find_id,
    find_origin,
    parse_description,
    parse_scenario,
    parse_turns,
)

OUTPUTS = ("dialogues.jsonl", "topics.txt", "manifest.yaml")

HEADING = """\
# Made by `anyinstruct import`: a start to change as you like. The mix is that of the imported dialogues, each weight a
# number of them{note}.
# Their words are written. The published set had them voiced afterwards: put speech in place of text for the same.
# Writer and renderers are those of the shipped remote.yaml.
"""

T = TypeVar("T")


@dataclass
class Imported:
    """What an import found."""

    scenarios: RecordCount = field(default_factory=RecordCount)
    descriptions: dict[Modality, RecordCount] = field(
        default_factory=lambda: {Modality.IMAGE: RecordCount(), Modality.MUSIC: RecordCount()}
    )
    dialogues: RecordCount = field(default_factory=RecordCount)
    num_linked: int = 0
    topics: dict[str, Topic] = field(default_factory=dict)
    num_duplicates: int = 0
    num_unusable: int = 0
    named_topics: dict[str, None] = field(default_factory=dict)
    """Topics that scenarios and dialogues name, in the order in which they do."""
    mix: MixEstimate = field(default_factory=MixEstimate)


def import_published(source: Path, out: Path) -> None:
    """Read the published files below ``source`` and write ``out``; print what there was.

    Raises:
        ManifestError: there is nothing to read or no topic, a file has a shape that nobody knows, or ``out`` is taken.
        CorpusError: ``out`` cannot be written.
    """
    folders = find_published(source)
    if taken := next((out / name for name in OUTPUTS if (out / name).exists()), None):
        raise ManifestError(f"{taken}: is there already; name another folder to write to")
    found = Imported()
    files = [folder.files[TOPICS] for folder in folders if TOPICS in folder.files]
    lines = [line for file in files for line in read_published_topics(file)]
    with replacing(out / "dialogues.jsonl") as partial:
        with partial.open("w", encoding="utf-8") as dialogues:
            for folder in folders:
                _import_folder(folder, dialogues, found)
        _take_topics(lines or list(found.named_topics), found)
        if not found.topics:
            raise ManifestError(f"{source}: no topic in {TOPICS}, nor in what scenarios and dialogues name")
    TopicFile(out / "topics.txt", (), ()).add(found.topics.values()).write()
    _write_manifest(out / "manifest.yaml", found)
    _print(out, found, Console(highlight=False))


def _import_folder(folder: PublishedFolder, out: TextIO, found: Imported) -> None:
    scenarios: dict[str, PublishedScenario] = {}
    for name, scenario in _read(folder, SCENARIOS, _identified(parse_scenario), found.scenarios):
        if scenario.topic:
            found.named_topics[scenario.topic] = None
        if name is not None:
            scenarios.setdefault(name, scenario)
    descriptions: dict[Modality, dict[str, str]] = {}
    for kind, file in ((Modality.IMAGE, IMAGES), (Modality.MUSIC, MUSIC)):
        entries = _read(folder, file, _identified(parse_description), found.descriptions[kind])
        descriptions[kind] = {name: text for name, text in entries if name is not None}
    where = DIALOGUES if folder.name == "." else f"{folder.name}/{DIALOGUES}"
    seen: set[str] = set()

    def parse(record: RawRecord) -> PublishedDialogue:
        name = find_id(record.key, record.value) or str(record.number)
        turns = parse_turns(record.value, descriptions)
        topic, scenario = find_origin(record.value, scenarios.get(name))
        dialogue = PublishedDialogue(id=name, file=where, topic=topic, scenario=scenario, turns=turns)
        if name in seen:
            raise Unfit(Reason.ID_TWICE, f"the id {name!r} stands twice")
        seen.add(name)
        return dialogue

    for dialogue in _read(folder, DIALOGUES, parse, found.dialogues):
        out.write(dialogue.model_dump_json() + "\n")
        found.mix.add(dialogue.turns)
        found.num_linked += dialogue.scenario is not None
        if dialogue.topic:
            found.named_topics[dialogue.topic] = None


def _identified(parse: Callable[[Any], T]) -> Callable[[RawRecord], tuple[str | None, T]]:
    return lambda record: (find_id(record.key, record.value), parse(record.value))


def _read(folder: PublishedFolder, name: str, parse: Callable[[RawRecord], T], total: RecordCount) -> Iterator[T]:
    """Yield what a file's records come to; those that are unfit are counted. A file that is not there yields none."""
    if name not in folder.files:
        return
    path, count = folder.files[name], FileCount()
    for record in read_published_records(path):
        count.num_read += 1
        try:
            value = parse(record)
        except Unfit as exc:
            count.skip(exc, record.place)
            continue
        yield value
    count.check(path)
    total.add(count)


def _take_topics(lines: list[str], found: Imported) -> None:
    for line in lines:
        try:
            topic = make_line_topic(line, "", TOPICS)
        except ManifestError:
            found.num_unusable += 1
            continue
        found.num_duplicates += topic.id in found.topics
        found.topics.setdefault(topic.id, topic)


def _write_manifest(path: Path, found: Imported) -> None:
    data = load_yaml(shipped("manifests", "remote.yaml"), dict[str, Any])
    cells, kept = found.mix.cells(), found.dialogues.num_kept
    data |= {
        "name": "imported",
        "description": "Topics and modality mix of the published AnyInstruct set.",
        "topics": {"files": ["topics.txt"]},
        "size": {"dialogues_per_topic": min(10_000, max(1, round(kept / len(found.topics))))},
    }
    if cells:
        data["size"]["max_dialogues"] = kept
        data["mix"] = [cell.model_dump(mode="json") for cell in cells]
    Manifest.model_validate(data)
    note = "" if cells else "; there were none, so it is that of remote.yaml"
    with replacing(path) as partial:
        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
        partial.write_text(HEADING.format(note=note) + text, encoding="utf-8")


def _print(out: Path, found: Imported, console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("records", "read", "kept", "left out"):
        table.add_column(name, justify="left" if name in ("records", "left out") else "right", overflow="fold")
    reasons = {"duplicates": found.num_duplicates, "unusable": found.num_unusable}
    left_out = ", ".join(f"{name} {number:,}" for name, number in reasons.items() if number)
    num_topics = len(found.topics)
    table.add_row("topics", f"{num_topics + sum(reasons.values()):,}", f"{num_topics:,}", left_out)
    rows = {"scenarios": found.scenarios, "dialogues": found.dialogues}
    rows |= {f"descriptions of {kind}": count for kind, count in found.descriptions.items()}
    for name, count in rows.items():
        left_out = ", ".join(f"{reason} {number:,}" for reason, number in count.skipped.most_common())
        table.add_row(name, f"{count.num_read:,}", f"{count.num_kept:,}", left_out)
    console.print(table)
    total = found.mix.num_dialogues
    if total:
        console.print(f"{found.mix.mean_rounds:.2f} rounds a dialogue; {found.num_linked:,} linked to a scenario")
        console.print(_draw_matrix(found.mix, total))
    console.print(plain(f"written to {out}: {', '.join(OUTPUTS)}", 1000), soft_wrap=True)


def _draw_matrix(mix: MixEstimate, total: int) -> Table:
    table = Table(box=None, pad_edge=False, title="Modality matrix found", title_justify="left")
    for name in ("gives", "answers"):
        table.add_column(name, overflow="fold")
    for name in ("rounds", "dialogues", "share"):
        table.add_column(name, justify="right")
    for cell in mix.cells():
        low, high = cell.rounds
        rounds = str(low) if low == high else f"{low} to {high}"
        gives, answers = ", ".join(cell.gives), ", ".join(cell.answers)
        table.add_row(gives, answers, rounds, f"{cell.weight:,.0f}", f"{cell.weight / total:.1%}")
    return table
