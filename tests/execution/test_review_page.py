"""The review page in a real browser."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import soundfile

from pipeline.adapters.verdicts import VerdictBook
from pipeline.contracts.review import Reason, Verdict
from pipeline.contracts.storage import Row
from pipeline.execution.audits import AuditSetting
from tests.support.auditing import run_here
from tests.support.browser import Tab
from tests.support.corpora import TinyCorpus, restate_table
from tests.support.reviewing import Visitor, reviewing
from tests.support.waiting import wait_until

HOSTILE = (
    "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\"> \u202e & {{7*7}}"
)

PLAYING = "[...document.querySelectorAll('audio')].findIndex(player => !player.paused)"


def spoil(rows: list[Row]) -> list[Row]:
    """Put markup and script wherever a language model writes."""
    return [
        {
            **row,
            "topic": HOSTILE,
            "scenario": HOSTILE,
            "meta_topic": HOSTILE,
            "turns": [
                {"role": turn["role"], "parts": [{**part, "text": HOSTILE, "spoken": "x"} for part in turn["parts"]]}
                for turn in row["turns"]
            ],
        }
        for row in rows
    ]


def lengthen(rows: list[Row]) -> list[Row]:
    """Put a second of sound in place of a third of one, which Chromium's decoder of FLAC cannot start."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros(8000, np.float32), 8000, format="WAV")
    return [{**row, "audio": {"bytes": file.getvalue(), "path": "x.wav"}} for row in rows]


@pytest.fixture
def anna(tiny: TinyCorpus) -> Iterator[Visitor]:
    run_here(AuditSetting(tiny.root, ("picture-basics",), limits={"image.contrast": 2.0}))
    with reviewing(tiny.root, "anna") as visitor:
        yield visitor


@pytest.fixture
def page(anna: Visitor, tab: Tab) -> Iterator[Any]:
    """The page, opened by the address that the command prints. Afterwards it has complained of nothing."""
    tab.page.goto(anna.address)
    tab.page.wait_for_selector(".turn")
    yield tab.page
    assert (tab.complaints, tab.outside) == ([], [])


def shown(page: Any) -> str:
    """Id of the dialogue that is shown, once its verdict can be given."""
    page.wait_for_selector("#accept:enabled")
    return str(page.evaluate("() => decodeURIComponent(location.hash.slice(1))"))


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.wait_for_selector("#accept:enabled")
        page.keyboard.press(key)


def read(tiny: TinyCorpus, reviewer: str = "anna") -> dict[str, Verdict]:
    return dict(VerdictBook(tiny.root).file(reviewer).latest())


def open_filters(page: Any) -> None:
    page.keyboard.press("f")
    page.wait_for_selector("#query select[name=order]:focus")


def count_fitting(page: Any, number: int) -> None:
    said = "1 dialogue fits" if number == 1 else f"{number} dialogues fit"
    page.wait_for_function("wanted => document.querySelector('#filters-text').textContent === wanted", arg=said)


def test_judging_by_keyboard_alone(tiny: TinyCorpus, page: Any) -> None:
    assert "token" not in page.url
    first = shown(page)
    press(page, "a")
    page.wait_for_function("first => !location.hash.includes(first)", arg=first)
    second = shown(page)
    press(page, "2", "9", "n")
    page.keyboard.type("a jar r2, really")
    page.keyboard.press("Escape")
    assert page.text_content("#position").startswith("2 of ")
    press(page, "9", "r")
    page.wait_for_function("second => !location.hash.includes(second)", arg=second)
    assert "Rejected" in page.text_content("#status")
    verdicts = read(tiny)
    assert verdicts[first].decision == "accept"
    assert verdicts[second].decision == "reject"
    assert verdicts[second].reasons == (Reason.POOR_PICTURE,)
    assert verdicts[second].note == "a jar r2, really"
    shown(page)
    press(page, "k")
    assert shown(page) == second
    assert page.input_value("#note") == "a jar r2, really"
    assert page.get_attribute("#reject", "aria-pressed") == "true"
    press(page, "u")
    page.wait_for_selector("#undo", state="hidden")
    assert second not in read(tiny)


def test_what_is_shown_and_said_survives_a_reload(page: Any) -> None:
    press(page, "j")
    page.wait_for_function("() => document.querySelector('#position').textContent.startsWith('2 of')")
    second = shown(page)
    press(page, "3", "r")
    page.wait_for_function("second => !location.hash.includes(second)", arg=second)
    shown(page)
    press(page, "k")
    assert shown(page) == second
    page.reload()
    page.wait_for_selector(".turn")
    assert shown(page) == second
    assert "You rejected" in page.text_content("#given")
    assert page.get_attribute("#reasons button:nth-child(3)", "aria-pressed") == "true"
    assert page.text_content("#progress-text").startswith("1 of ")


