from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.lock import CorpusLock
from pipeline.cli.gc import collect_garbage
from pipeline.contracts.storage import Row
from pipeline.execution.verification import Verification
from pipeline.values.errors import CorpusError
from pipeline.work import tables
from tests.support.corpora import TOPICS, TinyCorpus, flip_byte


def names(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def published(root: Path) -> dict[str, bytes]:
    paths = [path for path in root.glob("*/*.parquet") if path.parent.name != "work"]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def is_sound(corpus: TinyCorpus) -> bool:
    result = Verification(CorpusFolder(corpus.root))
    result.run()
    return result.findings == []


def test_render_journals_go_and_those_of_the_llm_stay(tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    before, tables_before, ledger = names(tiny.root), published(tiny.root), tiny.ledger
    collect_garbage(tiny.root, dry_run=False)
    gone = before - names(tiny.root)
    assert {Path(name).name for name in gone} == {
        f"{modality}-e00001.{suffix}" for modality in ("image", "music", "speech") for suffix in ("jsonl", "blob")
    }
    assert "Freed" in capsys.readouterr().out
    assert published(tiny.root) == tables_before
    assert tiny.ledger == ledger
    assert is_sound(tiny)
    tiny.update()
    assert tiny.chat.requests == []
    assert tiny.ledger == ledger
    assert not list(tiny.root.rglob("*.blob")), "a run after gc renders nothing anew"


def test_a_dry_run_lists_the_same_and_changes_nothing(tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    (tiny.root / "images/stray.parquet").write_bytes(b"x" * 1000)
    before = {name: (tiny.root / name).read_bytes() for name in names(tiny.root)}
    collect_garbage(tiny.root, dry_run=True)
    listed = capsys.readouterr().out
    assert "images/stray.parquet (1.0 kB)" in listed
    assert "nothing was changed" in listed
    assert {name: (tiny.root / name).read_bytes() for name in names(tiny.root)} == before
    collect_garbage(tiny.root, dry_run=False)
    gone = before.keys() - names(tiny.root)
    assert "images/stray.parquet" in gone
    assert all(f"{name} (" in listed for name in gone)
    collect_garbage(tiny.root, dry_run=True)
    assert "Nothing to remove." in capsys.readouterr().out


def test_leftovers_of_every_kind_go_and_the_former_plan_stays(tiny: TinyCorpus) -> None:
    leftovers = [
        "README.md.12.partial",
        "speech/train-00000.parquet.12.partial",
        "images/train-00000-abc.parquet.damaged",
        "work/shards/00000/scenarios.json.damaged",
        "work/shards/00001/speech-000000000000.parquet",
        "work/shards/00001/speech.parquet",
        "ledgers/shard-00000-000000000000.json",
    ]
    for name in leftovers:
        (tiny.root / name).write_bytes(b"left over")
    (tiny.root / "work/plan.parquet.former").write_bytes(b"former")
    collect_garbage(tiny.root, dry_run=False)
    assert not names(tiny.root).intersection(leftovers)
    assert (tiny.root / "work/plan.parquet.former").read_bytes() == b"former"
    assert is_sound(tiny)


def test_rows_of_topics_taken_out_go_and_a_run_then_finds_nothing_to_do(
    tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.update(TOPICS[1:])
    store, ledger = tiny.folder.shard(0), tiny.ledger
    rows_before = {stage: list(store.rows(stage)) for stage in ("scenarios", "dialogues", "speech", "image")}
    tables_before = published(tiny.root)
    collect_garbage(tiny.root, dry_run=True)
    assert "rows of dialogues taken out" in capsys.readouterr().out
    assert {stage: list(store.rows(stage)) for stage in rows_before} == rows_before

    collect_garbage(tiny.root, dry_run=False)
    gone = {row["record_id"] for row in rows_before["scenarios"]} - ids_in(list(store.rows("scenarios")))
    assert len(gone) == 1
    (dialogue,) = gone
    for stage, rows in rows_before.items():
        assert list(store.rows(stage)) == [row for row in rows if not row["record_id"].startswith(dialogue)]
    assert published(tiny.root) == tables_before
    assert is_sound(tiny)
    after = tiny.ledger
    assert after.model_copy(update={"shards": ledger.shards}) == ledger
    tiny.update(TOPICS[1:])
    assert tiny.ledger == after, "the shards' order keys are those that a run computes"
    assert tiny.chat.requests == []


def test_renders_of_dialogues_that_were_written_anew_go(tiny: TinyCorpus) -> None:
    tiny.update(draw_weight=3)
    ledger, num_rows = tiny.ledger, sum(1 for _ in tiny.folder.shard(0).rows("speech"))
    collect_garbage(tiny.root, dry_run=False)
    speech = list(tiny.folder.shard(0).rows("speech", ["dialogue_id"]))
    assert len(speech) < num_rows
    cells = {row["id"]: row["cell"] for row in tiny.rows("dialogues")}
    assert {cells.get(row["dialogue_id"], "sing") for row in speech} == {"sing"}
    assert is_sound(tiny)
    tiny.chat.requests.clear()
    after = tiny.ledger
    tiny.update(draw_weight=3)
    assert tiny.ledger == after
    assert tiny.chat.requests == []
    assert after.model_copy(update={"shards": ledger.shards}) == ledger


def test_a_topic_that_comes_back_costs_no_call(tiny: TinyCorpus) -> None:
    counts = tiny.ledger.counts
    tiny.update(TOPICS[1:])
    assert tiny.ledger.counts != counts
    collect_garbage(tiny.root, dry_run=False)
    tiny.update(TOPICS)
    assert tiny.chat.requests == [], "its words are in the journals of the LLM"
    assert tiny.ledger.counts == counts
    assert is_sound(tiny)


def ids_in(rows: list[Row]) -> set[str]:
    return {row["record_id"] for row in rows}


def test_rows_that_were_committed_and_not_yet_published_stay(tiny: TinyCorpus) -> None:
    """As after a kill between the last stage and pack."""
    tiny.update(TOPICS[1:])
    store = tiny.folder.shard(0)
    rows = list(store.rows("scenarios"))
    extra = {**rows[0], "record_id": "f" * 16}
    store.commit("scenarios", tables.SCENARIOS, [*rows, extra], order_key="of a later run", num_ok=5, num_failed=0)
    collect_garbage(tiny.root, dry_run=False)
    assert list(store.rows("scenarios")) == [*rows, extra]


def test_renders_that_only_the_journal_holds_stay(tiny: TinyCorpus) -> None:
    """As after a kill in the middle of rendering with another voice."""
    lock = CorpusLock.acquire(tiny.root / "work")
    journal = CorpusFolder(tiny.root, lock).shard(0).journal("speech")
    record = next(iter(tiny.folder.shard(0).rows("speech", ["record_id"])))["record_id"]
    journal.append({"event": "render", "record": record, "input_key": "of another voice"}, b"in no stage file")
    journal.close()
    lock.release()
    collect_garbage(tiny.root, dry_run=False)
    kept = {path.relative_to(tiny.root / "work/shards").as_posix() for path in tiny.root.rglob("*.blob")}
    assert kept == {"00000/speech-e00001.blob", "00000/speech-e00002.blob"}
    made = [entry for entry in journal.entries() if "blob" in entry]
    assert journal.blob(made[-1]) == b"in no stage file"


def test_a_journal_stays_where_its_stage_file_is_damaged(tiny: TinyCorpus) -> None:
    store = tiny.folder.shard(0)
    receipt = store.receipt("image")
    assert receipt is not None
    flip_byte(store.folder / receipt.file, receipt.num_bytes // 2)
    collect_garbage(tiny.root, dry_run=False)
    assert [path.name for path in store.folder.glob("*.blob")] == ["image-e00001.blob"]


def test_a_corpus_that_a_run_holds_is_left_alone(tiny: TinyCorpus) -> None:
    before = names(tiny.root)
    lock = CorpusLock.acquire(tiny.root / "work")
    try:
        for dry_run in (False, True):
            with pytest.raises(CorpusError, match="working on"):
                collect_garbage(tiny.root, dry_run)
    finally:
        lock.release()
    assert names(tiny.root) == before


def test_a_damaged_ledger_stops_it(tiny: TinyCorpus) -> None:
    path = tiny.root / tiny.ledger.shards[1].path
    flip_byte(path, 10)
    before = names(tiny.root)
    with pytest.raises(CorpusError, match="SHA-256"):
        collect_garbage(tiny.root, dry_run=False)
    assert names(tiny.root) == before


def test_a_folder_that_is_no_corpus_is_an_error_and_gets_no_work_folder(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="is no corpus"):
        collect_garbage(tmp_path, dry_run=False)
    assert list(tmp_path.iterdir()) == []
