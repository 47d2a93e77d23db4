"""Runs and commands on a corpus in an object store, beside the same on disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipeline.adapters.corpus import PUBLISHED_FOLDERS
from pipeline.adapters.objects.address import parse_address
from pipeline.adapters.objects.choosing import everything
from pipeline.adapters.objects.copy import CLAIM
from pipeline.adapters.objects.session import Session, open_session
from pipeline.cli.app import app
from pipeline.contracts.ledger import Ledger
from pipeline.contracts.storage import Row
from pipeline.values.errors import CorpusError
from tests.support.endpoint import Endpoint, running_endpoint
from tests.support.object_server import KEY, SECRET, ObjectServer
from tests.support.object_store import Machine
from tests.support.projects import describe, make, verify, write_manifest

TOPICS = {"list": [f"the {number} small bells" for number in range(6)]}


@dataclass(frozen=True)
class Made:
    """A corpus that was run on disk.

    Attributes:
        num_calls: That writing it took.
    """

    manifest: Path
    root: Path
    ledger: Ledger
    num_calls: int

    def put_up(self, session: Session) -> None:
        """Have a session put it up, as if a run had made it there."""
        with session.writing(may_be_new=True) as root:
            shutil.copytree(self.root, root, dirs_exist_ok=True)


@pytest.fixture(scope="module")
def served() -> Iterator[Endpoint]:
    with running_endpoint() as running:
        yield running


@pytest.fixture(scope="module")
def on_disk(served: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    manifest = write_manifest(folder, describe(served.url, topics=TOPICS))
    ledger, _ = make(manifest, folder / "disk", has_ray=False)
    assert ledger is not None
    return Made(manifest, folder / "disk", ledger, len(served.take()))


@pytest.fixture
def endpoint(served: Endpoint) -> Endpoint:
    served.take()
    return served


def published(root: Path) -> dict[str, list[Row]]:
    """Rows of the published tables by table and shard, media included; how long a render took is another matter."""
    found = {}
    for folder in PUBLISHED_FOLDERS:
        for path in (root / folder).glob("*.parquet"):
            rows: list[Row] = pq.read_table(path).to_pylist()
            found[f"{folder}/{path.name[:11]}"] = [{**row, "render_seconds": None} for row in rows]
    return found


def files(root: Path) -> set[str]:
    """Names of a corpus's files, but for the locks of this machine."""
    paths = [path for path in root.rglob("*") if path.is_file() and path.name != "lock"]
    return {path.relative_to(root).as_posix() for path in paths}


def test_a_run_in_a_store_publishes_the_same_as_one_on_disk(
    machine: Machine, on_disk: Made, endpoint: Endpoint
) -> None:
    with machine("a").writing(may_be_new=True) as root:
        in_store, _ = make(on_disk.manifest, root, has_ray=False)
    assert in_store is not None
    assert in_store.counts == on_disk.ledger.counts
    assert len(endpoint.take()) == on_disk.num_calls
    with machine("b").reading(everything) as root:
        assert published(root) == published(on_disk.root)
        assert len(published(root)) > 8
        assert verify(root).is_sound
    with machine("b").writing() as root:
        make(on_disk.manifest, root, has_ray=False)
    assert not endpoint.take()


def test_another_machine_goes_on_from_the_bucket_alone_and_asks_nothing_twice(
    machine: Machine, on_disk: Made, endpoint: Endpoint
) -> None:
    with machine("a").writing(may_be_new=True) as root:
        make(on_disk.manifest, root, until="scenarios", has_ray=False)
    with machine("b").writing() as root:
        make(on_disk.manifest, root, until="dialogues", has_ray=False)
    shutil.rmtree(machine("a").home)
    with machine("a").writing() as root:
        make(on_disk.manifest, root, has_ray=False)
        assert published(root) == published(on_disk.root)
    assert len(endpoint.take()) == on_disk.num_calls


def test_a_run_goes_on_from_journals_of_a_shard_that_was_not_finished(
    machine: Machine, on_disk: Made, endpoint: Endpoint
) -> None:
    with machine("a").writing(may_be_new=True) as root:
        make(on_disk.manifest, root, until="dialogues", has_ray=False)
        for path in (root / "work" / "shards").rglob("dialogues*"):
            if path.suffix in (".json", ".parquet"):
                path.unlink()  # as if the stages had been killed before they committed
    with machine("b").writing() as root:
        make(on_disk.manifest, root, has_ray=False)
        assert published(root) == published(on_disk.root)
    assert len(endpoint.take()) == on_disk.num_calls


def test_the_commands_work_on_an_address(
    local_ray: None, tmp_path: Path, store: ObjectServer, on_disk: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    address = "s3://data/commands/many"
    session = open_session(parse_address(Path(address)), lambda text: None)
    on_disk.put_up(session)

    def run(*words: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, list(words))
        assert result.exit_code == code, f"{words}: {result.output} {result.exception!r}"
        assert KEY not in result.output
        assert SECRET not in result.output
        return result.output

    assert "kept" in run("status", address)
    assert "sound" in run("verify", address)
    assert "bells" in run("show", address)
    assert "Nothing is to do" in run("plan", str(on_disk.manifest), "--corpus", address)
    assert "Nothing was to do" in run("run", str(on_disk.manifest), "--corpus", address)
    run("failures", address)
    run("gc", address)
    assert "Nothing to remove" in run("gc", address)
    assert {name for name in session.bucket.list() if name != CLAIM} == files(session.root)
    run("report", address)
    assert "report.html" in session.bucket.list()
    run("export", address, str(tmp_path / "out"), "--to", "messages")
    assert list((tmp_path / "out").rglob("*.jsonl*"))


@pytest.mark.parametrize("name", ["ledger.json", "work/shards/00000/dialogues.json"])
def test_a_damaged_pointer_in_the_bucket_is_found_set_aside_and_made_anew(
    machine: Machine, on_disk: Made, name: str
) -> None:
    on_disk.put_up(machine("a"))
    found = machine("b").bucket.read(name)
    assert found is not None
    machine("b").bucket.replace(name, found[0][:100], found[1])
    with machine("a").writing() as root:
        assert not verify(root, fix=True).is_sound
    with machine("a").writing() as root:
        make(on_disk.manifest, root, has_ray=False)
    with machine("b").reading(everything) as root:
        assert verify(root).is_sound
        assert published(root) == published(on_disk.root)


def test_commands_that_need_a_folder_say_so(store: ObjectServer) -> None:
    for words in (["review", "s3://data/demo"], ["import", "s3://data/demo", "out"]):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 1
        assert isinstance(result.exception, CorpusError)
        assert "works on folders alone" in str(result.exception)
