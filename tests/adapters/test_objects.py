from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.objects.address import ObjectAddress, is_address, is_plain, parse_address
from pipeline.adapters.objects.bucket import Bucket
from pipeline.adapters.objects.choosing import everything, of_dialogue, only_published, only_state
from pipeline.adapters.objects.claim import Claim, ClaimText
from pipeline.adapters.objects.copy import CLAIM
from pipeline.adapters.objects.session import Session
from pipeline.adapters.reading import CorpusReader
from pipeline.execution.verification import Verification
from pipeline.values.errors import CorpusError, StaleWriter
from tests.support.corpora import TinyCorpus
from tests.support.object_server import BUCKET, KEY, SECRET, ObjectServer
from tests.support.object_store import Machine
from tests.support.waiting import wait_until

ALWAYS = 10**6


def contents(root: Path) -> dict[str, bytes]:
    """Files of a corpus by name, without locks."""
    paths = [path for path in root.rglob("*") if path.is_file() and path.name not in ("lock", "epoch.json")]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def put_up(session: Session, corpus: TinyCorpus) -> None:
    """Have a session put a corpus up, as if a run had made it there."""
    with session.writing(may_be_new=True) as root:
        shutil.copytree(corpus.root, root, dirs_exist_ok=True)


def codes(root: Path) -> set[str]:
    found = Verification(CorpusFolder(root))
    found.run()
    return {finding.code for finding in found.findings if finding.severity == "error"}


@pytest.mark.parametrize("text", ["s3://data/demo", "s3://data/runs/2026/demo/", "s3:/data/demo"])
def test_addresses_are_told_from_paths(text: str) -> None:
    assert is_address(Path(text))
    assert parse_address(Path(text)).name == "demo"


@pytest.mark.parametrize("text", ["s3://data", "s3://data/", "gs://data/demo", "s3://data/a/../b", "s3://DATA/demo"])
def test_what_is_no_address_of_a_corpus_is_refused(text: str) -> None:
    assert is_address(Path(text))
    with pytest.raises(CorpusError, match="s3://"):
        parse_address(Path(text))


@pytest.mark.parametrize(
    "name", ["../evil", "a/../b", "/etc/passwd", "a//b", ".hidden", "a\x1b[2J", "a\nb", "a\\b", ""]
)
def test_names_that_are_more_than_names_are_not_plain(name: str) -> None:
    assert not is_plain(name)


def test_a_corpus_goes_up_and_comes_down_the_same(tiny: TinyCorpus, machine: Machine) -> None:
    put_up(machine("a"), tiny)
    with machine("b").reading(everything) as root:
        assert contents(root) == contents(tiny.root)
        assert codes(root) == set()


def test_readers_fetch_what_they_need_and_nothing_twice(
    tiny: TinyCorpus, machine: Machine, store: ObjectServer
) -> None:
    put_up(machine("a"), tiny)
    store.take_log()
    with machine("b").reading(only_state) as root:
        assert (root / "ledger.json").exists()
        assert {path.name for path in root.rglob("*.parquet")} == {"plan.parquet"}
    with machine("b").reading(only_published) as root:
        assert list(root.glob("images/*.parquet"))
        assert not list(root.rglob("*.jsonl"))
    with machine("b").reading(only_published):
        pass
    fetched = [path for method, path in store.take_log() if method == "GET" and path.endswith((".parquet", "r.json"))]
    assert len(fetched) == len(set(fetched)) > 4


def test_one_dialogue_is_shown_from_the_files_of_its_shard(tiny: TinyCorpus, machine: Machine) -> None:
    put_up(machine("a"), tiny)
    row = tiny.rows("dialogues", 1)[0]
    with machine("b").reading(only_state) as root:
        wanted = of_dialogue(root, row["id"][:12])
    with machine("b").reading(wanted) as root:
        assert [path.name for path in root.glob("images/*")] == [tiny.table("images", 1).name]
        reader = CorpusReader(root)
        found = reader.read(reader.find(row["id"][:12]))
        assert found.row == row
        assert found.assets
        assert found.assets == CorpusReader(tiny.root).read(row["id"]).assets


