"""The demonstrations that ship: whole, true to their labels, wide in range, and unlike each other."""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from pipeline.adapters.embedding import MODEL, SentenceModel
from pipeline.adapters.shipped import shipped
from pipeline.values.pictures import is_earlier_picture
from pipeline.values.records import Demonstration, Modality
from pipeline.values.spoken import spoken_form
from tests.support.stages import FEATURES, read_book

BOOK = read_book()
DEMONSTRATIONS = list(BOOK.demonstrations.values())
SUBSETS = {frozenset(kinds) for size in range(1, 5) for kinds in combinations(Modality, size)}
NUM_WORDS = 6
MAX_COSINE = 0.8
MARKUP = re.compile(r"[\d*_#`~<>\[\]{}|\\/=+@&%^$€£]|https?:|www\.")


def texts_of(demonstration: Demonstration) -> list[str]:
    parts = [part.text for turn in demonstration.turns for part in turn.parts]
    return [demonstration.topic, demonstration.scenario, *parts]


def held(demonstration: Demonstration, role: str) -> set[Modality]:
    return {part.kind for turn in demonstration.turns if turn.role == role for part in turn.parts}


def count(demonstration: Demonstration, role: str, kind: Modality) -> int:
    return sum(part.kind == kind for turn in demonstration.turns if turn.role == role for part in turn.parts)


def test_every_file_is_read_and_there_are_enough() -> None:
    folder = shipped("prompts", "demonstrations")
    listed = [
        name
        for path in folder.glob("*.yaml")
        for name in re.findall(r"^- id: (\S+)$", path.read_text("utf-8"), re.MULTILINE)
    ]
    assert sorted(listed) == sorted(BOOK.demonstrations)
    assert len(listed) >= 48


@pytest.mark.parametrize("one", DEMONSTRATIONS, ids=lambda one: one.id)
def test_a_demonstration_is_whole(one: Demonstration) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one.id)
    assert [turn.role for turn in one.turns] == ["user", "assistant"] * (len(one.turns) // 2)
    assert held(one, "user") == set(one.gives)
    assert held(one, "assistant") == set(one.answers)
    assert len(set(one.gives)) == len(one.gives)
    assert len(set(one.answers)) == len(one.answers)
    assert all(turn.parts for turn in one.turns)
    assert all(text.strip() for text in texts_of(one))
    assert len(one.scenario.split()) >= 10


@pytest.mark.parametrize("one", DEMONSTRATIONS, ids=lambda one: one.id)
def test_speech_can_be_spoken_as_it_stands(one: Demonstration) -> None:
    for turn in one.turns:
        for part in turn.parts:
            if part.kind is Modality.SPEECH:
                assert part.spoken == part.text
                assert not MARKUP.search(part.text), part.text
                # The spoken form changes punctuation and quotes at most: every word is a word already.
                assert re.findall(r"\w+", spoken_form(part.text).casefold()) == re.findall(r"\w+", part.text.casefold())
            else:
                assert part.spoken is None


def test_every_set_of_modalities_is_given_and_answered() -> None:
    assert len(SUBSETS) == 15
    assert {frozenset(one.gives) for one in DEMONSTRATIONS} == SUBSETS
    assert {frozenset(one.answers) for one in DEMONSTRATIONS} == SUBSETS


def test_one_to_six_rounds_all_occur() -> None:
    assert {len(one.turns) // 2 for one in DEMONSTRATIONS} == set(range(1, 7))


def test_every_feature_occurs_and_no_other() -> None:
    assert {feature for one in DEMONSTRATIONS for feature in one.features} == FEATURES
    assert all(len(set(one.features)) == len(one.features) for one in DEMONSTRATIONS)


@pytest.mark.parametrize("one", DEMONSTRATIONS, ids=lambda one: one.id)
def test_features_are_possible(one: Demonstration) -> None:
    """A label names what happens; these are the modalities and rounds without which it cannot."""
    given, answered = held(one, "user"), held(one, "assistant")
    rounds = len(one.turns) // 2
    possible = {
        "image_to_music": Modality.IMAGE in given | answered and Modality.MUSIC in answered,
        "music_to_image": Modality.MUSIC in given | answered and Modality.IMAGE in answered,
        "read_aloud": Modality.SPEECH in answered,
        "transcribe": Modality.SPEECH in given and Modality.TEXT in answered,
        "describe": bool({Modality.IMAGE, Modality.MUSIC} & given) and bool({"text", "speech"} & answered),
        "compare_images": count(one, "user", Modality.IMAGE) >= 2,
        "refuse": bool({"text", "speech"} & answered),
        "clarify": rounds >= 2 and bool({"text", "speech"} & answered),
        "refer_back": rounds >= 2,
    }
    assert [feature for feature in one.features if not possible.get(feature, True)] == []


@pytest.mark.parametrize("one", DEMONSTRATIONS, ids=lambda one: one.id)
def test_an_edit_says_which_picture_it_changes(one: Demonstration) -> None:
    kinds = [[part.kind for part in turn.parts] for turn in one.turns]
    edits = [(index, part) for index, turn in enumerate(one.turns) for part in turn.parts if part.edits]
    assert bool(edits) == ("edit" in one.features)
    for index, part in edits:
        assert part.kind is Modality.IMAGE
        assert one.turns[index].role == "assistant"
        assert part.edits is not None
        assert is_earlier_picture(kinds, index, part.edits)


def test_no_two_share_six_words_in_a_row() -> None:
    owners = defaultdict(set)
    for one in DEMONSTRATIONS:
        for text in texts_of(one):
            words = re.findall(r"\w+(?:['’]\w+)*", text.casefold())
            for start in range(len(words) - NUM_WORDS + 1):
                owners[" ".join(words[start : start + NUM_WORDS])].add(one.id)
    assert len(owners) > 5000
    assert {gram: sorted(names) for gram, names in owners.items() if len(names) > 1} == {}


def test_no_two_mean_the_same(cache_root: Path) -> None:
    texts = ["\n".join(texts_of(one)) for one in DEMONSTRATIONS]
    twins = ["A dog barks at the postman.", "A dog is barking at the mailman."]
    vectors = SentenceModel(cache_root / "models" / MODEL).embed([*texts, *twins])
    cosines = vectors @ vectors.T
    assert cosines[-1, -2] > MAX_COSINE  # the measure sees a paraphrase
    pairs = [
        (float(cosines[i, j]), DEMONSTRATIONS[i].id, DEMONSTRATIONS[j].id)
        for i, j in zip(*np.triu_indices(len(texts), 1), strict=True)
    ]
    assert [pair for pair in pairs if pair[0] >= MAX_COSINE] == []
