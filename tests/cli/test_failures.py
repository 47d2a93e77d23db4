from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.adapters.losses import LossGroup, read_losses
from pipeline.cli.failures import advise, print_failures
from pipeline.cli.status import print_status
from pipeline.execution import tally
from pipeline.execution.tally import EventLog
from pipeline.values.errors import CorpusError
from tests.support.corpora import TinyCorpus


def read_json(root: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    print_failures(root, None, as_json=True)
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def test_losses_are_those_of_the_ledger_by_stage_and_reason(
    tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]
) -> None:
    told = read_json(tiny.root, capsys)
    assert (told["failed"], told["rejected"], told["is_published"]) == (1, 1, True)
    assert {f"{group['stage']}/{group['code']}": group["count"] for group in told["groups"]} == tiny.ledger.reasons
    assert told["groups"][0]["examples"] == [
        {"id": next(iter(tiny.chat.refused)), "message": "the endpoint does not write about this"}
    ]
    print_failures(tiny.root, "refused", as_json=False)
    out = capsys.readouterr().out
    assert "failed dialogues/refused: 1" in out
    assert "--retry-failed dialogues/refused" in out
    assert "duplicate" not in out
    print_status(tiny.root, follow=False)
    assert f"anyinstruct failures {tiny.root}" in capsys.readouterr().out


def test_rows_of_the_stages_are_told_before_anything_is_published(
    tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]
) -> None:
    (tiny.root / "ledger.json").unlink()
    told = read_json(tiny.root, capsys)
    assert (told["failed"], told["rejected"], told["is_published"]) == (1, 0, False)


def test_an_unknown_reason_names_those_there_are(tiny: TinyCorpus) -> None:
    with pytest.raises(CorpusError, match="did you mean dialogues/refused"):
        print_failures(tiny.root, "dialogues/refsed", as_json=False)


def test_no_corpus_and_a_damaged_one_are_said(tiny: TinyCorpus, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="is no corpus"):
        read_losses(tmp_path)
    (path,) = (tiny.root / "failed").glob("*.parquet")
    path.write_bytes(b"rubbish")
    with pytest.raises(CorpusError, match="anyinstruct verify"):
        read_losses(tiny.root)


def test_messages_cannot_steer_the_terminal(tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = (tiny.root / "failed").glob("*.parquet")
    table = pq.read_table(path)
    hostile = ["[red]\x1b[2J\nfailed fake/line: 9 " + "x" * 5000] * len(table)
    place = table.schema.get_field_index("message")
    pq.write_table(table.set_column(place, "message", [hostile]), path)
    print_failures(tiny.root, None, as_json=False)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "[red]" in out
    assert not any(line.startswith("failed fake") for line in out.splitlines())
    assert max(map(len, out.splitlines())) < 400


@pytest.mark.parametrize(
    ("state", "stage", "code", "said"),
    [
        ("failed", "speech", "unspeakable", "change those"),
        ("failed", "scenarios", "timeout", "--retry-failed scenarios/timeout"),
        ("failed", "image", "source_failed", "once that one is taken again"),
        ("failed", "topics", "invalid_answer", "topics.generate"),
        ("rejected", "limits", "below_limit", "anyinstruct repair"),
        ("rejected", "review", "poor", "anyinstruct review"),
    ],
)
def test_each_loss_comes_with_what_to_do(state: Any, stage: str, code: str, said: str) -> None:
    assert said in advise(LossGroup(state, stage, code))


def test_the_event_log_is_bounded_and_keeps_its_last_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MAX_LOG_BYTES", 1000)
    log = EventLog(tmp_path)
    for number in range(200):
        log.append({"event": "failed", "record": f"{number:016x}"}, {"event": "tally"})
    files = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(files) == {"events.jsonl", "events.jsonl.former"}
    assert max(files.values()) < 1300
    last = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()[-2:]]
    assert [line["event"] for line in last] == ["failed", "tally"]
    assert last[0]["record"] == f"{199:016x}"