def test_what_names_files_goes_up_after_them(tiny: TinyCorpus, machine: Machine, store: ObjectServer) -> None:
    put_up(machine("a"), tiny)
    names = [path for method, path in store.take_log() if method == "PUT" and not path.endswith(CLAIM)]
    assert names[0].endswith("work/epoch.json")
    assert names[-1].endswith("tiny/ledger.json")
    first_pointer = next(n for n, name in enumerate(names) if n and name.endswith(".json"))
    assert not [name for name in names[first_pointer:] if name.endswith((".parquet", ".jsonl", ".blob"))]
    assert len([name for name in names if name.endswith(".parquet")]) > 10


def test_a_run_with_nothing_to_do_puts_no_table_up(tiny: TinyCorpus, machine: Machine, store: ObjectServer) -> None:
    put_up(machine("a"), tiny)
    store.take_log()
    with machine("a").writing():
        pass
    up = {path.rpartition("/")[2] for method, path in store.take_log() if method == "PUT"}
    assert up <= {"claim.json", "epoch.json"}


def test_journals_that_grow_meanwhile_go_up_again_and_no_shorter_one_comes_back(
    tiny: TinyCorpus, machine: Machine
) -> None:
    put_up(machine("a"), tiny)
    journal = next((machine("a").root / "work" / "shards").rglob("*.jsonl"))
    name = journal.relative_to(machine("a").root)
    journal.write_bytes(journal.read_bytes() + b"more\n")
    (machine("a").home / "state.json").unlink()
    with machine("a").writing() as root:
        assert (root / name).read_bytes().endswith(b"more\n")
    with machine("b").reading(everything) as root:
        assert (root / name).read_bytes().endswith(b"more\n")


def test_removed_files_leave_the_bucket_and_damaged_ones_come_back(tiny: TinyCorpus, machine: Machine) -> None:
    put_up(machine("a"), tiny)
    with machine("a").writing() as root:
        first, second = sorted(root.glob("images/*.parquet"))
        first.unlink()
        second.rename(second.with_name(second.name + ".damaged")).write_bytes(b"cut")
    there = machine("b").bucket.list()
    assert f"images/{first.name}" not in there
    assert f"images/{second.name}" in there
    with machine("a").reading(everything) as root:
        assert (root / "images" / second.name).read_bytes() == tiny.table("images", 1).read_bytes()


def test_epochs_of_two_machines_never_meet(tiny: TinyCorpus, machine: Machine) -> None:
    epochs = []
    for name in ("a", "b", "a", "a", "b"):
        with machine(name).writing(may_be_new=True) as root:
            lock = CorpusLock.acquire(root / "work")
            epochs.append(lock.epoch)
            lock.release()
    assert epochs == sorted(set(epochs))


def test_two_commands_of_one_machine_do_not_write_at_once(tiny: TinyCorpus, machine: Machine) -> None:
    put_up(machine("a"), tiny)
    with machine("a").writing() as root:
        with pytest.raises(CorpusError, match="another command on this machine"), machine("a").writing():
            pass
        with machine("a").reading(everything) as seen:
            assert seen == root


def test_a_living_claim_is_left_alone_and_a_dead_one_taken_over(store: ObjectServer, machine: Machine) -> None:
    bucket = machine("a").bucket
    holder = Claim(bucket, "a" * 32)
    assert holder.take(0) == 1
    with pytest.raises(CorpusError, match=f"another run .*process {os.getpid()} on"):
        Claim(bucket, "b" * 32, sleep=lambda _: holder.renew()).take(0)
    waits: list[float] = []
    assert Claim(bucket, "b" * 32, sleep=waits.append, lease=90).take(0) == 2
    assert 89 < sum(waits) < 100
    with pytest.raises(StaleWriter):
        holder.renew()


def test_a_claim_of_the_same_copy_is_of_a_dead_process(machine: Machine) -> None:
    bucket = machine("a").bucket
    assert Claim(bucket, "a" * 32).take(7) == 8
    assert Claim(bucket, "a" * 32, sleep=lambda _: pytest.fail("it waited")).take(0) == 9


