from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.contracts.audit import Measure
from pipeline.contracts.review import Decision, Verdict
from pipeline.work.review_selection import Labels, Query, ReviewColumns, select

IDS = ("a1", "a2", "b1", "b2", "b3")


def columns() -> ReviewColumns:
    nan = np.nan
    return ReviewColumns(
        ids=IDS,
        shard=np.asarray([0, 0, 1, 1, 1], np.int32),
        meta_topic=Labels(("sea", "", "hills"), np.asarray([0, 2, 0, 1, 2], np.int32)),
        cell=Labels(("draw", "sing"), np.asarray([0, 1, 0, 1, 0], np.int32)),
        voices={"bell": np.asarray([1, 3], np.int32)},
        num_findings=np.asarray([0, 2, 0, 0, 1], np.int32),
        measures={
            "image.contrast": Measure(name="image.contrast", better="higher", summary="-"),
            "speech.error": Measure(name="speech.error", better="lower", summary="-"),
        },
        worst={
            "image.contrast": np.asarray([0.3, nan, 0.1, nan, 0.2], np.float32),
            "speech.error": np.asarray([nan, 0.5, nan, 0.9, nan], np.float32),
        },
    )


def given(**verdicts: Mapping[str, Decision]) -> dict[str, dict[str, Verdict]]:
    return {
        reviewer: {name: Verdict(dialogue_id=name, decision=decision) for name, decision in said.items()}
        for reviewer, said in verdicts.items()
    }


def chosen(verdicts: Mapping[str, Mapping[str, Verdict]] | None = None, **query: Any) -> list[str]:
    places = select(columns(), Query(**{"order": "corpus", **query}), "anna", verdicts or {})
    return [IDS[place] for place in places]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, ["a1", "a2", "b1", "b2", "b3"]),
        ({"meta_topic": "sea"}, ["a1", "b1"]),
        ({"meta_topic": "moon"}, []),
        ({"cell": "sing", "voice": "bell"}, ["a2", "b2"]),
        ({"voice": "drum"}, []),
        ({"findings": True}, ["a2", "b3"]),
        ({"id": "b"}, ["b1", "b2", "b3"]),
        ({"order": "worst", "measure": "image.contrast"}, ["b1", "b3", "a1"]),
        ({"order": "worst", "measure": "speech.error"}, ["b2", "a2"]),
        ({"order": "worst", "measure": "speech.error", "findings": True}, ["a2"]),
        ({"order": "worst", "measure": "beauty"}, []),
    ],
)
def test_filters(query: dict[str, Any], ids: list[str]) -> None:
    assert chosen(**query) == ids


def test_the_shuffle_is_everyones() -> None:
    mine = select(columns(), Query(), "anna", {})
    assert sorted(mine) == [0, 1, 2, 3, 4]
    assert list(mine) == list(select(columns(), Query(), "ben", {})) != [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("state", "ids"),
    [
        ("unreviewed", ["b1", "b2", "b3"]),
        ("accepted", ["a1"]),
        ("rejected", ["a2"]),
        ("second", ["b1"]),
        ("fresh", ["b2", "b3"]),
        ("disputed", ["a1"]),
    ],
)
def test_states_are_those_of_the_reviewer(state: str, ids: list[str]) -> None:
    verdicts = given(anna={"a1": "accept", "a2": "reject"}, ben={"a1": "reject", "a2": "reject", "b1": "reject"})
    assert chosen(verdicts, state=state) == ids


@pytest.mark.parametrize("state", ["all", "unreviewed", "accepted", "rejected", "second", "fresh", "disputed"])
def test_no_filter_tells_what_others_say_of_what_one_has_not_judged(state: str) -> None:
    for_it, against_it = (given(anna={"a1": "accept"}, ben={"b1": said}) for said in ("accept", "reject"))
    assert chosen(for_it, state=state) == chosen(against_it, state=state)


def test_verdicts_on_dialogues_that_are_gone_do_no_harm() -> None:
    assert chosen(given(anna={"gone": "reject"}), state="rejected") == []


def test_labels_are_counted_without_the_empty_one() -> None:
    assert columns().meta_topic.counts() == {"hills": 2, "sea": 2}


def test_a_query_knows_its_words() -> None:
    for wrong in ({"state": "best"}, {"speed": "3"}, {"id": "x" * 201}):
        with pytest.raises(ValidationError):
            Query.model_validate(wrong)
