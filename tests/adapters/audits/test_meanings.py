from __future__ import annotations

from collections.abc import Sequence

import pytest

from pipeline.adapters.audits.meanings import PLUGIN, Meanings, MeaningsOptions
from pipeline.adapters.model_files import ModelCache
from pipeline.contracts.audit import AuditItem, Readings, Sketch
from tests.support.meanings import WordMeanings


def item(name: str, text: str, language: str = "en") -> AuditItem:
    turns = [{"role": "user", "parts": [{"kind": "text", "text": text}]}]
    return AuditItem(name, name, {"id": name, "language": language, "turns": turns})


def compare(meanings: Meanings, items: Sequence[AuditItem]) -> dict[str, Readings]:
    sketches = zip(items, meanings.sketch(items), strict=True)
    return dict(meanings.compare([Sketch(one.id, one.id, data) for one, data in sketches if data is not None]))


def test_the_later_of_two_that_mean_the_same_is_told_in_whatever_words() -> None:
    items = [
        item("b", "my pooch runs along the beach"),
        item("a", "my dog runs along the shore"),
        item("c", "three loaves of rye bread"),
    ]
    found = compare(Meanings(WordMeanings(), 0.93), items)
    assert [found[name]["dialogue.same_meaning"].value for name in "abc"] == [0.0, 1.0, 0.0]
    assert "'a'" in found["b"]["dialogue.same_meaning"].detail
    assert (found["a"]["dialogue.typicality"].value or 0) > (found["c"]["dialogue.typicality"].value or 0)


def test_other_languages_and_empty_dialogues_are_left_out() -> None:
    items = [item("a", "昨日の海はとても青かった"), item("b", ""), item("c", "Ein Boot", "de"), item("d", "A boat")]
    assert compare(Meanings(WordMeanings(), 0.9), items).keys() == {"d"}


def test_one_dialogue_alone_is_like_nothing() -> None:
    (readings,) = compare(Meanings(WordMeanings(), 0.9), [item("a", "a boat")]).values()
    assert (readings["dialogue.same_meaning"].value, readings["dialogue.typicality"].value) == (0.0, None)


def test_the_real_model_tells_a_paraphrase_from_another_dialogue(models: ModelCache) -> None:
    items = [
        item("a", "Could you draw the lighthouse at dusk for me? Here is your lighthouse in the evening light."),
        item("b", "Please paint me the lighthouse in the evening. Here's the lighthouse at dusk for you."),
        item("c", "What goes into a rye sourdough? Flour, water, salt and three days of patience."),
    ]
    meanings = PLUGIN.load(MeaningsOptions(threshold=0.8), models)
    found = compare(meanings, items)
    assert [found[name]["dialogue.same_meaning"].value for name in "abc"] == [0.0, 1.0, 0.0]
    assert (found["c"]["dialogue.nearest_meaning"].value or 0.0) == pytest.approx(0.1, abs=0.3)
