"""Corpora from anywhere: damaged, crafted, full of text that means to be more. Readers answer, or refuse in words."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.adapters.published import PublishedCorpus
from pipeline.adapters.reading import CorpusReader
from pipeline.adapters.readings import CorpusReadings
from pipeline.adapters.repair_book import RepairBook
from pipeline.adapters.runs import read_last_tally, survey_stages
from pipeline.adapters.verdicts import VerdictBook
from pipeline.cli.app import main
from pipeline.contracts.review import Verdict
from pipeline.contracts.storage import Row
from pipeline.execution.audits import AuditSetting
from pipeline.values.errors import AnyInstructError
from pipeline.values.ids import sha256_hex
from pipeline.values.repairs import Miss, Repair, Try
from tests.support.auditing import run_here
from tests.support.corpora import TinyCorpus, copy_corpus, restate_root, restate_shard, restate_table

fuzzed = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "40")),
    deadline=None,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
HOSTILE_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 10**18, 10**40, 1e308, float("nan"), "", "\0", "../../../victim", "/etc/passwd", "\ud800",
    "x" * 10_000, [], {}, [[]], {"a": 1}, [None],
)  # fmt: skip
HOSTILE_TEXT = (
    "\x1b[2J\x1b]0;owned\x07[bold red]loud[/bold red] \u202egnp.exe <script>alert(1)</script> {{ 7 * 7 }} ../../x"
    " \x9b31m"
)


@pytest.fixture(scope="module")
def used(tiny_original: TinyCorpus, tmp_path_factory: pytest.TempPathFactory) -> TinyCorpus:
    """A corpus that was audited, judged, repaired and watched."""
    corpus = copy_corpus(tiny_original, tmp_path_factory.mktemp("used"))
    run_here(AuditSetting(corpus.root, ("picture-basics",), limits={"image.contrast": 2.0}))
    kept, picture = corpus.rows("dialogues")[0]["id"], corpus.rows("images")[0]
    VerdictBook(corpus.root).file("anna").append(Verdict(dialogue_id=kept, decision="reject", note="no"))
    miss = Miss(measure="image.contrast", better="higher", limit=2.0, value=0.5)
    missed = Try(wanted=0, made=0, input_key="0" * 16, misses=(miss,))
    repair = Repair(part_id=picture["part_id"], wanted=1, tries=(missed,))
    RepairBook(corpus.root / "work").write(0, {"a-key": repair})
    tally = {"t": 1.0, "event": "tally", "pid": 1, "state": "done", "stages": {"image": {"done": 1, "total": 2}}}
    (corpus.root / "work" / "events.jsonl").write_text(json.dumps(tally) + "\n")
    return corpus


def read_all(root: Path) -> None:
    """Read whatever commands read of a corpus."""
    reader = CorpusReader(root)
    for listed in reader.first(3):
        reader.read(listed.id)
    published = PublishedCorpus(root)
    for shard in published.shards:
        for subject in ("dialogue", "image", "music", "speech"):
            shard.index(subject)
            list(shard.rows(subject))
    readings = CorpusReadings(root)
    list(readings.findings())
    for audit in readings.audits:
        list(readings.columns(audit))
    book = VerdictBook(root)
    for name in book.reviewers():
        book.file(name).latest()
    for index in reader.folder.shard_indices():
        RepairBook(root / "work").read(index)
    survey_stages(root / "work")
    read_last_tally(root / "work")
    reader.folder.read_plan()
    reader.folder.look_at_topic_screen()


def try_to_read(root: Path) -> None:
    """Read, and find everything outside the corpus as it was."""
    victim = root.parent / "victim"
    victim.write_text("mine")
    try:
        read_all(root)
    except AnyInstructError as exc:
        assert str(exc).strip()
    assert victim.read_text() == "mine"
    assert not list(root.parent.glob("victim?*"))


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for key, child in items:
        found += [(*at, key), *places(child, (*at, key))]
    return found


def change(value: Any, number: int, hostile: Any, is_out: bool) -> Any:
    there = places(value)
    if not there:
        return hostile
    *above, last = there[number % len(there)]
    holder = value
    for key in above:
        holder = holder[key]
    if is_out:
        del holder[last]
    else:
        holder[last] = hostile
    return value


def restate_ledger_of(root: Path, path: Path) -> None:
    """Have the root ledger name a shard's ledger as it is now: wrong, and yet with a sound hash."""
    ledger = json.loads((root / "ledger.json").read_text())
    for entry in ledger["shards"]:
        if entry["path"] == path.relative_to(root).as_posix():
            entry["sha256"] = sha256_hex(path.read_bytes())
    (root / "ledger.json").write_text(json.dumps(ledger))


@fuzzed
@given(st.data())
def test_any_change_in_a_file_of_json_is_read_or_refused(used: TinyCorpus, tmp_path: Path, data: st.DataObject) -> None:
    root = tmp_path / "tiny"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(used.root, root)
    path = data.draw(st.sampled_from(sorted(root.rglob("*.json"))))
    number, is_out = data.draw(st.integers(0, 10**6)), data.draw(st.booleans())
    value = change(json.loads(path.read_text()), number, data.draw(st.sampled_from(HOSTILE_VALUES)), is_out)
    path.write_text(json.dumps(value))
    if path.parent.name == "ledgers":
        restate_ledger_of(root, path)
    try_to_read(root)


