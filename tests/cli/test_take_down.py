from __future__ import annotations

import asyncio
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.readings import CorpusReadings
from pipeline.adapters.takedown_book import read_takedowns
from pipeline.adapters.verdicts import VerdictBook
from pipeline.cli.take_down import take_down
from pipeline.contracts.review import Verdict
from pipeline.contracts.storage import Row
from pipeline.execution.audits import AuditSetting
from pipeline.execution.budget import count_spent_on
from pipeline.execution.driver import Run
from pipeline.execution.imports import ImportSetting
from pipeline.execution.merging import MergeSetting
from pipeline.execution.verification import Verification
from pipeline.values.errors import CorpusError, ManifestError
from pipeline.work import tables
from tests.support.auditing import run_here
from tests.support.corpora import TinyCorpus, copy_corpus
from tests.support.exporting import export_to
from tests.support.gathering import bring, merge
from tests.support.here import Here

TABLES = ("dialogues", "images", "music", "speech", "rejected", "failed")


def every_text(root: Path) -> Iterator[tuple[Path, bytes]]:
    """All bytes of all files: Parquet decompressed, members of archives one by one."""
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        data = path.read_bytes()
        yield path, data
        if data[:4] == b"PAR1":
            table = pq.read_table(path)
            yield path, repr(table.to_pylist()).encode()
            for column in table.flatten().flatten().columns:
                for cell in column.to_pylist():
                    if isinstance(cell, bytes):
                        yield path, cell
        elif path.suffix == ".tar":
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                for member in archive.getmembers():
                    taken = archive.extractfile(member)
                    yield path, member.name.encode() + (taken.read() if taken else b"")


def holders(root: Path, *needles: bytes) -> set[str]:
    found = set()
    for path, data in every_text(root):
        if any(needle in data for needle in needles):
            found.add(path.relative_to(root).as_posix())
    return found


def rows_of(corpus: TinyCorpus) -> dict[tuple[str, str], Row]:
    return {
        (table, row["id"]): row
        for entry in corpus.ledger.shards
        for table in TABLES
        for file in corpus.folder.read_shard_ledger(entry).files
        if file.table == table
        for row in pq.read_table(corpus.root / file.path).to_pylist()
    }


def is_sound(corpus: TinyCorpus) -> bool:
    result = Verification(CorpusFolder(corpus.root))
    result.run()
    return result.findings == []


class Worked(Run):
    """A run whose work is done here, without Ray."""

    def _at_work(self) -> Any:
        self.was_idle = False
        return Here(self.project, self.lock.epoch)


def is_idle(corpus: TinyCorpus) -> bool:
    """Run the manifest; whether nothing was called, rendered, packed or published."""
    lock = CorpusLock.acquire(corpus.root / "work")
    try:
        run = Worked(corpus.project, lock)
        asyncio.run(run.execute())
        return run.was_idle
    finally:
        lock.release()


@pytest.fixture(scope="module")
def settled(tiny_original: TinyCorpus, tmp_path_factory: pytest.TempPathFactory) -> TinyCorpus:
    """The tiny corpus as a run leaves it, with readings and their scores."""
    corpus = copy_corpus(tiny_original, tmp_path_factory.mktemp("settled"))
    run_here(AuditSetting(corpus.root, ("speech-basics",)))
    is_idle(corpus)
    assert is_idle(corpus)
    return corpus


@pytest.fixture
def tiny(settled: TinyCorpus, tmp_path: Path) -> TinyCorpus:
    """A copy of it for one test alone."""
    return copy_corpus(settled, tmp_path)


def media_of(rows: dict[tuple[str, str], Row], name: str) -> list[bytes]:
    cells = [row.get("image") or row.get("audio") for row in rows.values() if row.get("dialogue_id") == name]
    return [cell["bytes"] for cell in cells if cell]


def sung_alone(rows: dict[tuple[str, str], Row]) -> str:
    """A kept dialogue with media that no rejected one is a twin of, in the first shard."""
    liked = {row["like"] for (table, _), row in rows.items() if table == "rejected"}
    found = (str(row["dialogue_id"]) for row in rows.values() if row.get("audio"))
    return next(name for name in found if name not in liked)


def words_of(row: Row) -> list[bytes]:
    return [part["text"].encode() for turn in row["turns"] for part in turn["parts"]] + [row["scenario"].encode()]


def test_nothing_of_a_dialogue_is_left_and_the_others_are_as_they_were(
    tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]
) -> None:
    before = rows_of(tiny)
    name = sung_alone(before)
    row = before["dialogues", name]
    needles = [*words_of(row), *media_of(before, name)]
    assert all(holders(tiny.root, needle) for needle in needles), "the search finds them as long as they are there"
    take_down(tiny.root, [name], "asked for by the speaker")
    assert "asked for" in read_takedowns(tiny.root)[name].reason
    assert holders(tiny.root, *needles) == set()
    after = rows_of(tiny)
    assert after == {key: one for key, one in before.items() if name not in (one["id"], one.get("dialogue_id"))}
    assert is_sound(tiny)
    ledger = (tiny.root / "ledger.json").read_bytes()
    assert "taken down" in capsys.readouterr().out
    assert is_idle(tiny)
    assert (tiny.root / "ledger.json").read_bytes() == ledger


