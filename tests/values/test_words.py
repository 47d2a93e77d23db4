from __future__ import annotations

import pytest

from pipeline.values.words import say_count, say_share, say_some, suggest


@pytest.mark.parametrize(
    ("number", "noun", "plural", "said"),
    [
        (0, "topic", None, "0 topics"),
        (1, "topic", None, "1 topic"),
        (2000, "topic", None, "2,000 topics"),
        (1, "batch", "batches", "1 batch"),
        (2, "batch", "batches", "2 batches"),
    ],
)
def test_a_count_agrees_with_its_noun(number: int, noun: str, plural: str | None, said: str) -> None:
    assert say_count(number, noun, plural) == said


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.0, "0.0%"), (0.0001, "0.1%"), (0.5, "50.0%"), (0.1234, "12.3%"), (0.9996, "99.9%"), (1.0, "100.0%")],
)
def test_a_share_is_all_or_nothing_only_where_it_is(share: float, said: str) -> None:
    assert say_share(share) == said


def test_a_near_name_is_suggested_and_else_some_are_told() -> None:
    assert suggest("kokro", ["piper", "kokoro"]) == "did you mean kokoro?"
    assert suggest("zzz", ["piper", "kokoro"]) == "there are kokoro, piper"
    assert suggest("images", ["dialogues"]) == "there are dialogues"
    assert suggest("zzz", []) == "there are none"
    assert suggest("zzz", "ihgfedcba", lists_all=True) == "there are a, b, c, d, e, f, g, h, i"
    assert say_some("ihgfedcba") == "a, b, c, d, e, f, g, h, …"