@fuzzed
@given(st.data())
def test_any_damage_to_any_file_is_read_or_refused(used: TinyCorpus, tmp_path: Path, data: st.DataObject) -> None:
    root = tmp_path / "tiny"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(used.root, root)
    paths = sorted(path for path in root.rglob("*") if path.is_file() and path.stat().st_size)
    path = data.draw(st.sampled_from(paths))
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        # Where a Parquet file states its columns is where damage misleads most.
        from_end = data.draw(st.booleans())
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, min(len(content), 3000) - 1 if from_end else len(content) - 1))
            content[len(content) - 1 - at if from_end else at] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    try_to_read(root)


@pytest.mark.parametrize(
    ("table", "column", "values"),
    [
        ("dialogues", "turns", pa.array([1, 2, 3])),
        ("dialogues", "turns", pa.array([[["x"]]] * 3)),
        ("dialogues", "id", pa.array([1, 2, 3])),
        ("dialogues", "gives", pa.array(["text"] * 3)),
        ("dialogues", "topic", pa.array([[1]] * 3)),
        ("images", "image", pa.array(["x"])),
        ("images", "dialogue_id", pa.array([1.5])),
        ("images", "turn", pa.array(["first"])),
    ],
)
def test_a_column_of_another_kind_is_named(
    used: TinyCorpus, tmp_path: Path, table: str, column: str, values: pa.Array
) -> None:
    corpus = copy_corpus(used, tmp_path)
    path = corpus.table(table)
    former = pq.read_table(path)
    filled = pa.array([values[0].as_py()] * len(former), values.type)
    pq.write_table(former.set_column(former.column_names.index(column), column, filled), path)
    with pytest.raises(AnyInstructError, match=rf"column '{column}' is .*, must be "):
        read_all(corpus.root)


def run(*words: object) -> tuple[int, str]:
    """Run a command line in this process; its exit code, and all that it has said."""
    said = io.StringIO()
    former, sys.argv = sys.argv, ["anyinstruct", *map(str, words)]
    try:
        with redirect_stdout(said), redirect_stderr(said):
            main()
    except SystemExit as exc:
        return int(exc.code or 0), said.getvalue()
    finally:
        sys.argv = former
    return 0, said.getvalue()


@pytest.fixture(scope="module")
def poisoned(used: TinyCorpus, tmp_path_factory: pytest.TempPathFactory) -> TinyCorpus:
    """A corpus of which every text of strangers is hostile, and every hash sound."""
    corpus = copy_corpus(used, tmp_path_factory.mktemp("poisoned"))

    def poison(rows: list[Row]) -> list[Row]:
        for row in rows:
            for name in ("topic", "meta_topic", "scenario", "message", "description", "transcript", "notes", "cell"):
                if row.get(name) is not None:
                    row[name] = HOSTILE_TEXT
            for turn in row.get("turns") or ():
                for part in turn["parts"]:
                    part["text"] = HOSTILE_TEXT
        return rows

    for shard in (0, 1):
        for file in corpus.shard_ledger(shard).files:
            restate_table(corpus, file.table, shard, poison)
        restate_shard(corpus, shard, reasons={HOSTILE_TEXT: 3}, cells={HOSTILE_TEXT: 3}, voices={HOSTILE_TEXT: 2})
    restate_root(corpus, description=HOSTILE_TEXT, reasons={HOSTILE_TEXT: 3}, voices={HOSTILE_TEXT: 2})
    return corpus


def test_no_command_lets_a_strangers_text_through_to_the_terminal(poisoned: TinyCorpus, tmp_path: Path) -> None:
    root, kept = poisoned.root, poisoned.rows("dialogues")[0]["id"]
    page = tmp_path / "report.html"
    said = {
        name: run(*words)
        for name, words in {
            "status": ("status", root),
            "show": ("show", root),
            "show one": ("show", root, kept),
            "trace": ("show", root, kept, "--trace"),
            "save": ("show", root, kept, "--save", tmp_path / "saved"),
            "verify": ("verify", root),
            "gc": ("gc", root, "--dry-run"),
            "agreement": ("review", root, "--agreement"),
            "report": ("report", root, "--out", page),
            "diff": ("diff", root, root, "--out", tmp_path / "diff.html"),
            "no such": ("show", root, "\x1b[2J"),
        }.items()
    }
    for name, (code, text) in said.items():
        assert code in (0, 1, 2), (name, text[-500:])
        assert [c for c in text if not (c.isprintable() or c == "\n")] == [], name
        assert "49 ../../x" not in text, name
    for path in (page, tmp_path / "diff.html"):
        html = path.read_text("utf-8")
        assert "alert(1)</script>" not in html
        assert not [c for c in html if c in "\x1b\x07\x9b\u202e"]
        assert "49 ../../x" not in html
    assert not list(tmp_path.rglob("x"))
