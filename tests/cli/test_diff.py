from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.cli.diff import diff_corpora
from pipeline.contracts.storage import Row
from pipeline.execution.audits import AuditSetting
from pipeline.work.differences import distance_between
from tests.support.auditing import run_here
from tests.support.browser import Tab
from tests.support.corpora import TinyCorpus, restate_table

MARKUP = "<b>bold</b>\x1b[31m\u202e"


def read_differences(first: Path, second: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    capsys.readouterr()
    diff_corpora(first, second, None, as_json=True)
    return json.loads(capsys.readouterr().out)


def copy_of(tiny: TinyCorpus, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny.root, tmp_path / "former"))


def change_first(rows: list[Row]) -> list[Row]:
    rows[0]["topic"] = MARKUP
    rows[0]["turns"][0]["parts"][0]["text"] = MARKUP
    return rows


def drop_first(rows: list[Row]) -> list[Row]:
    return rows[1:]


def test_a_corpus_does_not_differ_from_itself(tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    run_here(AuditSetting(tiny.root, ("picture-basics",)))
    found = read_differences(tiny.root, tiny.root, capsys)
    assert all(row["first"] == row["second"] for row in (*found["counts"], *found["reached"], *found["calls"]))
    assert [row["distance"] for row in found["measures"]] == [0.0] * len(found["measures"]) != []
    samples = found["samples"]
    assert (samples["num_same"], samples["num_changed"], samples["num_only_first"]) == (6, 0, 0)


def test_changed_and_missing_dialogues_are_named(
    tiny: TinyCorpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    former = copy_of(tiny, tmp_path)
    changed = tiny.rows("dialogues", 0)[0]["id"]
    restate_table(tiny, "dialogues", 0, change_first)
    restate_table(tiny, "dialogues", 1, drop_first)
    samples = read_differences(former, tiny.root, capsys)["samples"]
    assert (samples["num_changed"], samples["num_only_first"], samples["num_only_second"]) == (1, 1, 0)
    assert [(row["id"], row["what"]) for row in samples["changed"]] == [(changed, ["text"])]
    assert (samples["num_topics_only_first"], samples["topics_only_second"]) == (2, [MARKUP])


def test_other_media_under_the_same_words_are_a_change(
    tiny: TinyCorpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    former = copy_of(tiny, tmp_path)

    def replace(rows: list[Row]) -> list[Row]:
        return [row | {"sha256": "0" * 64} for row in rows]

    restate_table(tiny, "images", 0, replace)
    samples = read_differences(former, tiny.root, capsys)["samples"]
    assert samples["num_changed"] == len({row["dialogue_id"] for row in tiny.rows("images", 0)})
    assert {tuple(row["what"]) for row in samples["changed"]} == {("image",)}


def test_terminal_and_page_say_the_same_and_keep_text_text(
    tiny: TinyCorpus, tmp_path: Path, capsys: pytest.CaptureFixture[str], tab: Tab
) -> None:
    former, page = copy_of(tiny, tmp_path), tmp_path / "diff.html"
    restate_table(tiny, "dialogues", 0, change_first)
    diff_corpora(former, tiny.root, page, as_json=False)
    printed = capsys.readouterr().out
    assert "1 have other words or media" in printed
    assert "\x1b" not in printed
    assert "\u202e" not in printed
    tab.page.set_viewport_size({"width": 390, "height": 800})
    tab.page.goto(page.as_uri())
    assert "1 have other words or media" in tab.page.inner_text("main")
    assert "<b>bold</b>[U+001B][31m[U+202E]" in tab.page.inner_text("main")
    assert tab.page.locator("main b").count() == 0
    assert tab.page.evaluate("document.documentElement.scrollWidth") == 390
    assert (tab.outside, tab.complaints) == ([], [])


def test_distance_is_the_largest_gap_of_the_distributions() -> None:
    assert distance_between(np.array([1.0, 2.0]), np.array([3.0])) == 1.0
    assert distance_between(np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.0, 4.0, 5.0, 6.0])) == 0.5
    assert distance_between(np.array([1.0]), np.array([])) is None