def test_a_run_that_was_taken_over_commits_and_puts_up_nothing(
    tiny: TinyCorpus, machine: Machine, tmp_path: Path
) -> None:
    put_up(machine("a"), tiny)
    late = machine("a")
    late.beat = 0.01
    with pytest.raises(StaleWriter, match="run again"), late.writing() as root:
        lock = CorpusLock.acquire(root / "work")
        other = ClaimText(owner="b" * 32, host="elsewhere", pid=1, epoch=lock.epoch + 1, beat=0, is_held=True)
        text = tmp_path / "claim"
        text.write_text(other.model_dump_json())
        late.bucket.put(CLAIM, text)
        wait_until(lambda: late._lost is not None)
        with pytest.raises(StaleWriter):
            lock.check()
        lock.release()
        (root / "ledger.json").write_text("{}")
    with machine("c").reading(everything) as root:
        assert contents(root) == contents(tiny.root)


def test_a_pointer_that_another_run_replaced_is_not_undone(tiny: TinyCorpus, machine: Machine) -> None:
    put_up(machine("a"), tiny)
    with pytest.raises(StaleWriter, match=r"ledger\.json"), machine("a").writing() as root:
        machine("b").bucket.put("ledger.json", tiny.root / "README.md")
        (root / "ledger.json").write_text("{}")
    found = machine("b").bucket.read("ledger.json")
    assert found is not None
    assert found[0] == (tiny.root / "README.md").read_bytes()


def test_a_store_that_asks_for_patience_gets_it(tiny: TinyCorpus, machine: Machine, store: ObjectServer) -> None:
    store.fail(
        {"method": "PUT", "after": 3, "times": 2, "status": 503, "code": "SlowDown"},
        {"method": "PUT", "contains": "ledger.json", "times": 1, "status": 500, "code": "InternalError"},
    )
    put_up(machine("a"), tiny)
    store.fail({"method": "GET", "after": 2, "times": 2, "status": 503, "code": "SlowDown"})
    with machine("b").reading(everything) as root:
        assert contents(root) == contents(tiny.root)


def test_a_store_that_fails_on_leaves_the_copy_whole_and_the_next_run_goes_on(
    tiny: TinyCorpus, machine: Machine, store: ObjectServer
) -> None:
    session = machine("a")
    session.bucket = Bucket(session.address, patience=0)
    with pytest.raises(CorpusError, match=r"SlowDown.*run again") as caught, session.writing(may_be_new=True) as root:
        shutil.copytree(tiny.root, root, dirs_exist_ok=True)
        store.fail({"method": "PUT", "contains": "images/", "times": ALWAYS, "status": 503, "code": "SlowDown"})
    assert str(session.root) in str(caught.value)
    assert KEY not in str(caught.value)
    assert "ledger.json" not in machine("b").bucket.list()
    store.fail()
    with machine("a").writing():
        pass
    with machine("b").reading(everything) as root:
        assert contents(root) == contents(tiny.root)


def test_a_key_that_is_not_permitted_is_told_and_not_shown(machine: Machine, store: ObjectServer) -> None:
    store.fail({"times": ALWAYS, "status": 403, "code": "AccessDenied"})
    told = r"access was refused \(AccessDenied\).*AWS_ACCESS_KEY_ID"
    with pytest.raises(CorpusError, match=told) as caught, machine("a").writing(may_be_new=True):
        pass
    assert KEY not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_bucket_that_does_not_exist_is_told(store: ObjectServer, tmp_path: Path) -> None:
    session = Session(ObjectAddress("nowhere", "tiny"), tmp_path / "a", lambda text: None)
    with pytest.raises(CorpusError, match="there is no bucket 'nowhere'"), session.writing(may_be_new=True):
        pass
    with pytest.raises(CorpusError, match="there is no bucket 'nowhere'"), session.reading(everything):
        pass


def test_an_address_with_nothing_under_it_is_no_corpus(machine: Machine) -> None:
    with pytest.raises(CorpusError, match="is no corpus"), machine("a").reading(everything):
        pass
    with machine("a").reading(everything, may_be_new=True) as root:
        assert not (root / "ledger.json").exists()


