"""Twins: of dialogues in the same or nearly the same words the lowest id stays, in whatever order they come."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from random import Random

import pytest
import yaml

from pipeline.values.ids import content_key, dialogue_id
from pipeline.values.screen import NEAR_DUPLICATES
from pipeline.work import twins
from pipeline.work.shingles import jaccard, shingles
from pipeline.work.twins import SHINGLE, Sketched, Twin, TwinIndex, is_current, sketch_texts

PAIRS = Path(__file__).parents[2] / "bench" / "data" / "dialogue_pairs.yaml"
FAMILIES = yaml.safe_load(PAIRS.read_text(encoding="utf-8"))


def sketched(number: int, text: str, name: str | None = None) -> Sketched:
    return Sketched(name or f"{number:016x}", content_key(text), sketch_texts([text]))


def find(
    dialogues: Sequence[Sketched], threshold: float | None = NEAR_DUPLICATES, failed: Sequence[str] = (), step: int = 3
) -> dict[str, Twin]:
    """Find twins among dialogues that become known a few at a time."""
    index = TwinIndex(threshold)
    for start in range(0, len(dialogues), step):
        index.add(dialogues[start : start + step])
        index.find()
    return index.find(failed)


def made_up(random: Random, count: int = 80) -> list[str]:
    return ["".join(random.choices("abcdefghij", k=6)) for _ in range(count)]


def changed(words: Sequence[str], count: int, random: Random) -> str:
    """The text with so many of its words replaced."""
    at = set(random.sample(range(len(words)), count))
    return " ".join(made_up(random, 1)[0] if place in at else word for place, word in enumerate(words))


def blend(seed: int, count: int) -> list[Sketched]:
    """Dialogues of which a third are alike in groups, in small and large steps, and some are equal."""
    random = Random(seed)
    texts = [" ".join(made_up(random)) for _ in range(count)]
    for at in range(0, count, 3):
        former = texts[random.randrange(at + 1)].split()
        texts[at] = changed(former, random.choice([0, 2, 6, 10, 14]), random)
    return [sketched(0, text, dialogue_id("t", at)) for at, text in enumerate(texts)]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"{f['language']}{'-held-out' if f['held_out'] else ''}")
def test_rewordings_are_found_and_nothing_else(family: dict[str, str]) -> None:
    kinds = ("base", "reworded", "details", "template")
    found = find([sketched(number, family[kind]) for number, kind in enumerate(kinds)])
    assert {name: (twin.of, twin.code) for name, twin in found.items()} == {
        f"{1:016x}": (f"{0:016x}", "near_duplicate")
    }


def test_a_similarity_is_an_estimate_of_the_share_of_shingles() -> None:
    for family in FAMILIES:
        exact = jaccard(shingles(family["base"], SHINGLE), shingles(family["reworded"], SHINGLE))
        [twin] = find([sketched(0, family["base"]), sketched(1, family["reworded"])]).values()
        assert twin.similarity == pytest.approx(exact, abs=4 * (exact * (1 - exact) / 128) ** 0.5)


def test_equal_words_are_exact_twins_also_where_likeness_is_off() -> None:
    words = "Draw me a kite over the wide grey sea, please."
    dialogues = [sketched(number, text) for number, text in enumerate([words, f"{words}!", words, "Other bells."])]
    assert find(dialogues, None) == {f"{2:016x}": Twin(of=f"{0:016x}", similarity=1, is_exact=True)}
    assert {name: twin.code for name, twin in find(dialogues).items()} == {
        f"{1:016x}": "near_duplicate",  # punctuation is no shingle, and yet the words are not equal
        f"{2:016x}": "duplicate",
    }


@pytest.mark.parametrize("seed", range(3))
def test_the_order_in_which_dialogues_become_known_decides_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dialogues = blend(seed, 120)
    failed = [dialogue.id for dialogue in dialogues[::5]]
    expected = find(dialogues, failed=failed, step=len(dialogues))
    assert {twin.code for twin in expected.values()} == {"duplicate", "near_duplicate"}
    monkeypatch.setattr(twins, "LARGEST_LEVEL", 50)
    monkeypatch.setattr(twins, "PAIRS", 100)
    for _ in range(3):
        Random(seed).shuffle(dialogues)
        assert find(dialogues, failed=failed, step=7) == expected


@pytest.mark.parametrize("seed", range(3))
def test_bands_find_what_comparing_all_pairs_finds(seed: int) -> None:
    dialogues = sorted(blend(seed, 90), key=lambda dialogue: dialogue.id)
    hashes = {d.id: [d.sketch[at : at + 2] for at in range(1, len(d.sketch), 2)] for d in dialogues}

    def share(one: str, other: str) -> float:
        return sum(a == b for a, b in zip(hashes[one], hashes[other], strict=True)) / 128

    threshold = 0.7
    alike = {(a.id, b.id) for a, b in combinations(dialogues, 2) if share(a.id, b.id) >= threshold}
    kept: list[str] = []
    for dialogue in dialogues:
        if not any((name, dialogue.id) in alike for name in kept):
            kept.append(dialogue.id)
    found = find(dialogues, threshold)
    assert found.keys() == {dialogue.id for dialogue in dialogues} - set(kept)
    for name, twin in found.items():
        assert twin.of in kept
        assert twin.of < name
        assert share(twin.of, name) == max(share(other, name) for other in kept if other < name)


def test_likeness_does_not_add_up_along_a_chain() -> None:
    random = Random(1)
    first = made_up(random)
    second = changed(first, 10, random)
    third = changed(second.split(), 10, random)
    chain = [sketched(number, text) for number, text in enumerate([" ".join(first), second, third])]
    assert find(chain).keys() == {f"{1:016x}"}
    assert find(chain[1:]).keys() == {f"{2:016x}"}


def test_twins_of_one_that_could_not_be_rendered_are_not_lost_with_it() -> None:
    words = "Seven bells on a rope by the sea, and a gull on each of them."
    a, b, c = (sketched(number, words) for number in range(3))
    assert find([c, b, a]).keys() == {b.id, c.id}
    assert {name: twin.of for name, twin in find([c, b, a], failed=[a.id]).items()} == {c.id: b.id}
    # A twin that failed, since it was rendered before it was known to be one, is a twin none the less.
    assert {name: twin.of for name, twin in find([c, b, a], failed=[b.id]).items()} == {b.id: a.id, c.id: a.id}
    assert find([c, b, a], failed=[a.id, b.id, c.id]) == {}


def test_a_model_that_says_one_thing_over_and_over_is_kept_once() -> None:
    same = [sketched(0, "The same small bells.", dialogue_id("t", number)) for number in range(3000)]
    index = TwinIndex(NEAR_DUPLICATES)
    index.add(same)
    lowest = min(dialogue.id for dialogue in same)
    assert index.members() == {dialogue.id for dialogue in same}
    assert {twin.of for twin in index.find().values()} == {lowest}
    assert len(index.find()) == 2999


def test_sketches_are_the_same_on_every_machine_and_by_every_version() -> None:
    """Where this fails, raise SKETCH_VERSION: stored sketches cannot be compared with new ones."""
    made = sketch_texts(["Show me the bells.", "七つの鐘"])
    assert is_current(made)
    assert not is_current(None)
    assert not is_current(made[:-1])
    assert not is_current(b"\0" + made[1:])
    assert content_key(made.hex()) == "f9be8c7da3d88180"


@pytest.mark.parametrize("text", ["🎻🥁", "...", "a", "鐘"])
def test_words_without_letters_or_with_few_are_compared_too(text: str) -> None:
    found = find([sketched(0, text), sketched(1, text), sketched(2, "Seven bells on a rope by the sea.")])
    assert found.keys() == {f"{1:016x}"}
