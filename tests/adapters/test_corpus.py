"""A corpus folder: the plan, the published tables, the root ledger."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.corpus import PUBLISHED_FOLDERS, CorpusFolder
from pipeline.adapters.files import read_json, write_json
from pipeline.adapters.lock import CorpusLock
from pipeline.contracts.ledger import FileEntry, Ledger, ShardEntry, ShardLedger
from pipeline.values.errors import CorpusError, StaleWriter
from pipeline.values.records import PlannedDialogue
from pipeline.work.planning import extend_plan
from pipeline.work.tables import PUBLISHED
from tests.support.corpora import flip_byte
from tests.support.stages import describe, manifest, many_topics, read_book

FAILED = PUBLISHED["failed"]


def plan(count: int) -> list[PlannedDialogue]:
    mix = [
        *describe()["mix"],
        {"name": "all", "gives": ["speech", "image"], "answers": ["text", "speech", "music"], "rounds": [2, 3]},
    ]
    return extend_plan([], many_topics(count), manifest(mix=mix, size={"dialogues_per_shard": 4}), read_book())


def failures(count: int, salt: str = "") -> list[dict[str, Any]]:
    words = ("stage", "code", "message", "topic", "topic_id", "meta_topic", "cell")
    return [{"id": f"d{n}", "usd": 0.5, **{word: f"{word} {n}{salt}" for word in words}} for n in range(count)]


def publish(folder: CorpusFolder, contents: dict[int, int], salt: str = "", card: str = "A card.\n") -> Ledger:
    """Publish shards with so many failed dialogues each."""
    entries = []
    for shard, count in contents.items():
        file = folder.write_table("failed", shard, FAILED, failures(count, salt))
        ledger = ShardLedger(
            shard=shard, order_key=f"k{shard}{salt}", files=(file,) if file else (), counts={"failed": count},
            reasons={}, cells={}, voices={}, stages={},
        )  # fmt: skip
        entries.append(folder.write_shard_ledger(ledger))
    made = Ledger(
        schema_version=1, name="small", description="", generator="test", manifest={}, counts={}, reasons={}, matrix={},
        tables={}, voices={}, spend={}, num_lost_calls=0, writer={}, renderers={}, prompts={}, versions={},
        card_sha256="", shards=tuple(entries),
    )  # fmt: skip
    folder.publish(made, card)
    return made


def published_files(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for name in PUBLISHED_FOLDERS for p in (root / name).glob("*")}


def test_a_plan_comes_back_as_it_was_written(tmp_path: Path) -> None:
    folder, rows = CorpusFolder(tmp_path), plan(9)
    assert folder.read_plan() == []
    rows[3] = replace(rows[3], needed_at=8)
    folder.write_plan(rows)
    assert folder.read_plan() == rows
    assert {row.shard for row in rows} == {0, 1, 2}


def test_the_former_plan_is_kept_beside_the_new_one(tmp_path: Path) -> None:
    folder, rows = CorpusFolder(tmp_path), plan(6)
    folder.write_plan(rows[:3])
    former = (tmp_path / "work" / "plan.parquet").read_bytes()
    folder.write_plan(rows)
    assert folder.read_plan() == rows
    assert (tmp_path / "work" / "plan.parquet.former").read_bytes() == former


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"", lambda data: b"PAR1" * 20])
def test_a_damaged_plan_is_an_error_and_not_an_empty_plan(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    folder = CorpusFolder(tmp_path)
    folder.write_plan(plan(4))
    folder.write_plan(plan(5))
    path = tmp_path / "work" / "plan.parquet"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(
        CorpusError, match=r"plan\.parquet: damaged .* or with `cp .*plan\.parquet\.former .*plan\.parquet`"
    ):
        folder.read_plan()
    path.with_name("plan.parquet.former").replace(path)
    assert len(folder.read_plan()) == 4


def test_a_plan_with_a_flipped_byte_is_refused(tmp_path: Path) -> None:
    folder, rows = CorpusFolder(tmp_path), plan(2)
    folder.write_plan(rows)
    path = tmp_path / "work" / "plan.parquet"
    whole = path.read_bytes()
    num_refused = 0
    for offset in range(4, len(whole), 37):
        path.write_bytes(whole)
        flip_byte(path, offset)
        try:
            assert folder.read_plan() == rows, offset
        except CorpusError as exc:
            assert "plan.parquet: damaged" in str(exc)
            num_refused += 1
    # Columns stand in the footer more than once; what is read from one place only must not be read wrongly.
    assert num_refused > len(whole) / 37 / 2


def test_a_stale_writer_leaves_the_plan_where_it_is(tmp_path: Path) -> None:
    lock = CorpusLock.acquire(tmp_path / "work")
    folder, rows = CorpusFolder(tmp_path, lock), plan(4)
    folder.write_plan(rows)
    lock.release()
    CorpusLock.acquire(tmp_path / "work").release()
    with pytest.raises(StaleWriter):
        folder.write_plan(plan(5))
    assert folder.read_plan() == rows
    assert not list((tmp_path / "work").glob("plan.parquet.*"))


def test_a_published_corpus_can_be_read_without_a_lock(tmp_path: Path) -> None:
    lock = CorpusLock.acquire(tmp_path / "work")
    made = publish(CorpusFolder(tmp_path, lock), {0: 2, 1: 3})
    lock.release()
    reader = CorpusFolder(tmp_path)
    assert reader.read_ledger() == made
    ledger = reader.read_shard_ledger(made.shards[1])
    assert (ledger.shard, ledger.counts) == (1, {"failed": 3})
    [file] = ledger.files
    assert file.path == f"failed/train-00001-{file.sha256[:12]}.parquet"
    assert reader.inside(file.path).stat().st_size == file.num_bytes
    assert all(reader.is_published(entry) for entry in made.shards)
    assert reader.find_unreferenced(made) == []
    assert (tmp_path / "README.md").read_text() == "A card.\n"


def test_nothing_is_published_before(tmp_path: Path) -> None:
    folder = CorpusFolder(tmp_path)
    assert folder.read_ledger() is None
    assert folder.shard_indices() == []
    assert folder.write_table("failed", 0, FAILED, iter([])) is None
    assert published_files(tmp_path) == set()


def test_publishing_removes_what_the_ledger_no_longer_names(tmp_path: Path) -> None:
    folder = CorpusFolder(tmp_path)
    former = publish(folder, {0: 2, 1: 3})
    kept = published_files(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "train-00000-abc.parquet").write_bytes(b"left by a killed run")
    made = publish(folder, {0: 2}, card="Another card.\n")
    now = published_files(tmp_path)
    assert now < kept
    assert len(now) == 2
    assert made.shards[0] == former.shards[0]
    assert not folder.is_published(former.shards[1])
    assert (tmp_path / "README.md").read_text() == "Another card.\n"


def test_files_that_nobody_published_stay(tmp_path: Path) -> None:
    folder = CorpusFolder(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "images" / "mine").mkdir(parents=True)
    publish(folder, {0: 1})
    assert (tmp_path / "notes.txt").exists()
    assert (tmp_path / "images" / "mine").is_dir()


def test_a_reader_never_sees_half_of_two_corpora(tmp_path: Path) -> None:
    """Until the root ledger is replaced, all that it names is there."""
    folder = CorpusFolder(tmp_path)
    former = publish(folder, {0: 2})
    folder.write_table("failed", 0, FAILED, failures(2, "!"))
    assert folder.read_ledger() == former
    assert folder.is_published(former.shards[0])
    assert len(folder.find_unreferenced(former)) == 1


def test_a_stale_run_publishes_nothing(tmp_path: Path) -> None:
    lock = CorpusLock.acquire(tmp_path / "work")
    former = publish(CorpusFolder(tmp_path, lock), {0: 2})
    lock.release()
    CorpusLock.acquire(tmp_path / "work").release()
    before = published_files(tmp_path)
    stale = CorpusFolder(tmp_path, lock)
    with pytest.raises(StaleWriter):
        stale.write_table("failed", 0, FAILED, failures(3))
    with pytest.raises(StaleWriter):
        stale.publish(former.model_copy(update={"name": "other"}), "Another card.\n")
    assert published_files(tmp_path) == before
    assert CorpusFolder(tmp_path).read_ledger() == former
    assert (tmp_path / "README.md").read_text() == "A card.\n"


def test_a_shard_is_published_only_where_all_its_files_are_whole(tmp_path: Path) -> None:
    folder = CorpusFolder(tmp_path)
    [entry] = publish(folder, {0: 2}).shards
    [file] = folder.read_shard_ledger(entry).files
    path = folder.inside(file.path)
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    assert not folder.is_published(entry)
    path.unlink()
    assert not folder.is_published(entry)
    path.write_bytes(data)
    assert folder.is_published(entry)
    flip_byte(tmp_path / entry.path, 30)
    assert not folder.is_published(entry)


def test_a_changed_shard_ledger_is_refused(tmp_path: Path) -> None:
    folder = CorpusFolder(tmp_path)
    [entry] = publish(folder, {0: 2}).shards
    path = tmp_path / entry.path
    path.write_text(path.read_text().replace('"failed": 2', '"failed": 1'))
    with pytest.raises(CorpusError, match=r"ledgers/shard-00000-\w+\.json"):
        folder.read_shard_ledger(entry)
    path.unlink()
    with pytest.raises(CorpusError, match=r"ledgers/shard-00000-\w+\.json"):
        folder.read_shard_ledger(entry)


@pytest.mark.parametrize("name", ["../outside.parquet", "/etc/passwd", "failed/../../outside", "link/file"])
def test_a_path_outside_the_corpus_is_refused(tmp_path: Path, name: str) -> None:
    root = tmp_path / "corpus"
    folder = CorpusFolder(root)
    made = publish(folder, {0: 1})
    (tmp_path / "outside").mkdir()
    (root / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(CorpusError, match=f"names {name!r}, which lies outside the corpus"):
        folder.inside(name)
    entry = ShardEntry(shard=0, path=name, sha256="0" * 64, order_key="k")
    with pytest.raises(CorpusError, match="lies outside the corpus"):
        folder.read_shard_ledger(entry)
    assert not folder.is_published(entry)
    file = FileEntry(table="failed", path=name, sha256="0" * 64, num_bytes=1, num_rows=1)
    shard = folder.read_shard_ledger(made.shards[0]).model_copy(update={"files": (file,)})
    hostile = made.model_copy(update={"shards": (folder.write_shard_ledger(shard),)})
    with pytest.raises(CorpusError, match="lies outside the corpus"):
        folder.find_unreferenced(hostile)


@pytest.mark.parametrize("version", [2, 0, "1", None])
def test_another_schema_version_is_refused_with_what_to_do(tmp_path: Path, version: object) -> None:
    folder = CorpusFolder(tmp_path)
    publish(folder, {0: 1})
    write_json(tmp_path / "ledger.json", read_json(tmp_path / "ledger.json") | {"schema_version": version})
    expected = rf"ledger\.json: schema version {version!r}, and this program reads 1; use the program that wrote it"
    with pytest.raises(CorpusError, match=expected):
        folder.read_ledger()


def test_a_damaged_root_ledger_is_refused_with_what_to_do(tmp_path: Path) -> None:
    folder = CorpusFolder(tmp_path)
    publish(folder, {0: 1})
    data = read_json(tmp_path / "ledger.json")
    write_json(tmp_path / "ledger.json", data | {"num_lost_calls": "many"})
    with pytest.raises(CorpusError, match=r"ledger\.json: num_lost_calls: .*; run the manifest again to write it anew"):
        folder.read_ledger()
    write_json(tmp_path / "ledger.json", {key: data[key] for key in data if key != "name"})
    with pytest.raises(CorpusError, match=r"ledger\.json: name: Field required"):
        folder.read_ledger()
    (tmp_path / "ledger.json").write_text("[]")
    with pytest.raises(CorpusError, match="schema version None"):
        folder.read_ledger()
    (tmp_path / "ledger.json").write_text(json.dumps(data)[:-20])
    with pytest.raises(CorpusError, match=r"ledger\.json: cannot be read"):
        folder.read_ledger()


def test_shards_are_numbered_by_their_folders(tmp_path: Path) -> None:
    folder = CorpusFolder(tmp_path)
    for name in ("00002", "00000", "00010", "0000x", "notes"):
        (tmp_path / "work" / "shards" / name).mkdir(parents=True)
    assert folder.shard_indices() == [0, 2, 10]
    assert folder.shard(2).folder == tmp_path / "work" / "shards" / "00002"
    assert folder.topics().folder == tmp_path / "work" / "topics"