def test_readings_verdicts_reports_and_what_was_set_aside_go_too(tiny: TinyCorpus) -> None:
    before = rows_of(tiny)
    name, other = sung_alone(before), tiny.rows("dialogues", 1)[0]["id"]
    for about in (name, other):
        verdict = Verdict(dialogue_id=about, decision="accept", note=f"a note on {about}")
        VerdictBook(tiny.root).file("ann").append(verdict)
    (tiny.root / "report.html").write_text(f"<p>{name}</p>")
    (tiny.root / "work/shards/00000/speech-000000000000.parquet").write_text(name)
    (tiny.root / "work/shards/00000/scenarios.json.damaged").write_text(name)
    (tiny.root / "images/train-00000.parquet.7.partial").write_text(name)
    take_down(tiny.root, [name], "why")
    left = holders(tiny.root, name.encode())
    told = {"takedowns.json", "work/plan.parquet", "work/plan.parquet.former"}
    assert left - told == {path for path in left if re.fullmatch(r"work/shards/00000/\w+-e00001\.jsonl", path)}
    assert VerdictBook(tiny.root).by_dialogue().keys() == {other}
    readings = [row for audit in CorpusReadings(tiny.root).audits for row in CorpusReadings(tiny.root).rows(audit)]
    assert {row.record_id for row in readings} == {row_id for table, row_id in rows_of(tiny) if table == "speech"}
    assert is_sound(tiny)
    assert is_idle(tiny)


def test_a_generated_topic_goes_where_nothing_else_is_about_it(tiny: TinyCorpus) -> None:
    before = rows_of(tiny)
    name = sung_alone(before)
    topic, other = before["dialogues", name]["topic"], tiny.rows("dialogues", 1)[0]["topic"]
    lock = CorpusLock.acquire(tiny.root / "work")
    store = CorpusFolder(tiny.root, lock).topics()
    about = {"key": "k", "record": "nature", "purpose": "topics-00000", "attempt": 0}
    store.journal("topics").append({"event": "intent", **about, "request": {"messages": [topic]}, "held_usd": 1.0})
    store.journal("topics").append(
        {"event": "answer", **about, "text": json.dumps({"topics": [topic, other]}), "usd": 1}
    )
    row = {"record_id": "nature", "inputs": "{}", "status": "ok", "topics": [topic, other]}
    store.commit("topics", tables.TOPICS, [row], order_key="k", num_ok=1, num_failed=0, facts={})
    lock.release()
    assert len(holders(tiny.root / "work/topics", topic.encode())) == 2
    take_down(tiny.root, [name], "why")
    assert holders(tiny.root / "work", topic.encode()) == set()
    assert len(holders(tiny.root / "work/topics", other.encode())) == 2
    assert count_spent_on(tiny.folder.topics(), "topics", "topics") == 1


def test_an_unknown_id_is_named_with_one_that_is_near_and_nothing_changes(tiny: TinyCorpus) -> None:
    def look() -> dict[Path, bytes]:
        files = (path for path in tiny.root.rglob("*") if path.is_file())
        return {path: path.read_bytes() for path in files if path.name not in ("lock", "epoch.json")}

    name, before = tiny.rows("dialogues")[0]["id"], look()
    wrong = f"{name[:-1]}{'0' if name[-1] != '0' else '1'}"
    with pytest.raises(CorpusError, match=re.escape(f"did you mean {name}?")):
        take_down(tiny.root, [name, wrong], "no reason")
    assert look() == before
    with pytest.raises(ManifestError, match="--reason"):
        take_down(tiny.root, [name], " ")


def test_a_corpus_is_not_emptied(tiny: TinyCorpus) -> None:
    names = [row_id for (table, row_id) in rows_of(tiny) if table in ("dialogues", "rejected", "failed")]
    with pytest.raises(CorpusError, match="nothing would be left"):
        take_down(tiny.root, names, "why")
    assert read_takedowns(tiny.root) == {}


def test_a_run_in_progress_refuses_it(tiny: TinyCorpus) -> None:
    lock = CorpusLock.acquire(tiny.root / "work")
    try:
        with pytest.raises(CorpusError, match="another run is working"):
            take_down(tiny.root, [tiny.rows("dialogues")[0]["id"]], "why")
    finally:
        lock.release()
    assert read_takedowns(tiny.root) == {}


