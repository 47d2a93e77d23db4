from __future__ import annotations

import pytest

from bench import planted
from tests.support import planted_structure, planted_text
from tests.support.planted_delivery import Score


def test_all_of_structure_and_text_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert planted.main(["--quick", "--only", "structure", "text"]) == 0
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith("| ")]
    assert rows[0] == "| Fault | Measures | Planted | Recall | Precision |"
    (structure,) = [row for row in rows if row.startswith("| structure: ")]
    assert structure.endswith("| 1.000 | 1.000 |")
    assert all(fault in structure for fault in planted_structure.FAULTS)
    assert all(fault.partition(".")[2].replace("_", " ") in printed for fault in planted_text.FAULTS)
    assert printed.splitlines()[-1] == "29 of 29 faults found to the goal; missed: none"


def test_a_miss_is_named_and_is_no_success(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    line = planted.Line("music", "copied_as_mp3", ("music.twin_share",), Score(9, 0.9, 1.0, {"copied 0": 1}, {}))
    monkeypatch.setattr(planted, "KINDS", {"music": lambda sample: [line]})
    assert planted.main(["--only", "music"]) == 1
    printed = capsys.readouterr().out
    assert "- music: copied_as_mp3: missed: copied 0 (1)\n" in printed
    assert printed.splitlines()[-1] == "0 of 1 faults found to the goal; missed: music copied_as_mp3"