def test_space_plays_from_player_to_player(tiny: TinyCorpus, tab: Tab) -> None:
    for shard in (0, 1):
        for table in ("speech", "music"):
            restate_table(tiny, table, shard, lengthen)
    page: Any = tab.page
    with reviewing(tiny.root, "anna") as visitor:
        page.goto(visitor.address)
        shown(page)
        while page.locator("audio").count() < 2:
            before = shown(page)
            press(page, "j")
            page.wait_for_function("before => !location.hash.includes(before)", arg=before)
            shown(page)
        page.wait_for_function("() => [...document.querySelectorAll('audio')].every(player => player.duration > 0)")
        # Over and over, so that it still plays when it is looked at.
        page.evaluate("() => document.querySelectorAll('audio').forEach(player => { player.loop = true })")
        press(page, " ")
        page.wait_for_function(f"() => {PLAYING} === 0")
        press(page, " ")
        page.wait_for_function(f"() => {PLAYING} === -1")
        press(page, " ")
        page.wait_for_function(f"() => {PLAYING} === 0")
        page.evaluate("() => { document.querySelector('audio').loop = false }")
        page.wait_for_function(f"() => {PLAYING} === 1")
        press(page, "k" if page.text_content("#position").startswith("2") else "j")
        page.wait_for_function(f"() => {PLAYING} === -1")
    assert (tab.complaints, tab.outside) == ([], [])


def test_media_that_cannot_be_played_say_so(tiny: TinyCorpus, tab: Tab) -> None:
    for shard in (0, 1):
        restate_table(tiny, "images", shard, lambda rows: [{**row, "image": {"bytes": b"GIF89a"}} for row in rows])
    with reviewing(tiny.root, "anna") as visitor:
        tab.page.goto(f"{visitor.address}&cell=draw")
        tab.page.wait_for_selector(".missing")
        assert tab.page.text_content(".missing") == "The image of turn 2 cannot be shown here."


def test_filters_choose_and_stay(tiny: TinyCorpus, page: Any) -> None:
    sings = [row["id"] for shard in (0, 1) for row in tiny.rows("dialogues", shard) if row["cell"] == "sing"]
    pictured = {row["dialogue_id"] for shard in (0, 1) for row in tiny.rows("images", shard)}
    open_filters(page)
    page.select_option("select[name=cell]", "sing")
    count_fitting(page, len(sings))
    assert shown(page) in sings
    page.reload()
    count_fitting(page, len(sings))
    assert page.input_value("select[name=cell]") == "sing"
    page.click("#filters summary")
    page.click("button[type=reset]")
    page.wait_for_function("() => document.querySelector('#filters-text').textContent === ''")
    page.select_option("select[name=order]", "worst image.contrast")
    count_fitting(page, len(pictured))
    page.check("input[name=findings]")
    count_fitting(page, len(pictured))
    assert shown(page) in pictured
    assert "Finding: image.contrast" in page.text_content(".findings li")
    page.fill("input[name=id]", "zzz")
    page.keyboard.press("Tab")
    count_fitting(page, 0)
    assert page.is_disabled("#accept")
    assert "No dialogue fits" in page.text_content("#dialogue")


def test_keys_work_on_after_a_box_was_ticked(tiny: TinyCorpus, page: Any) -> None:
    open_filters(page)
    page.focus("input[name=findings]")
    page.keyboard.press("Space")
    assert page.is_checked("input[name=findings]")
    count_fitting(page, len({row["dialogue_id"] for shard in (0, 1) for row in tiny.rows("images", shard)}))
    name = shown(page)
    press(page, "a")
    wait_until(lambda: name in read(tiny))
    page.fill("input[name=id]", name)
    page.keyboard.press("Tab")
    count_fitting(page, 1)


def test_an_unreviewed_queue_is_gone_through_to_its_end(tiny: TinyCorpus, page: Any) -> None:
    total = tiny.ledger.counts["kept"]
    for number in range(total):
        assert page.text_content("#position") == f"{number + 1} of {total}"
        before = shown(page)
        press(page, "a")
        wait_until(lambda name=before: name in read(tiny))  # type: ignore[misc]
        if number + 1 < total:
            page.wait_for_function("before => !location.hash.includes(before)", arg=before)
            shown(page)
    page.wait_for_function("() => document.querySelector('#status').textContent.includes('This was the last one')")
    open_filters(page)
    page.select_option("select[name=state]", "unreviewed")
    count_fitting(page, 0)


