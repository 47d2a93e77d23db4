from __future__ import annotations

from itertools import combinations
from random import Random

import numpy as np
import pytest

from pipeline.adapters.embedding import MODEL, SentenceModel
from pipeline.adapters.model_files import ModelCache
from pipeline.values.ids import topic_id
from pipeline.values.records import Topic
from pipeline.work import topic_variety
from pipeline.work.shingles import jaccard, shingles
from pipeline.work.topic_variety import SHINGLE, Kind, Likeness, Limits, Sieve
from tests.support.meanings import WordMeanings
from tests.support.stages import read_book, topics

REWORDINGS = """\
a kite festival on a windy beach|windy beach kite festival
grandmother's bread oven|the bread oven of my grandmother
kneading sourdough before sunrise with the radio on|listening to the radio while kneading sourdough at dawn
paper boats racing down a rain gutter|racing paper boats in the gutter after rain
the lighthouse keeper's breakfast on a stormy morning|breakfast of a lighthouse keeper in a storm
a geyser erupting in front of sleepy tourists|sleepy tourists watch a geyser erupt
the carousel horse with one missing ear|a carousel horse that lost an ear
a tortoise crossing the road at rush hour|tortoise crossing a busy street in rush hour
dogs playing on the beach|dogs play at the beach"""

NEIGHBOURS = """\
a kite festival on a windy beach|a sandcastle contest on a windy beach
grandmother's bread oven|grandmother's button tin
noodles at a night market|dumplings at a night market
guitar lessons for beginners|piano lessons for beginners
learning to ride a bicycle|learning to ride a horse
fresh bread at a Paris bakery|fresh croissants at a Paris bakery
harvest festival in Ghana|harvest festival in Japan
a barber shop quartet rehearsing|a string quartet rehearsing"""


def pairs(lines: str) -> list[tuple[str, ...]]:
    return [tuple(line.split("|")) for line in lines.splitlines()]


def sift(*texts: str, words_only: bool = False) -> list[tuple[Kind, str] | None]:
    hits = Sieve(None if words_only else WordMeanings()).sift(topics(*texts))
    return [None if hit is None else (hit.kind, hit.of.text) for hit in hits]


def test_spelling_case_and_space_make_no_new_topic() -> None:
    assert sift("Night  Markets", "night markets", "Ｎight markets") == [
        None,
        (Kind.EXACT, "Night  Markets"),
        (Kind.EXACT, "Night  Markets"),
    ]


def test_nearly_the_same_words_are_found() -> None:
    first = "a street organ with a painted mechanical monkey"
    assert sift(first, "a street organ with painted, mechanical monkeys", "a church organ", words_only=True) == [
        None,
        (Kind.NEAR, first),
        None,
    ]


def test_the_same_meaning_is_found_in_other_words() -> None:
    first = "musicians subway"
    assert sift(first, "buskers underground") == [None, (Kind.MEANING, first)]
    assert sift(first, "buskers underground", words_only=True) == [None, None]


def test_one_that_was_held_back_holds_back_no_other() -> None:
    chain = ["one two three four five six", "one two three four five nine", "one two three four eight nine"]
    strict = Limits(jaccard=0.99, cosine=0.8)
    hits = Sieve(WordMeanings(), strict).sift(topics(*chain))
    assert [hit and hit.of.text for hit in hits] == [None, chain[0], None]


def test_the_closest_is_named() -> None:
    known = ["red kites over the wide bay", "red kites over the wide green bay"]
    sieve = Sieve(None)
    sieve.admit(topics(*known))
    (hit,) = sieve.sift(topics("red kites over the wide greenish bay"))
    assert hit is not None
    assert hit.of.text == known[1]


def test_admitting_takes_duplicates_and_comparing_adds_nothing() -> None:
    sieve = Sieve(None)
    sieve.admit(topics("night markets of the south", "night markets of the south!", "Night markets of the south"))
    assert sieve.compare(topics("old bells")) == [None]
    assert sieve.compare(topics("old bells")) == [None]
    (hit,) = sieve.compare(topics("night markets of the south!"))
    assert hit is not None
    assert hit.kind is Kind.EXACT


@pytest.mark.parametrize("chunk", [1, 3, 256])
def test_neither_chunk_nor_block_decides_what_stays(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    random = Random(5)
    words = ["musicians", "buskers", "subway", "underground", "dog", "hound", "shore", "beach", "bells", "rain"]
    texts = [" ".join(random.choices(words, k=3)) for _ in range(200)]

    def run() -> list[Likeness | None]:
        return Sieve(WordMeanings()).sift(topics(*texts))

    whole = run()
    assert {hit.kind for hit in whole if hit} == set(Kind)
    monkeypatch.setattr(topic_variety, "CHUNK", chunk)
    monkeypatch.setattr(topic_variety, "BLOCK", 7)
    again = run()
    assert [hit and (hit.kind, hit.score) for hit in again] == [hit and (hit.kind, hit.score) for hit in whole]


def test_hashing_finds_what_comparing_all_pairs_finds() -> None:
    random = Random(2)
    seeds = [seed for meta in read_book().meta_topics.values() for seed in meta.seeds]
    texts = [f"{random.choice(seeds)} near {random.choice(seeds)}" for _ in range(300)]
    texts += [text.replace(" near ", " by ") for text in texts[:40]]
    grams = [shingles(text, SHINGLE) for text in texts]
    limit = topic_variety.MIN_JACCARD
    close = {(a, b) for a, b in combinations(range(len(texts)), 2) if jaccard(grams[a], grams[b]) >= limit}
    expected = [any((a, b) in close for a in range(b)) for b in range(len(texts))]
    assert sum(expected) > 10
    hits = []
    sieve = Sieve(None)
    for topic in topics(*texts):
        hits.append(sieve.compare([topic])[0] is not None)
        sieve.admit([topic])
    assert hits == expected


@pytest.mark.parametrize("text", ["🎻🥁", "...", "a", "夜市の麺"])
def test_texts_without_words_or_with_few_are_compared_too(text: str) -> None:
    assert sift(text, text + " ", "night markets") == [None, (Kind.EXACT, text), None]


def test_memory_follows_the_topics_kept_and_not_their_pairs() -> None:
    text = "the same small bells of the harbour"
    alike = [Topic(id=topic_id(f"{text} {n}"), text=f"{text} {n}", meta_topic="") for n in range(1000)]
    sieve = Sieve(WordMeanings())
    assert sum(hit is None for hit in sieve.sift(alike)) == 1


def test_limits_part_rewordings_from_neighbours() -> None:
    model = SentenceModel(ModelCache().path(MODEL))
    for text, reworded in pairs(REWORDINGS):
        assert Sieve(model).sift(topics(text, reworded))[1] is not None, reworded
    for text, other in pairs(NEIGHBOURS):
        assert Sieve(model).sift(topics(text, other)) == [None, None], other


def test_a_cosine_is_told_as_it_is() -> None:
    (_, hit) = Sieve(WordMeanings()).sift(
        topics("musicians subway rain bells dog", "rain underground bells dog buskers")
    )
    assert hit is not None
    assert hit.score == pytest.approx(1.0)
    assert np.isclose(jaccard(shingles("abc", SHINGLE), shingles("abd", SHINGLE)), 0.2)
