from __future__ import annotations

import json
import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.report import report_corpus
from pipeline.contracts.storage import Row
from pipeline.execution.audits import AuditSetting
from pipeline.execution.reporting import gather_figures, write_page
from pipeline.values.errors import CorpusError
from pipeline.work.report_page import counts_add_up
from tests.support.auditing import run_here
from tests.support.browser import Tab
from tests.support.corpora import TinyCorpus, restate_root, restate_table

HOSTILE = (
    "</figcaption><script>document.title='taken'</script><img src=http://192.0.2.9/x onerror=document.title='taken'>"
    "\x1b[31m \u202eevil\u202c \" ' {{ 7 * 7 }}"
)


def read_figures(corpus: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> Any:
    capsys.readouterr()
    report_corpus(corpus.root, None, 6, 16.0, as_json=True)
    return json.loads(capsys.readouterr().out)


def set_texts(rows: list[Row]) -> list[Row]:
    """Give every text of a dialogue to somebody who means harm."""
    for row in rows:
        row |= {"topic": HOSTILE, "meta_topic": HOSTILE, "scenario": HOSTILE}
        for part in (part for turn in row["turns"] for part in turn["parts"]):
            part["text"] = HOSTILE
    return rows


def test_every_planned_dialogue_is_accounted_for(tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    found = read_figures(tiny, capsys)
    assert found["fate"] == {"planned": 8, "kept": 6, "rejected": 1, "failed": 1, "waiting": 0}
    assert found["adds_up"] is True
    assert all(check["stated"] == check["counted"] for check in found["checks"])
    cells = {cell["name"]: cell for cell in found["cells"]}
    assert sum(cell["fate"]["planned"] for cell in cells.values()) == 8
    assert cells["draw"]["wanted"] == 0.5
    assert dict(found["reasons"]) == dict(tiny.ledger.reasons)
    assert {asset["kind"]: asset["num_assets"] for asset in found["assets"]} == {
        "image": tiny.ledger.tables["images"],
        "music": tiny.ledger.tables["music"],
        "speech": tiny.ledger.tables["speech"],
    }
    assert found["usd"] == pytest.approx(sum(line["usd"] for line in found["spend"])) != 0


def test_a_count_that_the_files_contradict_is_named(tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    restate_root(tiny, counts={**tiny.ledger.counts, "kept": 7})
    found = read_figures(tiny, capsys)
    assert found["adds_up"] is False
    (wrong,) = [check for check in found["checks"] if check["stated"] != check["counted"]]
    assert (wrong["what"], wrong["stated"], wrong["counted"]) == ("dialogues kept", 7, 6)
    report_corpus(tiny.root, None, 1, 0.0, as_json=False)
    assert "COUNTS DO NOT ADD UP" in capsys.readouterr().out
    assert "Counts do not add up" in (tiny.root / "report.html").read_text(encoding="utf-8")


def test_findings_choose_the_worst_and_count_against_their_meta_topic(tiny: TinyCorpus) -> None:
    num_images = tiny.ledger.tables["images"]
    run_here(AuditSetting(tiny.root, ("picture-basics",), limits={"image.contrast": 2.0}))
    figures = gather_figures(tiny.root, 6)
    contrast = next(summary for summary in figures.summaries if summary.measure.name == "image.contrast")
    assert (contrast.limit, contrast.num_short) == (2.0, num_images)
    assert (figures.num_good, figures.share_audited) == (0, {"picture-basics": 1.0})
    assert sum(row.num_audited for row in figures.meta_topics) == figures.num_audited == len(figures.worst)
    page = write_page(tiny.root, figures, 10**7)
    assert page.count("data:image/webp;base64,") == num_images * 2
    assert "✗ 0.0% pass" in page
    partly = write_page(tiny.root, figures.model_copy(update={"share_audited": {"picture-basics": 0.9996}}), 0)
    assert "picture-basics 99.9% of its records;" in partly
    assert "of its records;" not in page
    assert re.search(r"image\.contrast [\d.e-]+, limit ≥ 2 \(image of turn \d\)", page)


def test_media_keep_to_the_budget(tiny: TinyCorpus) -> None:
    figures = gather_figures(tiny.root, 6)
    assert figures.random == gather_figures(tiny.root, 6).random
    assert len(figures.random) == 6
    page = write_page(tiny.root, figures, 0)
    assert 'src="data:' not in page
    assert "left out, for the page would grow too large" in page
    assert 'src="data:audio/' in write_page(tiny.root, figures, 10**8)


def test_what_a_stranger_does_not_say_is_said_to_be_unknown(tiny: TinyCorpus, tmp_path: Path) -> None:
    root = tmp_path / "stranger"
    for name in ("dialogues", "images"):
        shutil.copytree(tiny.root / name, root / name)
    figures = gather_figures(root, 6)
    assert (figures.fate.kept, figures.fate.planned, figures.fate.waiting) == (6, None, None)
    assert (figures.origin, figures.usd, figures.checks) == (None, None, ())
    assert counts_add_up(figures)
    page = write_page(root, figures, 10**7)
    assert "No ledger" in page
    assert "its asset is not in the tables" in page
    assert "Nobody has audited this corpus" in page


def test_a_ledger_that_no_run_wrote_is_an_error(tiny: TinyCorpus) -> None:
    restate_root(tiny, manifest={"seed": "eleven", "mix": []})
    with pytest.raises(CorpusError, match="hold what no run writes"):
        gather_figures(tiny.root, 6)


def test_a_folder_without_a_corpus_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds no finished corpus"):
        report_corpus(tmp_path, None, 6, 16.0, as_json=False)


def test_hostile_text_stays_text(tiny: TinyCorpus, tab: Tab) -> None:
    for shard in (0, 1):
        restate_table(tiny, "dialogues", shard, set_texts)
    restate_root(tiny, description=HOSTILE, name=HOSTILE)
    page = tiny.root / "report.html"
    report_corpus(tiny.root, page, 6, 16.0, as_json=False)
    text = page.read_text(encoding="utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", text)
    assert "<script" not in text
    tab.page.goto(page.as_uri())
    assert "taken" not in tab.page.title().partition("<script>")[0]
    assert tab.page.locator("script").count() == 0
    assert "[U+202E]evil" in tab.page.inner_text("h1")
    assert "{{ 7 * 7 }}" in tab.page.inner_text("h1")
    assert (tab.outside, tab.complaints) == ([], [])


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page_shows_pictures_and_sound_and_fits(tiny: TinyCorpus, tab: Tab, width: int, scheme: Any) -> None:
    page = tiny.root / "report.html"
    page.write_text(write_page(tiny.root, gather_figures(tiny.root, 6), 10**8), encoding="utf-8")
    tab.page.set_viewport_size({"width": width, "height": 800})
    tab.page.emulate_media(color_scheme=scheme)
    tab.page.goto(page.as_uri())
    assert tab.page.evaluate("document.documentElement.scrollWidth") == width
    pictures = tab.page.locator("img")
    assert pictures.count() > 0
    assert tab.page.evaluate("[...document.images].every(image => image.naturalWidth > 0 && image.alt)")
    duration = tab.page.evaluate(
        "new Promise((resolve, reject) => { const sound = document.querySelector('audio');"
        " sound.onloadedmetadata = () => resolve(sound.duration); sound.onerror = reject;"
        " sound.preload = 'metadata'; sound.load(); })"
    )
    assert duration > 0.1
    levels = tab.page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(head => Number(head.tagName[1]))")
    assert levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert tab.page.evaluate("[...document.querySelectorAll('table')].every(table => table.caption)")
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.textContent") == "Skip to the figures"
    assert (tab.outside, tab.complaints) == ([], [])
