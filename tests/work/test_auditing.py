from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from pipeline.adapters.store import ShardFolder
from pipeline.contracts.audit import AuditItem, Reading, Readings, Sketch, Subject, as_readings
from pipeline.contracts.storage import Row
from pipeline.contracts.watch import Drained
from pipeline.execution.driver import Silence
from pipeline.work.auditing import AuditJob, audit_shard, compare_all, find_stale

Records = dict[str, tuple[str, str]]


class Shelf:
    """A shard of made-up pictures: by id the dialogue, and the content, of which ``bad`` cannot be decoded."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.num_decoded = 0

    def index(self, subject: Subject) -> Sequence[tuple[str, str, str]]:
        return [(name, dialogue, content) for name, (dialogue, content) in self.records.items()]

    def items(self, subject: Subject, wanted: set[str]) -> Iterator[AuditItem]:
        for name, (dialogue, content) in self.records.items():
            if name in wanted:
                yield AuditItem(name, dialogue, {}, content.encode(), self._decode)

    def _decode(self, data: bytes) -> str:
        self.num_decoded += 1
        if data == b"bad":
            raise ValueError("cannot be decoded")
        return data.decode()


class Lengths:
    """Measures how long the content is, and notes of which records."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def measure(self, items: Sequence[AuditItem]) -> Sequence[Readings]:
        self.seen += [item.id for item in items]
        return [{"image.length": Reading(value=float(len(item.media)), detail=item.media)} for item in items]


class Twins:
    """Counts the other records of equal content."""

    def sketch(self, items: Sequence[AuditItem]) -> Sequence[bytes | None]:
        return [item.media.encode() or None for item in items]

    def compare(self, sketches: Iterable[Sketch]) -> Iterator[tuple[str, Readings]]:
        some = list(sketches)
        for one in some:
            others = sum(other.data == one.data for other in some) - 1
            yield one.id, {"image.twins": Reading(value=float(others))}


def lengths(audit: Lengths, fingerprint: str = "v1") -> AuditJob:
    return AuditJob("lengths", "image", fingerprint, False, lambda: audit)


def twins() -> AuditJob:
    return AuditJob("twins", "image", "v1", True, Twins)


def rows(store: ShardFolder, audit: str = "lengths") -> dict[str, Row]:
    return {row["record_id"]: row for row in store.rows(audit)}


RECORDS: Records = {"a": ("d1", "sun"), "b": ("d1", "bad"), "c": ("d2", "river")}


def test_every_record_gets_its_readings_and_what_cannot_be_decoded_says_so(tmp_path: Path) -> None:
    store = ShardFolder(tmp_path)
    audit_shard([lengths(Lengths())], Shelf(RECORDS), store, Silence(), None)
    found = rows(store)
    assert as_readings(found["a"]) == {"image.length": Reading(value=3.0, detail="sun")}
    assert (found["b"]["status"], found["b"]["code"], found["b"]["readings"]) == ("failed", "undecodable", [])
    assert found["c"]["dialogue_id"] == "d2"


def test_what_was_measured_before_is_not_measured_again(tmp_path: Path) -> None:
    store, audit = ShardFolder(tmp_path), Lengths()
    audit_shard([lengths(audit)], Shelf(RECORDS), store, Silence(), None)
    changed = RECORDS | {"c": ("d2", "rivers"), "d": ("d3", "hill")}
    again = Lengths()
    audit_shard([lengths(again)], Shelf(changed), store, Silence(), None)
    assert again.seen == ["c", "d"]
    assert list(rows(store)) == ["a", "b", "c", "d"]
    idle = Lengths()
    audit_shard([lengths(idle)], Shelf(changed), store, Silence(), None)
    assert idle.seen == []


def test_another_version_measures_everything_again(tmp_path: Path) -> None:
    store, again = ShardFolder(tmp_path), Lengths()
    audit_shard([lengths(Lengths())], Shelf(RECORDS), store, Silence(), None)
    audit_shard([lengths(again, "v2")], Shelf(RECORDS), store, Silence(), None)
    assert again.seen == ["a", "c"]


def test_a_sample_measures_its_dialogues_and_the_rest_is_added_to_it(tmp_path: Path) -> None:
    store, audit = ShardFolder(tmp_path), Lengths()
    shelf = Shelf(RECORDS)
    assert [order.record_id for order in find_stale(lengths(audit), shelf, store, frozenset({"d2"}))] == ["c"]
    audit_shard([lengths(audit)], shelf, store, Silence(), frozenset({"d2"}))
    audit_shard([lengths(audit)], shelf, store, Silence(), frozenset({"d1"}))
    assert audit.seen == ["c", "a"]
    assert set(rows(store)) == {"a", "b", "c"}


