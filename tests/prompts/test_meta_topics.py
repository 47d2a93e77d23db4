"""The hundred meta-topics that ship."""

from __future__ import annotations

import re

import pytest

from pipeline.values.ids import normalise_text
from pipeline.values.records import MetaTopic
from tests.support.stages import read_book

META_TOPICS = list(read_book().meta_topics.values())


def test_there_are_a_hundred() -> None:
    assert len(META_TOPICS) == 100


@pytest.mark.parametrize("field", ["id", "name", "scope"])
def test_none_stands_twice(field: str) -> None:
    assert len({normalise_text(getattr(meta, field)) for meta in META_TOPICS}) == 100


def test_no_seed_stands_twice() -> None:
    seeds = [normalise_text(seed) for meta in META_TOPICS for seed in meta.seeds]
    assert sorted({seed for seed in seeds if seeds.count(seed) > 1}) == []


def test_areas_are_of_some_size() -> None:
    areas = [meta.area for meta in META_TOPICS]
    assert 5 <= len(set(areas)) <= 25
    assert min(areas.count(area) for area in set(areas)) >= 2


@pytest.mark.parametrize("meta", META_TOPICS, ids=lambda meta: meta.id)
def test_each_keeps_the_form_that_the_file_states(meta: MetaTopic) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", meta.id)  # also what stands in brackets in a topic file
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", meta.area)
    assert 1 <= len(meta.scope.split()) <= 20
    assert meta.scope.endswith(".")
    assert 4 <= len(meta.seeds) <= 6
    assert all(text.isprintable() and text == text.strip() for text in (meta.name, meta.scope, *meta.seeds))
