from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.runs import find_holder, read_last_tally, survey_stages
from pipeline.cli.status import print_status
from pipeline.execution.tally import EventLog, Tally
from pipeline.values.errors import CorpusError
from tests.support.corpora import TinyCorpus, restate_root


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny" / "work"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def held(work: Path) -> Iterator[Path]:
    """A work folder whose lock this process holds, as a run would."""
    lock = CorpusLock.acquire(work)
    yield work
    lock.release()


def tell(work: Path, **changes: Any) -> None:
    """Append a line as a driver does."""
    tally = Tally(spend_usd=1.25, tokens=1200, num_calls=9, num_answers=5)
    tally.expect("dialogues", 40, 10)
    tally.busy["llm"] = "dialogue of 0123456789abcdef"
    stages = {"dialogues": {"done": 10, "total": 40, "failed": 2, "per_second": 0.5}}
    EventLog(work).append({**tally.snapshot(), "stages": stages, **changes})


def test_a_finished_corpus_is_told_with_counts_matrix_spend_and_losses(
    tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]
) -> None:
    print_status(tiny.root, follow=False)
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines()]
    assert "8 planned = 6 kept + 1 rejected + 1 failed" in out
    assert "No run is working on it." in out
    assert ["dialogues", "2", "of", "2", "7", "1"] in lines
    assert ["draw", "50.0%", "4", "3", "50.0%"] in lines
    assert ["dialogues/refused", "1"] in lines
    assert ["screen/duplicate", "1"] in lines
    spent = sum(sums["usd"] for models in tiny.ledger.spend.values() for sums in models.values())
    assert ["all", f"{spent:.4f}"] in lines


def test_looking_changes_nothing(tiny: TinyCorpus) -> None:
    (tiny.root / "work/shards/00000/music.json").write_text("{")
    before = {path: path.stat().st_mtime_ns for path in tiny.root.rglob("*")}
    print_status(tiny.root, follow=False)
    assert {path: path.stat().st_mtime_ns for path in tiny.root.rglob("*")} == before
    assert survey_stages(tiny.root / "work").stages["music"].num_shards == 1


def test_a_running_run_is_told_with_rate_and_time_left(held: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tell(held)
    print_status(held.parent, follow=False)
    out = capsys.readouterr().out
    assert f"A run is running: process {os.getpid()} on {socket.gethostname()}, about 60 s left." in out
    assert ["dialogues", "10", "40", "2", "30.0", "60", "s"] in [line.split() for line in out.splitlines()]
    assert "4 calls in flight, dialogue of 0123456789abcdef; 1,200 tokens" in out
    assert "1.25 USD" in out
    assert "nothing is published yet" in out


def test_a_tally_of_a_former_run_is_not_taken_for_this_one(held: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tell(held, pid=1)
    print_status(held.parent, follow=False)
    out = capsys.readouterr().out
    assert "A run is starting" in out
    assert "40" not in out


def test_a_silent_run_is_called_silent(held: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tell(held, t=time.time() - 60)
    print_status(held.parent, follow=False)
    assert "it has told nothing for 60 s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("state", "end", "words"),
    [
        ("running", "", "was killed or crashed 60 s ago ({when}); run again to go on."),
        ("draining", "", "was killed or crashed 60 s ago ({when}); run again to go on."),
        ("done", "", "ended well 60 s ago ({when})."),
        ("stopped", "", "was stopped 60 s ago ({when}): by Ctrl-C; run again to go on."),
        ("stopped", "the budget of 1.0000 USD is reached", "): the budget of 1.0000 USD is reached; run again to go"),
        ("failed", "", "failed 60 s ago ({when}): it gave no reason."),
        ("failed", "m at x: 401: no\x1b[2J; check $KEY.", "failed 60 s ago ({when}): m at x: 401: no�[2J; check $KEY."),
    ],
)
def test_the_end_of_the_last_run_is_told_in_one_line(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, state: str, end: str, words: str
) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    tell(work, state=state, end=end, t=now - 60)
    print_status(work.parent, follow=False)
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(now - 60))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("No run is working on it.")]
    assert words.format(when=when) in line


def test_a_moment_that_no_calendar_knows_is_passed_over(work: Path) -> None:
    tell(work, t=1e18)
    assert read_last_tally(work) is None


def test_a_lock_file_left_by_a_dead_process_is_no_run(work: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    (work / "lock").write_text(json.dumps({"pid": int(gone.stdout), "host": socket.gethostname()}))
    assert find_holder(work) is None


def test_a_lock_file_of_a_living_process_that_does_not_hold_it_is_no_run(work: Path) -> None:
    (work / "lock").write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
    assert find_holder(work) is None
    lock = CorpusLock.acquire(work)
    holder = find_holder(work)
    assert holder is not None
    assert holder.pid == os.getpid()
    lock.release()
    assert find_holder(work) is None


@pytest.mark.parametrize(
    "rest", [b'{"t": 1, "event": "tal', b"\xff\xfe\n", b'{"event": "other"}\n', b"[" * 5000, b"1\n"]
)
def test_what_is_no_whole_tally_is_passed_over(work: Path, rest: bytes) -> None:
    tell(work, tokens=77)
    with (work / "events.jsonl").open("ab") as file:
        file.write(rest)
    tally = read_last_tally(work)
    assert tally is not None
    assert tally.tokens == 77


def test_an_empty_or_foreign_event_log_tells_nothing(work: Path) -> None:
    assert read_last_tally(work) is None
    (work / "events.jsonl").write_bytes(os.urandom(4096))
    assert read_last_tally(work) is None


def test_following_ends_with_the_run(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = CorpusLock.acquire(work)
    tell(work)
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            tell(work, state="done")
            lock.release()

    print_status(work.parent, follow=True, sleep=sleep)
    out = capsys.readouterr().out
    assert naps == [1.0, 1.0, 1.0]
    assert "dialogues 10/40 (2 failed)" in out
    assert "ended well" in out.splitlines()[-1]


def test_interrupting_while_following_is_clean(held: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def sleep(seconds: float) -> None:
        raise KeyboardInterrupt

    print_status(held.parent, follow=True, sleep=sleep)
    assert capsys.readouterr().out.endswith("Stopped watching; the run goes on.\n")


def test_text_of_strangers_cannot_steer_the_terminal(tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    restate_root(tiny, reasons={"dialogues/\x1b[31mred[bold]": 1}, name="\x1b]0;title\x07")
    tell(tiny.root / "work", note="\x1b[2J")
    print_status(tiny.root, follow=False)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "red[bold]" in out


def test_a_folder_that_is_no_corpus_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="is no corpus"):
        print_status(tmp_path, follow=False)
