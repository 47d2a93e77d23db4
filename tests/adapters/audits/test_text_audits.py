from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from random import Random

import pytest

from pipeline.adapters.audits import famous_names, personal_data, profanity
from pipeline.adapters.audits.famous_names import FamousNameSearch, FamousNamesOptions
from pipeline.adapters.audits.personal_data import find_personal_data
from pipeline.adapters.audits.profanity import Profanity, ProfanityOptions
from pipeline.adapters.model_files import ModelCache
from pipeline.contracts.audit import AuditItem, Measure
from pipeline.contracts.plain_audit import OneByOne, PlainAudit
from pipeline.contracts.storage import Row
from pipeline.work.audits import language, speakable, wording
from pipeline.work.audits.wording import measure_loops
from tests.support.planted_text import FAULTS, HARD_NEGATIVES, clean_rows, plant

PLUGINS = (
    language.PLUGIN,
    speakable.PLUGIN,
    wording.PLUGIN,
    famous_names.PLUGIN,
    personal_data.PLUGIN,
    profanity.PLUGIN,
)
MEASURES: Mapping[str, tuple[PlainAudit, Measure]] = {
    measure.name: (plugin, measure) for plugin in PLUGINS for measure in plugin.taken
}


@cache
def opened(name: str) -> OneByOne:
    plugin = next(plugin for plugin in PLUGINS if plugin.name == name)
    auditor = plugin.load(plugin.options(), ModelCache())
    assert isinstance(auditor, OneByOne)
    return auditor


def dialogue(*texts: str, kind: str = "text", language: str = "en") -> Row:
    roles = ("user", "assistant")
    turns = [{"role": roles[at % 2], "parts": [{"kind": kind, "text": text}]} for at, text in enumerate(texts)]
    return {"id": "d", "language": language, "turns": turns}


def value(measure: str, row: Row) -> float | None:
    plugin, _ = MEASURES[measure]
    item = AuditItem(row["id"], row["id"], row)
    (readings,) = opened(plugin.name).measure([item])
    return readings[measure].value if measure in readings else None


def falls_short(measure: str, row: Row) -> bool:
    found = value(measure, row)
    return found is not None and not MEASURES[measure][1].passes(found)


@pytest.mark.parametrize("seed", [201, 202])
def test_planted_faults_are_told_and_clean_dialogues_are_not(seed: int) -> None:
    counts: dict[str, Counter[tuple[bool, bool]]] = {fault: Counter() for fault in FAULTS}
    for fault, row, is_fault in plant(Random(seed), clean_rows()):
        counts[fault][is_fault, falls_short(fault, row)] += 1
    table = {fault: _scores(tally) for fault, tally in counts.items()}
    assert all(sum(tally.values()) >= 40 for tally in counts.values())
    assert {fault: scores for fault, scores in table.items() if min(scores) < 0.95} == {}


def _scores(tally: Counter[tuple[bool, bool]]) -> tuple[float, float]:
    """Recall and precision."""
    hits = tally[True, True]
    return hits / max(1, hits + tally[True, False]), hits / max(1, hits + tally[False, True])


@pytest.mark.parametrize("text", HARD_NEGATIVES)
def test_what_only_looks_like_a_fault_passes(text: str) -> None:
    row = dialogue(text, "Fine.", kind="speech")
    assert [name for name in MEASURES if falls_short(name, row)] == []


@pytest.mark.parametrize(
    ("tag", "texts"),
    [
        ("ja", ("昨日の海はとても青かったです。", "きれいですね。死ぬほど歩きましたか。", "卵と牛乳を買いました。")),
        ("zh", ("你妈妈做的饭真好吃。", "谢谢，下次请你尝尝鸡蛋羹。", "好的！")),
    ],
)
def test_japanese_and_mandarin_pass_everything(tag: str, texts: Sequence[str]) -> None:
    row = dialogue(*texts, kind="speech", language=tag)
    assert [name for name in MEASURES if falls_short(name, row)] == []


