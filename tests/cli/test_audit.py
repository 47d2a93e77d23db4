from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.adapters.readings import FOLDER, INDEX, CorpusReadings
from pipeline.cli import audit as command
from pipeline.cli.audit import audit_corpus, parse_limits, parse_options
from pipeline.contracts.audit import Measure
from pipeline.execution.audits import AuditSetting, choose_audits
from pipeline.execution.cluster import PoolShape
from pipeline.values.errors import CorpusError, ManifestError
from pipeline.work.audit_summary import Column
from tests.support.auditing import Here, run_here
from tests.support.corpora import TinyCorpus


def test_an_audit_measures_all_shards_and_then_has_nothing_to_do(tiny: TinyCorpus) -> None:
    setting = AuditSetting(tiny.root, ("picture-basics",))
    found, calls = run_here(setting)
    num_images = tiny.ledger.tables["images"]
    assert (found["image.contrast"].num_records, found["image.size_error"].num_short) == (num_images, 0)
    assert [method for method, _ in calls] == ["audit"] * len(calls)
    again, calls = run_here(setting)
    assert (again, calls) == (found, [])


def test_a_sampled_audit_looks_at_few_and_says_how_sure_it_is(tiny: TinyCorpus) -> None:
    found, _ = run_here(AuditSetting(tiny.root, ("picture-basics",), sample=3))
    contrast = found["image.contrast"]
    assert 0 < contrast.num_records < tiny.ledger.tables["images"]
    assert contrast.pass_low < contrast.pass_share <= contrast.pass_high


def test_what_was_read_stays_beside_the_corpus_with_the_limits_that_held(tiny: TinyCorpus) -> None:
    assert CorpusReadings(tiny.root).audits == ()
    run_here(AuditSetting(tiny.root, ("picture-basics",), limits={"image.contrast": 2.0}))
    readings = CorpusReadings(tiny.root)
    (audit,) = readings.audits
    limits = {measure.name: measure.limit for measure in audit.measures}
    assert (audit.name, limits["image.contrast"], limits["image.size_error"]) == ("picture-basics", 2.0, 0.0)
    found = list(readings.findings())
    short = [one.value for one in found if one.measure is not None and one.measure.name == "image.contrast"]
    assert len(short) == tiny.ledger.tables["images"] == len(list(readings.rows(audit)))
    assert all(value is not None and value < 2.0 for value in short)
    assert {one.about for one in found} == {"image"}


def test_a_damaged_index_of_readings_is_named(tiny: TinyCorpus) -> None:
    run_here(AuditSetting(tiny.root, ("picture-basics",)))
    (tiny.root / FOLDER / INDEX).write_text('[{"name": 3}]')
    with pytest.raises(CorpusError, match="is damaged"):
        CorpusReadings(tiny.root).audits  # noqa: B018  read at its first use


def test_the_command_prints_what_came_out(
    tiny: TinyCorpus, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = AuditSetting(tiny.root, ("picture-basics",), limits={"image.contrast": 2.0})
    monkeypatch.setattr(command, "Pool", lambda build, shape: Here(setting, 1))
    assert audit_corpus(setting, PoolShape(), as_json=False) == 0
    out = capsys.readouterr().out
    assert "image.contrast" in out
    assert ">= 2" in out
    assert "0.0%" in out
    # A captured output is 80 columns wide, and yet the last column stands with its ids.
    (contrast,) = (line for line in out.splitlines() if line.startswith("image.contrast"))
    assert re.search(r"0\.0% +[0-9a-f]{16}\S* \([\d.e-]+\)$", contrast.rstrip())
    count = tiny.ledger.tables["images"]
    assert re.search(rf"Done in \d+ s: 1 audit, \d+ readings; beyond their limits: .*image\.contrast {count}\b", out)
    assert audit_corpus(setting, PoolShape(), as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert found[0]["num_short"] == tiny.ledger.tables["images"]


def test_a_share_just_short_of_all_is_not_said_to_be_all() -> None:
    column = Column(Measure(name="image.x", summary="x", unit="", better="higher", limit=1.0), "image", "x", None)
    column.extend([f"r{n}" for n in range(3000)], ["d"] * 3000, np.array([0.0, *[2.0] * 2999]))
    assert command._say_share(column.sum_up(1.0)) == "99.9%"


def test_media_that_a_corpus_does_not_have_are_not_told_of(
    tiny: TinyCorpus, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "theirs"
    for name in ("dialogues", "speech"):
        shutil.copytree(tiny.root / name, theirs / name)
    setting = AuditSetting(theirs, ("picture-basics", "speech-basics"))
    monkeypatch.setattr(command, "Pool", lambda build, shape: Here(setting, 1))
    assert audit_corpus(setting, PoolShape(), as_json=False) == 0
    out = capsys.readouterr().out
    assert "speech.loudness" in out
    assert "image." not in out


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"names": ("nothing",)}, "audit 'nothing' is not installed; there are"),
        ({"options": {"picture-basics": {"speed": 3}}}, "audit picture-basics: option speed"),
        ({"names": ("picture-qualty",)}, r"'picture-qualty' is not installed; did you mean picture-quality\?"),
        ({"names": ("picture-basics",), "limits": {"beauty": 1.0}}, "beauty: no measure of these audits; there are"),
        ({"limits": {"image.contrst": 1.0}}, r"no measure of these audits; did you mean image\.contrast\?"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tiny: TinyCorpus, setting: dict[str, Any], message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        audit_corpus(AuditSetting(tiny.root, **setting), PoolShape(), as_json=False)
    assert not (tiny.root / FOLDER).exists()


def test_a_ledger_whose_screen_cannot_be_is_named(tiny: TinyCorpus) -> None:
    path = tiny.root / "ledger.json"
    ledger = json.loads(path.read_text())
    ledger["manifest"]["screen"] = {"near_duplicates": "often"}
    path.write_text(json.dumps(ledger))
    message = r"ledger\.json: manifest\.screen\.near_duplicates: must be 0\.5 to 1, or off"
    with pytest.raises(CorpusError, match=message):
        audit_corpus(AuditSetting(tiny.root), PoolShape(), as_json=False)


def test_options_and_limits_are_read_from_words() -> None:
    assert parse_options(["a.b=2", "a.c=text", 'd.e=["x"]']) == {"a": {"b": 2, "c": "text"}, "d": {"e": ["x"]}}
    assert parse_limits(["image.contrast=0.5"]) == {"image.contrast": 0.5}
    with pytest.raises(ManifestError, match=r"write audit\.option=value"):
        parse_options(["a=2"])
    with pytest.raises(ManifestError, match="write measure=number"):
        parse_limits(["image.contrast=high"])
    for number in ("nan", "inf"):
        with pytest.raises(ManifestError, match="a limit is a finite number"):
            parse_limits([f"image.contrast={number}"])


def test_no_names_mean_all_default_audits() -> None:
    assert "picture-basics" in [audit.plugin.name for audit in choose_audits((), {})]