def test_two_reviewers_are_blind_until_both_have_judged(tiny: TinyCorpus, page: Any) -> None:
    name = shown(page)
    VerdictBook(tiny.root).file("ben").append(Verdict(dialogue_id=name, decision="reject", note=HOSTILE))
    page.reload()
    page.wait_for_selector(".turn")
    assert shown(page) == name
    assert "ben 1" in page.text_content("#progress-text")
    assert page.text_content("#given") == ""
    press(page, "a")
    page.wait_for_function("() => document.querySelector('#status').textContent.includes('ben rejected it')")
    shown(page)
    press(page, "k")
    assert shown(page) == name
    assert HOSTILE in page.text_content("#given")
    assert page.title() == "Review: tiny"


def test_a_verdict_that_is_not_saved_says_so_and_stays(tiny: TinyCorpus, anna: Visitor, tab: Tab) -> None:
    tab.page.goto(anna.address)
    tab.page.wait_for_selector(".turn")
    (tiny.root / "reviews").write_text("in the way")
    name = shown(tab.page)
    press(tab.page, "a")
    tab.page.wait_for_selector("#problem:visible")
    assert "was not saved" in (tab.page.text_content("#problem") or "")
    assert shown(tab.page) == name
    (tiny.root / "reviews").unlink()
    press(tab.page, "a")
    tab.page.wait_for_selector("#problem", state="hidden")
    wait_until(lambda: name in read(tiny))


def test_markup_and_script_of_a_language_model_stay_text(tiny: TinyCorpus, tab: Tab) -> None:
    for shard in (0, 1):
        restate_table(tiny, "dialogues", shard, spoil)
    with reviewing(tiny.root, "anna") as visitor:
        tab.page.goto(visitor.address)
        for _ in range(tiny.ledger.counts["kept"]):
            tab.page.wait_for_selector(".turn")
            shown(tab.page)
            assert tab.page.text_content("h2") == HOSTILE
            for words in tab.page.locator(".words, .description, .scenario").all_text_contents():
                assert words == HOSTILE
            assert tab.page.locator("#dialogue script, #dialogue [onerror], #dialogue img[src=x]").count() == 0
            assert all(alt == HOSTILE for alt in tab.page.eval_on_selector_all("img", "all => all.map(one => one.alt)"))
            press(tab.page, "j")
        assert f"{HOSTILE} (" in (tab.page.text_content("select[name=meta_topic]") or "")
        assert tab.page.title() == "Review: tiny"
    assert tab.outside == []
    assert [text for text in tab.complaints if "script" in text.lower()] == []


def test_help_opens_and_keys_rest_meanwhile(tiny: TinyCorpus, page: Any) -> None:
    name = shown(page)
    press(page, "?")
    page.wait_for_selector("#help[open]")
    page.keyboard.press("a")
    page.keyboard.press("j")
    page.keyboard.press("Escape")
    page.wait_for_selector("#help", state="hidden")
    assert shown(page) == name
    assert read(tiny) == {}


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844), (640, 400), (320, 568)])
def test_it_fits_a_phone_and_a_page_at_twice_the_size(page: Any, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    shown(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for button in ("#accept", "#reject", "#previous", "#next"):
        box = page.locator(button).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["height"] >= 24


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (1000, 700)])
def test_verdicts_stay_in_sight_beside_open_filters(page: Any, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    shown(page)
    press(page, "f")
    page.wait_for_selector("#filters[open]")
    page.wait_for_function(
        "height => ['accept', 'reject'].every("
        "id => document.getElementById(id).getBoundingClientRect().bottom <= height)",
        arg=height,
    )
    assert page.evaluate("scrollY") == 0


def test_names_roles_and_focus_are_there_for_whoever_cannot_see(page: Any) -> None:
    shown(page)
    nameless = page.evaluate(
        "() => [...document.querySelectorAll('button, select, input, textarea, audio, img, progress')]"
        ".filter(one => !(one.ariaLabel || one.alt || one.labels?.length || one.textContent.trim()))"
        ".map(one => one.outerHTML)"
    )
    assert nameless == []
    assert page.get_attribute("#status", "aria-live") == "polite"
    for _ in range(3):
        page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline not in ("none", "")