@pytest.mark.parametrize("table", ["images", "dialogues"])
def test_a_truncated_object_is_found_and_made_whole(tiny: TinyCorpus, machine: Machine, table: str) -> None:
    put_up(machine("a"), tiny)
    name, whole = f"{table}/{tiny.table(table).name}", tiny.table(table).read_bytes()
    cut = machine("a").home / "cut"
    cut.write_bytes(whole[: len(whole) // 2])
    machine("a").bucket.put(name, cut)
    for where in ("a", "b"):
        with machine(where).reading(everything) as root:
            assert codes(root) & {"size_differs", "hash_differs", "file_damaged", "unreadable"}
    with machine("a").writing() as root:
        (root / name).write_bytes(whole)
    with machine("b").reading(everything) as root:
        assert codes(root) == set()


def test_an_object_that_is_gone_is_gone_from_the_copy_too(tiny: TinyCorpus, machine: Machine) -> None:
    put_up(machine("a"), tiny)
    machine("b").bucket.remove([f"images/{tiny.table('images').name}"])
    with machine("a").reading(everything) as root:
        assert "file_missing" in codes(root)


def test_an_emptied_bucket_does_not_empty_the_copy(tiny: TinyCorpus, machine: Machine) -> None:
    put_up(machine("a"), tiny)
    bucket = machine("b").bucket
    bucket.remove(list(bucket.list()))
    with pytest.raises(CorpusError, match="holds nothing any more"), machine("a").reading(everything):
        pass
    assert (machine("a").root / "ledger.json").exists()


def test_hidden_names_in_a_bucket_are_passed_over(tiny: TinyCorpus, machine: Machine, store: ObjectServer) -> None:
    put_up(machine("a"), tiny)
    store.put(f"{machine('a').address.prefix}/work/.evil", b"evil")
    with machine("b").reading(everything) as root:
        assert contents(root) == contents(tiny.root)


@pytest.mark.parametrize("name", ["%2e%2e/evil", "work/%2e%2e/%2e%2e/evil", "%1b[2Jevil", "a//evil"])
def test_names_in_a_bucket_lead_nowhere_else(machine: Machine, store: ObjectServer, name: str) -> None:
    store.put(f"{machine('a').address.prefix}/{name}", b"evil")
    with pytest.raises(CorpusError) as caught, machine("a").reading(everything):
        pass
    assert str(caught.value).isprintable()
    assert not list(machine("a").home.parent.rglob("*evil*"))


KILLED = """
import shutil, sys
from pathlib import Path
from pipeline.adapters.objects.address import ObjectAddress
from pipeline.adapters.objects.session import Session

with Session(ObjectAddress(sys.argv[1], sys.argv[2]), Path(sys.argv[3]), print).writing(may_be_new=True) as root:
    shutil.copytree(sys.argv[4], root, dirs_exist_ok=True)
"""


@pytest.mark.parametrize("contains", ["speech/", "shards/00001/dialogues.json", "tiny/ledger.json"])
def test_a_kill_while_objects_go_up_leaves_no_pointer_without_its_files(
    tiny: TinyCorpus, machine: Machine, store: ObjectServer, contains: str
) -> None:
    session = machine("a")
    store.fail({"method": "PUT", "contains": contains, "times": ALWAYS, "hang": True})
    command = [sys.executable, "-c", KILLED, BUCKET, session.address.prefix, str(session.home), str(tiny.root)]
    requests: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:

        def is_hanging() -> bool:
            requests.extend(path for method, path in store.take_log() if method == "PUT")
            return any(contains in path for path in requests)

        wait_until(is_hanging)
        process.send_signal(signal.SIGKILL)
    store.fail()
    with machine("b").reading(everything) as root:
        assert not (root / "ledger.json").exists()
        assert codes(root) == set()
    with machine("a").writing():  # takes its own claim over at once
        pass
    with machine("b").reading(everything) as root:
        assert contents(root) == contents(tiny.root)