def test_rejected_twins_go_with_it(tiny: TinyCorpus) -> None:
    twin = next(row for key, row in rows_of(tiny).items() if key[0] == "rejected")
    take_down(tiny.root, [twin["like"]], "both say it")
    assert {name: one.twin_of for name, one in read_takedowns(tiny.root).items()} == {
        twin["like"]: "",
        twin["id"]: twin["like"],
    }
    assert ("rejected", twin["id"]) not in rows_of(tiny)
    assert is_sound(tiny)
    tiny.update()
    assert ("dialogues", twin["id"]) not in rows_of(tiny)


def test_a_second_call_says_so_and_changes_nothing(tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    name = sung_alone(rows_of(tiny))
    take_down(tiny.root, [name], "first")
    before = rows_of(tiny), (tiny.root / "takedowns.json").read_bytes(), (tiny.root / "ledger.json").read_bytes()
    take_down(tiny.root, [name], "second")
    assert "was taken down before" in capsys.readouterr().out
    assert before == (
        rows_of(tiny),
        (tiny.root / "takedowns.json").read_bytes(),
        (tiny.root / "ledger.json").read_bytes(),
    )


def test_a_plan_made_anew_does_not_bring_it_back(tiny: TinyCorpus) -> None:
    name = sung_alone(rows_of(tiny))
    take_down(tiny.root, [name], "why")
    (tiny.root / "work/plan.parquet").unlink()
    tiny.update()
    assert name not in {row_id for _, row_id in rows_of(tiny)}


def test_tables_without_their_work_folder_are_rewritten(tiny: TinyCorpus) -> None:
    shutil.rmtree(tiny.root / "work")
    before = rows_of(tiny)
    name = sung_alone(before)
    take_down(tiny.root, [name], "why")
    assert rows_of(tiny) == {k: one for k, one in before.items() if name not in (one["id"], one.get("dialogue_id"))}
    assert is_sound(tiny)


KILLED = """
import os, signal, sys
from pathlib import Path
from pipeline.cli.take_down import take_down

left, rename = int(sys.argv[1]), Path.rename

def counted(self, target):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)

Path.rename = counted
take_down(Path(sys.argv[2]), [sys.argv[3]], "killed")
"""


@pytest.mark.parametrize("num_renames", [4, 14])
def test_killed_in_the_middle_a_second_call_goes_on(tiny: TinyCorpus, num_renames: int) -> None:
    before = rows_of(tiny)
    name = sung_alone(before)
    needles = [*words_of(before["dialogues", name]), *media_of(before, name)]
    done = subprocess.run([sys.executable, "-c", KILLED, str(num_renames), tiny.root, name], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not read_takedowns(tiny.root)[name].is_done
    take_down(tiny.root, [name], "killed")
    assert read_takedowns(tiny.root)[name].is_done
    assert holders(tiny.root, *needles) == set()
    assert rows_of(tiny) == {k: one for k, one in before.items() if name not in (one["id"], one.get("dialogue_id"))}
    assert is_sound(tiny)
    assert is_idle(tiny)


@pytest.mark.parametrize("to", ["hf", "webdataset", "anyinstruct"])
def test_it_goes_out_of_exports_and_other_shards_stay_byte_for_byte(tiny: TinyCorpus, tmp_path: Path, to: str) -> None:
    before, out = rows_of(tiny), tmp_path / to
    name = sung_alone(before)
    needles = [*words_of(before["dialogues", name]), *media_of(before, name)]
    export_to(tiny.root, out, to)
    assert holders(out, *needles)
    kept = {
        path: path.read_bytes() for path in out.rglob("*00001*") if path.is_file() and path.parent.name != ".export"
    }
    assert kept
    take_down(tiny.root, [name], "why", [out])
    assert holders(out, *needles, name.encode()) == set()
    assert {path: path.read_bytes() for path in kept} == kept


def test_a_folder_that_is_no_export_is_refused_before_anything_changes(tiny: TinyCorpus, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="is no export"):
        take_down(tiny.root, [tiny.rows("dialogues")[0]["id"]], "why", [tmp_path])
    assert read_takedowns(tiny.root) == {}


def test_neither_an_import_nor_a_merge_brings_it_back(tiny_original: TinyCorpus, tmp_path: Path) -> None:
    tiny = copy_corpus(tiny_original, tmp_path)
    name = sung_alone(rows_of(tiny))
    export_to(tiny.root, tmp_path / "hf", "hf")
    setting = ImportSetting(tmp_path / "hf", tmp_path / "imported")
    bring(setting)
    take_down(setting.out, [name], "why")
    assert bring(setting).counts["kept"] == tiny.ledger.counts["kept"] - 1
    shutil.rmtree(setting.out / "dialogues")
    assert bring(setting).counts["kept"] == tiny.ledger.counts["kept"] - 1, "made anew, and still without it"
    other = copy_corpus(tiny, tmp_path / "other")
    merged = merge(MergeSetting((setting.out, other.root), tmp_path / "merged"))
    assert merged.counts["kept"] == tiny.ledger.counts["kept"] - 1
    assert holders(tmp_path / "merged", name.encode()) == {"takedowns.json"}