def test_a_strangers_language_is_that_of_most_parts() -> None:
    texts = ("Wie war das Wetter gestern in der Stadt am großen Fluss?", "It was cold.", "We stayed at home all day.")
    unstated = {key: found for key, found in dialogue(*texts).items() if key != "language"}
    assert value("dialogue.foreign_parts", unstated) == 1.0
    japanese = dialogue("昨日の海はとても青かったです。", "きれいでしたね。", "It was very blue indeed, that sea.")
    assert value("dialogue.foreign_parts", {**japanese, "language": None}) == 1.0
    assert value("dialogue.foreign_parts", dialogue("Bom dia.", language="pt")) is None


def test_a_description_in_another_language_is_told_where_the_row_is_ours() -> None:
    row = dialogue("ein altes Boot am Steg, ruhiger See, Abendlicht", kind="image")
    assert value("dialogue.foreign_descriptions", row) == 1.0
    assert value("dialogue.foreign_descriptions", {**row, "language": None}) is None


def test_personal_data_counts_where_check_digits_hold_and_is_not_spread() -> None:
    text = "Mail ann.lee@gmail.com, card 4111 1111 1111 1111, not 4111 1111 1111 1112 and not a@b.test."
    assert [what for what, _ in find_personal_data(text)] == ["an address of e-mail", "the number of a card"]
    (readings,) = opened("personal-data").measure([AuditItem("d", "d", dialogue(text))])
    detail = readings["dialogue.personal_data"].detail
    assert "ann.lee@gmail.com" not in detail and "part 0.0" in detail


def test_telephone_numbers_are_those_of_the_language() -> None:
    assert list(find_personal_data("電話は03-3210-7000です", "JP"))
    assert not list(find_personal_data("Play bars 03-3210-7000 again"))


def test_lists_can_be_extended_and_shortened() -> None:
    search = FamousNameSearch(FamousNamesOptions(add=("Zanzibar Zoo",), allow=("Pikachu",)))
    assert search.find("Pikachu at the zanzibar zoo") == ["zanzibar zoo"]
    words = Profanity(ProfanityOptions(add=("numpty",), allow=("shit",)))
    assert words.find("You Numpty, this is shit") == ["numpty"]


def test_a_name_holds_on_the_borders_of_words_and_in_its_own_case() -> None:
    search = FamousNameSearch(FamousNamesOptions())
    assert search.find("nike the goddess, Legoland, stars trekking, a Nikes") == []
    assert search.find("a Nike shoe and a star  trek ship, ピカチュウと") == ["Nike", "star  trek", "ピカチュウ"]


def test_famous_names_that_are_talked_about_are_only_reported() -> None:
    row = dialogue("Do you know Star Wars?", "Yes.")
    assert value("dialogue.famous_said", row) == 1.0
    assert not falls_short("dialogue.famous_said", row)


def test_a_refrain_is_no_loop_and_a_stuck_model_is() -> None:
    assert measure_loops("Row, row, row your boat, gently down the stream, merrily, merrily, merrily, merrily") < 0.3
    assert measure_loops("and the sea and the sea and the sea and the sea and the sea and the sea") > 0.5
    assert measure_loops("です。です。です。です。です。です。です。です。です。です。") > 0.5
    assert measure_loops("Yes, yes, yes!") == 0.0


def test_readings_of_rows_of_no_shape_are_numbers_all_the_same() -> None:
    for turns in (None, [], ["x"], [{"role": 1, "parts": [{"kind": None, "text": 3}, "y"]}]):
        for plugin in PLUGINS:
            (readings,) = opened(plugin.name).measure([AuditItem("d", "d", {"id": "d", "turns": turns})])
            assert json.dumps({name: reading.value for name, reading in readings.items()})


def test_a_missing_package_is_named_with_how_to_get_it() -> None:
    plugin = PlainAudit("x", "1", (), lambda _: OneByOne(lambda _: {}), packages={"no-such": "no_such_module"})
    assert plugin.missing() == "the package no-such is missing; pip install no-such"
    assert personal_data.PLUGIN.missing() is None
