from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from pipeline.values.ids import topic_id
from pipeline.values.records import MetaTopic, Topic
from pipeline.work.topic_coverage import NO_META_TOPIC, diff_topics, mean_distance, measure_coverage
from pipeline.work.topic_plot import plot_coverage
from pipeline.work.topic_variety import Kind
from tests.support.meanings import WordMeanings


def meta(name: str) -> MetaTopic:
    return MetaTopic(id=name, name=name.title(), area="x", scope="Things.", seeds=())


def topic(text: str, meta_topic: str = "") -> Topic:
    return Topic(id=topic_id(text), text=text, meta_topic=meta_topic)


METAS = [meta("dogs"), meta("bells"), meta("empty")]
TOPICS = [
    topic("dog on the shore", "dogs"),
    topic("hound on the beach", "dogs"),
    topic("a bell tower in the rain", "bells"),
    topic("a bell tower in the rain!", "bells"),
    topic("A  bell tower in the rain", "dogs"),
    topic("alone"),
]


def test_counts_kinds_and_gaps_by_meta_topic() -> None:
    found = measure_coverage(TOPICS, METAS, 3, WordMeanings())
    rows = {row.id: row for row in found.rows}
    assert list(rows) == ["dogs", "bells", "empty", NO_META_TOPIC]
    assert {name: row.count for name, row in rows.items()} == {"dogs": 3, "bells": 2, "empty": 0, NO_META_TOPIC: 1}
    assert {name: row.missing for name, row in rows.items()} == {"dogs": 0, "bells": 1, "empty": 3, NO_META_TOPIC: 0}
    assert rows["dogs"].alike == {Kind.MEANING: 1, Kind.EXACT: 1}
    assert rows["bells"].alike == {Kind.NEAR: 1}
    assert rows["dogs"].share_alike == pytest.approx(2 / 3)
    assert rows["empty"].share_alike == 0
    assert found.total.count == 6
    assert found.total.alike == {Kind.EXACT: 1, Kind.NEAR: 1, Kind.MEANING: 1}
    assert found.total.missing == 4


def test_spread_is_the_mean_distance_over_all_pairs() -> None:
    vectors = WordMeanings().embed(["dog on the shore", "bells in the rain", "dog in the rain", "night"])
    by_hand = np.mean([1 - float(a @ b) for i, a in enumerate(vectors) for b in vectors[:i]])
    assert mean_distance(vectors) == pytest.approx(by_hand, abs=1e-6)
    assert mean_distance(vectors[:1]) is None
    assert mean_distance(np.repeat(vectors[:1], 5, axis=0)) == pytest.approx(0.0, abs=1e-6)


def test_without_a_sentence_model_there_is_no_spread() -> None:
    found = measure_coverage(TOPICS, METAS, 3, None)
    assert found.total.spread is None
    assert found.total.alike == {Kind.EXACT: 1, Kind.NEAR: 1}
    assert measure_coverage([], METAS, 0, WordMeanings()).total.spread is None


def test_the_plot_has_a_bar_for_each_meta_topic_and_escapes_names() -> None:
    hostile = MetaTopic(id="dogs", name='</title><script>alert("x")\x00', area="x", scope="x", seeds=())
    svg = plot_coverage(measure_coverage(TOPICS, [hostile, *METAS[1:]], 3, WordMeanings()), 'a "<b>" & \x1b.txt')
    assert "<script" not in svg
    root = ET.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    bars = root.findall(f"{space}g")[1:]
    labels = [bar.findall(f"{space}text")[0].text for bar in bars]
    assert labels == ["dogs", "bells", "empty", NO_META_TOPIC]
    widths = [float(bar.findall(f"{space}rect")[0].attrib["width"]) for bar in bars]
    assert widths == [420.0, 280.0, 0.0, 140.0]
    alike = [float(bar.findall(f"{space}rect")[1].attrib["width"]) for bar in bars]
    assert alike == [280.0, 140.0, 0.0, 0.0]
    assert [len(bar.findall(f"{space}circle")) for bar in bars] == [1, 1, 0, 0]


def test_a_plot_of_nothing_is_still_one() -> None:
    root = ET.fromstring(plot_coverage(measure_coverage([], [], 0, None), "none"))
    assert root.tag.endswith("svg")


def test_a_diff_tells_added_removed_moved_and_reworded() -> None:
    former = [topic("dog on the shore", "dogs"), topic("bells", "dogs"), topic("gone forever"), topic("stays")]
    current = [topic("BELLS", "bells"), topic("stays"), topic("hound on the beach", "dogs"), topic("new rain")]
    found = diff_topics(former, current, WordMeanings())
    assert [t.text for t in found.added] == ["new rain"]
    assert [t.text for t in found.removed] == ["gone forever"]
    assert [(a.meta_topic, b.meta_topic, b.text) for a, b in found.moved] == [("dogs", "bells", "BELLS")]
    assert [(hit.of.text, hit.topic.text) for hit in found.reworded] == [("dog on the shore", "hound on the beach")]


def test_a_removed_topic_was_reworded_once() -> None:
    found = diff_topics(
        [topic("small dog on the shore")],
        [topic("small pooch on the beach today"), topic("small hound on the beach")],
        WordMeanings(),
    )
    assert [(hit.topic.text) for hit in found.reworded] == ["small hound on the beach"]
    assert [t.text for t in found.added] == ["small pooch on the beach today"]


def test_equal_sets_differ_in_nothing_and_embed_nothing() -> None:
    embedder = WordMeanings()
    found = diff_topics(TOPICS, TOPICS[::-1][:5] + TOPICS[:1], embedder)
    assert (found.added, found.removed, found.reworded) == ([], [], [])
    assert embedder.texts == []
