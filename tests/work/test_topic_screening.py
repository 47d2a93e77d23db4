"""Generated topics in nearly the same words: one stays, and what was decided stays decided."""

from __future__ import annotations

from pipeline.values.ids import topic_id
from pipeline.work.topic_screening import TopicScreen, screen_topics
from tests.support.stages import topics

FIRST = "selling roasted chestnuts at the winter market"
REWORDED = "selling roasted chestnuts at a winter market"
OTHER = "tuning a harpsichord before a concert"


def held(screen: TopicScreen) -> dict[str, str]:
    return {entry.text: entry.like for entry in screen.held_back.values()}


def test_of_two_that_say_the_same_the_first_stays() -> None:
    screen = screen_topics(TopicScreen(), [], topics(FIRST, OTHER, REWORDED), ())
    assert held(screen) == {REWORDED: FIRST}
    assert screen.admitted == (topic_id(FIRST), topic_id(OTHER))
    assert screen.held_back[topic_id(REWORDED)].score >= 0.7


def test_what_a_person_wrote_goes_before_and_is_never_held_back() -> None:
    screen = screen_topics(TopicScreen(), topics(REWORDED, FIRST), topics(FIRST, OTHER), ())
    assert held(screen) == {}
    assert held(screen_topics(TopicScreen(), topics(REWORDED), topics(FIRST, OTHER), ())) == {FIRST: REWORDED}


def test_what_is_planned_stays_though_an_earlier_one_is_like_it() -> None:
    screen = screen_topics(TopicScreen(), [], topics(FIRST, REWORDED), {topic_id(REWORDED)})
    assert held(screen) == {FIRST: REWORDED}


def test_decisions_stay_when_topics_are_added() -> None:
    former = screen_topics(TopicScreen(), [], topics(FIRST, REWORDED), ())
    later = screen_topics(former, [], topics(REWORDED, OTHER, FIRST), ())
    assert held(later) == held(former)
    assert later.admitted == (topic_id(FIRST), topic_id(OTHER))
    assert screen_topics(later, [], topics(REWORDED, OTHER, FIRST), ()) is later


def test_a_topic_that_was_held_back_holds_back_none() -> None:
    former = screen_topics(TopicScreen(), [], topics(FIRST, REWORDED), ())
    third = "selling roasted chestnuts at a winter market stall in town"
    alone = screen_topics(TopicScreen(), [], topics(FIRST, third), ())
    assert (third in held(screen_topics(former, [], topics(FIRST, REWORDED, third), ()))) == (third in held(alone))
