"""Generated topics that say what another says in nearly the same words are held back, once and for all.

Decided by words alone, so that no model is needed and every machine decides alike. A topic that was let through or
planned stays: a later one that is like it is held back, never the one whose dialogues are paid for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pydantic import Field

from pipeline.values.records import Record, Topic
from pipeline.work.topic_variety import Sieve


class HeldBack(Record):
    """Why a topic is left out.

    Attributes:
        like: The topic that it is like.
        score: Share of 3-grams of characters that both have.
    """

    text: str
    like: str
    score: float


class TopicScreen(Record):
    """What was decided about generated topics, by topic id."""

    admitted: tuple[str, ...] = ()
    held_back: Mapping[str, HeldBack] = Field(default_factory=dict)


def screen_topics(
    former: TopicScreen, written: Sequence[Topic], generated: Sequence[Topic], planned: Collection[str]
) -> TopicScreen:
    """Decide about generated topics that nobody has decided about.

    Args:
        written: Topics that people wrote; never held back.
        generated: In the order of their writing, which decides between two that are new.
        planned: Ids of topics with dialogues in the plan.
    """
    decided = {*former.admitted, *former.held_back, *planned, *(topic.id for topic in written)}
    new = [topic for topic in generated if topic.id not in decided]
    if not new:
        return former
    sieve = Sieve(None)
    sieve.admit([*written, *(t for t in generated if t.id in decided and t.id not in former.held_back)])
    held, admitted = dict(former.held_back), list(former.admitted)
    for topic, likeness in zip(new, sieve.sift(new), strict=True):
        if likeness is None:
            admitted.append(topic.id)
        else:
            held[topic.id] = HeldBack(text=topic.text, like=likeness.of.text, score=round(likeness.score, 3))
    return TopicScreen(admitted=tuple(admitted), held_back=held)
