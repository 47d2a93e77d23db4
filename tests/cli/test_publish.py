"""``publish`` against a stand-in of the hub's API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import datasets
import huggingface_hub
import pytest
from typer.testing import CliRunner

from pipeline.adapters.lock import CorpusLock
from pipeline.cli.app import app
from pipeline.execution.exports import STATE
from pipeline.execution.publishing import read_export
from pipeline.values.errors import AnyInstructError, CorpusError
from tests.support.corpora import TOPICS, TinyCorpus
from tests.support.exporting import export_to
from tests.support.hub_server import TOKEN, StandInHub, serving_hub
from tests.support.waiting import wait_until

# The hub's library sends contents in a way that its HTTP client calls old.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REPO = "me/tiny"
Asked = tuple[str, ...]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[StandInHub]:
    with serving_hub(tmp_path / "hub") as stand_in:
        yield stand_in
        huggingface_hub.close_session()


@pytest.fixture
def export(tiny: TinyCorpus, tmp_path: Path) -> Path:
    export_to(tiny.root, tmp_path / "export", "hf")
    return tmp_path / "export"


def start(hub: StandInHub, *asked: str) -> subprocess.Popen[str]:
    """The command in a process of its own, that can be killed and finds all settings in its environment."""
    settings = {
        "HF_ENDPOINT": hub.address,
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(hub.root / "home"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    command = [sys.executable, "-m", "pipeline.cli.app", "publish", *asked]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env={**os.environ, **settings}, text=True, stdout=pipe, stderr=pipe)


def publish(hub: StandInHub, *asked: str, token: str = TOKEN) -> tuple[int, str]:
    """Publish in this process, where the library has read its settings long ago."""
    settings: dict[str, Any] = {
        "ENDPOINT": hub.address,
        "HF_TOKEN_PATH": str(hub.root / "home" / "token"),
        "HF_HUB_DISABLE_XET": True,
    }
    with patch.multiple(huggingface_hub.constants, **settings):
        result = CliRunner().invoke(app, ["publish", *asked], env={"HF_TOKEN": token})
    error = "" if isinstance(result.exception, SystemExit | None) else str(result.exception)
    assert not error or isinstance(result.exception, AnyInstructError)
    assert TOKEN not in result.output + error
    return result.exit_code, result.output + error


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=300)
    assert "Traceback" not in err
    assert TOKEN not in out + err
    return process.returncode, out + err


def test_a_published_export_is_read_by_datasets_and_only_changes_are_sent_again(
    hub: StandInHub, tiny: TinyCorpus, export: Path, tmp_path: Path
) -> None:
    code, said = publish(hub, str(export), REPO, "--private", "--dry-run")
    assert (code, hub.private, hub.stored) == (0, {}, [])
    assert "4 files to send" in said
    code, said = publish(hub, str(export), REPO, "--private")
    assert (code, hub.private) == (0, {REPO: True}), said
    there = {p.relative_to(hub.branch(REPO)).as_posix() for p in hub.branch(REPO).rglob("*") if p.is_file()}
    assert there == set(read_export(export))
    rows = datasets.load_dataset(str(hub.branch(REPO)), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(rows) == tiny.ledger.counts["kept"]
    num_stored, num_commits = len(hub.stored), len(hub.commits)
    code, said = publish(hub, str(export), REPO, "--private")
    assert (code, len(hub.stored), len(hub.commits)) == (0, num_stored, num_commits), said

    (hub.branch(REPO) / "data" / "train-00099.parquet").write_bytes(b"of an earlier export")
    (hub.branch(REPO) / "mine.txt").write_text("somebody's own")
    tiny.update([*TOPICS, "glass bells"])
    export_to(tiny.root, export, "hf")
    code, said = publish(hub, str(export), REPO)
    assert code == 0, said
    assert not (hub.branch(REPO) / "data" / "train-00099.parquet").exists()
    assert (hub.branch(REPO) / "mine.txt").exists()
    for name, path in read_export(export).items():
        assert (hub.branch(REPO) / name).read_bytes() == path.read_bytes()


def test_a_branch_is_made_where_one_is_named(hub: StandInHub, export: Path) -> None:
    code, said = publish(hub, str(export), REPO, "--revision", "v2")
    assert code == 0, said
    assert (hub.branch(REPO, "v2") / "README.md").read_bytes() == (export / "README.md").read_bytes()
    assert not any(hub.branch(REPO).iterdir())


def test_after_a_kill_what_is_up_is_not_sent_again(hub: StandInHub, export: Path) -> None:
    hub.hold_after = 1
    process = start(hub, str(export), REPO)
    wait_until(lambda: hub.num_held > 0 or process.poll() is not None)
    assert process.poll() is None
    process.kill()
    process.communicate()
    assert (len(hub.stored), hub.commits) == (1, [])
    hub.hold_after = None
    code, said = finish(start(hub, str(export), REPO))
    assert code == 0, said
    assert len(hub.stored) == len(set(hub.stored)) == 2
    assert len(hub.commits) == 1


def test_a_fault_that_passes_is_got_over_and_one_that_stays_is_told(hub: StandInHub, export: Path) -> None:
    hub.faults = [403, 403]
    code, said = publish(hub, str(export), REPO)
    assert (code, hub.commits) == (1, [])
    assert "the hub answers 403" in said
    assert "may not write there" in said
    hub.faults = [503]
    code, said = publish(hub, str(export), REPO)
    assert code == 0, said
    assert len(hub.commits) == 1


@pytest.mark.parametrize(
    ("asked", "token", "words"),
    [
        ((REPO,), "", "no token for the hub: run `hf auth login`"),
        ((REPO,), "hf_wrong", "the hub answers 401"),
        (("somebody/else",), TOKEN, "the hub answers 403"),
        (("a/b/c",), TOKEN, "write owner/name"),
        (("me/public", "--private"), TOKEN, "is public already"),
    ],
)
def test_what_the_hub_would_refuse_is_one_clear_line(
    hub: StandInHub, export: Path, asked: Asked, token: str, words: str
) -> None:
    hub.private["me/public"] = False
    hub.branch("me/public").mkdir(parents=True)
    code, said = publish(hub, str(export), *asked, token=token)
    assert (code, hub.stored) == (1, [])
    assert words in said.replace("\n", " ")


def test_a_hub_that_is_away_is_one_clear_line(hub: StandInHub, export: Path) -> None:
    hub.address = "http://127.0.0.1:9"
    code, said = finish(start(hub, str(export), REPO))
    assert code == 1
    assert "cannot be reached" in said


def test_only_a_finished_export_of_the_right_kind_is_read(tiny: TinyCorpus, export: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="is no export; make one"):
        read_export(tiny.root)
    export_to(tiny.root, tmp_path / "other", "messages")
    with pytest.raises(CorpusError, match="is an export to 'messages'"):
        read_export(tmp_path / "other")
    assert list(read_export(export))[-2:] == ["export.json", "README.md"]
    receipt = export / STATE / "00000.json"
    whole = receipt.read_text()
    said = json.loads(whole)
    said["parts"][0]["num_dialogues"] += 1
    receipt.write_text(json.dumps(said))
    with pytest.raises(CorpusError, match="not finished"):
        read_export(export)
    receipt.write_text(whole)
    part = next(export.glob("data/*.parquet"))
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(CorpusError, match=r"not finished .*not there as a whole"):
        read_export(export)
    (export / "export.json").unlink()
    with pytest.raises(CorpusError, match=r"not finished \(export.json is missing\)"):
        read_export(export)


def test_an_index_names_no_file_of_elsewhere(export: Path) -> None:
    index = export / "export.json"
    part = next(export.glob("data/*.parquet")).relative_to(export).as_posix()
    index.write_text(index.read_text().replace(part, "../secret.parquet"))
    for receipt in (export / STATE).glob("[0-9]*.json"):
        receipt.write_text(receipt.read_text().replace(part, "../secret.parquet"))
    with pytest.raises(CorpusError, match="which no export to hf writes"):
        read_export(export)


def test_an_export_that_is_being_written_is_not_sent(hub: StandInHub, export: Path) -> None:
    lock = CorpusLock.acquire(export / STATE)
    try:
        code, said = publish(hub, str(export), REPO)
    finally:
        lock.release()
    assert (code, hub.stored) == (1, [])
    assert "another run" in said
