from __future__ import annotations

import getpass
import os
import re
import signal
import subprocess
import sys
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

from pipeline.adapters.readings import CorpusReadings
from pipeline.adapters.verdicts import VerdictBook
from pipeline.cli.review import print_agreement, serve_review
from pipeline.contracts.review import Decision, Verdict
from pipeline.execution.audits import AuditSetting
from pipeline.values.errors import AnyInstructError, CorpusError
from tests.support.auditing import run_here
from tests.support.corpora import TinyCorpus


def judge(root: Path, reviewer: str, decisions: str) -> None:
    """Judge dialogues 0, 1, 2, …: ``a`` accepts, ``r`` rejects, ``-`` is silent."""
    words: dict[str, Decision] = {"a": "accept", "r": "reject"}
    for number, letter in enumerate(decisions):
        if letter in words:
            verdict = Verdict(dialogue_id=f"d{number}", decision=words[letter])
            VerdictBook(root).file(reviewer).append(verdict)


def test_agreement_is_printed_by_pairs_and_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge(tmp_path, "anna", "aaaarrrra")
    judge(tmp_path, "ben", "aaaarrra-")
    judge(tmp_path, "carl", "aar--rr--")
    print_agreement(tmp_path)
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[1:4] == [["anna", "9", "5", "4"], ["ben", "8", "5", "3"], ["carl", "5", "2", "3"]]
    # Of eight dialogues seven agree; half of one's and three eighths of the other's are rejected: (7/8 - 1/2) / (1/2).
    assert lines[5][:6] == ["anna", "and", "ben", "8", "87.5%", "0.75"]
    assert lines[8][:4] == ["all", "3", "(Fleiss)", "8"]
    assert " ".join(lines[9]) == "9 dialogues judged: 5 accepted by most, 3 rejected by most, 1 tied (which keeps them)"


def test_agreement_of_one_reviewer_is_none_and_damage_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judge(tmp_path, "anna", "ar")
    path = tmp_path / "reviews" / "anna.jsonl"
    path.write_bytes(path.read_bytes() + b"{torn\n")
    print_agreement(tmp_path)
    out = capsys.readouterr().out
    assert "kappa" not in out
    assert "left out: 1 damaged line" in out


def test_measures_are_held_against_what_people_say(tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    run_here(AuditSetting(tiny.root, ("wording",)))
    readings = CorpusReadings(tiny.root)
    words = {
        row.record_id: row.readings["dialogue.num_words"].value or 0.0 for row in readings.rows(readings.audits[0])
    }
    middle = sorted(words.values())[len(words) // 2]
    for name, count in words.items():
        decision: Decision = "accept" if count >= middle else "reject"
        VerdictBook(tiny.root).file("anna").append(Verdict(dialogue_id=name, decision=decision))
    print_agreement(tiny.root)
    (line,) = [line.split() for line in capsys.readouterr().out.splitlines() if "dialogue.num_words" in line]
    # Whoever has more words was accepted, so the measure parts the two without fault.
    area = float(line[3])
    better = next(m.better for m in readings.audits[0].measures if m.name == "dialogue.num_words")
    assert area == (1.0 if better == "higher" else 0.0)
    assert int(line[1]) + int(line[2]) == len(words)


def test_a_corpus_that_nobody_judged_has_no_agreement(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="nobody has judged it yet"):
        print_agreement(tmp_path)
    with pytest.raises(CorpusError, match="is no folder"):
        print_agreement(tmp_path / "nowhere")


def test_without_a_name_the_login_judges(tiny: TinyCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid")

    monkeypatch.setattr(getpass, "getuser", nobody)
    with pytest.raises(AnyInstructError, match="--reviewer NAME"):
        serve_review(tiny.root, None, "127.0.0.1", 0)
    monkeypatch.setattr(getpass, "getuser", lambda: "Dom Ain\\user")
    with pytest.raises(AnyInstructError, match="reviewer's name"):
        serve_review(tiny.root, None, "127.0.0.1", 0)


def test_the_command_serves_until_it_is_interrupted(tiny: TinyCorpus) -> None:
    command = [sys.executable, "-m", "pipeline.cli.app", "review", str(tiny.root), "--reviewer", "anna", "--port", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        address = next(line for line in server.stdout if "http://" in line).strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{32}", address)
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        with browser.open(address) as page:
            assert b"<title>Review</title>" in page.read()
        server.send_signal(signal.SIGINT)
        rest = server.stdout.read()
        assert server.wait() == 0
        assert "Stopped. 0 verdicts by anna" in rest
        assert server.stderr.read() == ""