def test_rows_of_records_that_left_the_corpus_stay_and_are_not_measured_again_when_they_return(tmp_path: Path) -> None:
    store, again = ShardFolder(tmp_path), Lengths()
    audit_shard([lengths(Lengths())], Shelf(RECORDS), store, Silence(), None)
    first = store.receipt("lengths")
    audit_shard([lengths(again)], Shelf({"a": ("d1", "sun")}), store, Silence(), None)
    assert list(rows(store)) == ["a", "b", "c"]
    audit_shard([lengths(again)], Shelf(RECORDS), store, Silence(), None)
    assert (again.seen, store.receipt("lengths")) == ([], first)


def test_what_left_the_corpus_is_compared_with_nothing(tmp_path: Path) -> None:
    shard, whole = ShardFolder(tmp_path / "0"), ShardFolder(tmp_path / "corpus")
    both = Shelf({"a": ("d1", "sun"), "b": ("d2", "sun")})
    audit_shard([twins()], both, shard, Silence(), None)
    compare_all(twins(), [(Shelf({"a": ("d1", "sun")}), shard)], whole, None)
    found = {name: as_readings(row)["image.twins"].value for name, row in rows(whole, "twins").items()}
    assert found == {"a": 0.0}


def test_media_are_decoded_once_for_all_audits(tmp_path: Path) -> None:
    shelf = Shelf(RECORDS)
    audit_shard([lengths(Lengths()), twins()], shelf, ShardFolder(tmp_path), Silence(), None)
    assert shelf.num_decoded == 3


def test_a_drained_audit_goes_on_from_its_journal(tmp_path: Path) -> None:
    store, audit = ShardFolder(tmp_path), Lengths()
    many = {f"r{number:02d}": (f"d{number}", "x" * number) for number in range(1, 41)}

    class Ending(Silence):
        num_batches = 0

        def check(self) -> None:
            self.num_batches += 1
            if self.num_batches > 1:
                raise Drained("the audit is ending")

    with pytest.raises(Drained):
        audit_shard([lengths(audit)], Shelf(many), store, Ending(), None)
    assert (len(audit.seen), rows(store)) == (16, {})
    audit_shard([lengths(audit)], Shelf(many), store, Silence(), None)
    assert sorted(audit.seen) == sorted(many)
    assert len(rows(store)) == 40


def test_what_a_kill_left_in_the_journal_is_committed_and_not_measured_again(tmp_path: Path) -> None:
    store, again = ShardFolder(tmp_path), Lengths()
    audit_shard([lengths(Lengths())], Shelf(RECORDS), store, Silence(), None)
    (tmp_path / "lengths.json").unlink()
    assert len(find_stale(lengths(again), Shelf(RECORDS), store, None)) == 3
    audit_shard([lengths(again)], Shelf(RECORDS), store, Silence(), None)
    assert (again.seen, len(rows(store))) == ([], 3)
    assert find_stale(lengths(again), Shelf(RECORDS), store, None) == []


def test_sketches_of_all_shards_are_compared_with_each_other(tmp_path: Path) -> None:
    shards = [ShardFolder(tmp_path / "0"), ShardFolder(tmp_path / "1")]
    audit_shard([twins()], Shelf(RECORDS), shards[0], Silence(), None)
    others = Shelf({"z": ("d9", "sun"), "y": ("d8", "sea")})
    audit_shard([twins()], others, shards[1], Silence(), None)
    whole = ShardFolder(tmp_path / "corpus")
    compare_all(twins(), list(zip([Shelf(RECORDS), others], shards, strict=True)), whole, None)
    found = {name: as_readings(row)["image.twins"].value for name, row in rows(whole, "twins").items()}
    assert found == {"a": 1.0, "c": 0.0, "z": 1.0, "y": 0.0}


def test_a_comparison_is_made_again_when_a_sketch_changes_and_not_otherwise(tmp_path: Path) -> None:
    shard, whole = ShardFolder(tmp_path / "0"), ShardFolder(tmp_path / "corpus")
    shelf = Shelf(RECORDS)
    audit_shard([twins()], shelf, shard, Silence(), None)
    compare_all(twins(), [(shelf, shard)], whole, None)
    first = whole.receipt("twins")
    compare_all(twins(), [(shelf, shard)], whole, None)
    assert whole.receipt("twins") == first
    shelf = Shelf(RECORDS | {"c": ("d2", "sun")})
    audit_shard([twins()], shelf, shard, Silence(), None)
    compare_all(twins(), [(shelf, shard)], whole, None)
    assert {name: as_readings(row)["image.twins"].value for name, row in rows(whole, "twins").items()}["c"] == 1.0
