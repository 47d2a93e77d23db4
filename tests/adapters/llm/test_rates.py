from __future__ import annotations

import time

import pytest

from pipeline.adapters.llm.rates import MAX_RETRY_AFTER, Bucket, Quota, parse_duration, read_quota, read_retry_after

NOON = "Wed, 21 Oct 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20ms", 0.02), ("1s", 1), ("6m0s", 360), ("1h2m3.5s", 3723.5), ("12", 12), (" 0.5 ", 0.5)]
    + [(text, None) for text in ("", "soon", "1x", "-3", "nan", "inf", "1s later", "2026-10-21T12:00:00Z")],
)
def test_durations_come_in_several_spellings(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2),
        ({"retry-after-ms": "250", "retry-after": "2"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2026 12:00:07 GMT", "date": NOON}, 7),
        ({"retry-after": "Wed, 21 Oct 2026 11:59:00 GMT", "date": NOON}, None),
        ({"retry-after": "86400"}, MAX_RETRY_AFTER),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "when I say so"}, None),
    ],
)
def test_retry_after_is_read_in_its_spellings(headers: dict[str, str], seconds: float | None) -> None:
    assert read_retry_after(headers) == seconds


@pytest.mark.parametrize(("jump", "seconds"), [(-86400, MAX_RETRY_AFTER), (86400, None)])
def test_a_wrong_clock_makes_a_date_no_worse_than_unknown(
    jump: int, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1792584000.0  # noon of NOON
    monkeypatch.setattr(time, "time", lambda: now + jump)
    assert read_retry_after({"retry-after": "Wed, 21 Oct 2026 12:00:07 GMT"}) == seconds


def test_a_quota_says_how_soon_a_unit_comes_back() -> None:
    left = {"x-ratelimit-remaining-requests": "40", "x-ratelimit-reset-requests": "6s"}
    limit = {"x-ratelimit-limit-requests": "100"}
    assert read_quota(left | limit, "requests") == Quota(40, 0.1)  # 60 used, all back in 6 s
    assert read_quota(left, "requests") == Quota(40, 6 / 41)  # 40 have to last for 6 s
    assert read_quota(left, "tokens") is None
    assert read_quota(left | {"x-ratelimit-remaining-requests": "none"}, "requests") is None
    assert read_quota(left | {"x-ratelimit-reset-requests": "later"}, "requests") is None
    assert read_quota(left | {"x-ratelimit-limit-requests": "unlimited"}, "requests") == Quota(40, 6 / 41)


def test_a_bucket_gives_a_seconds_worth_and_then_its_rate() -> None:
    bucket = Bucket(120, 0.0)
    for _ in range(2):
        assert bucket.wait(0.0) == 0
        bucket.take(1, 0.0)
    assert bucket.wait(0.0) == pytest.approx(0.5)
    assert bucket.wait(0.5) == 0
    assert bucket.wait(1000.0) == 0
    bucket.take(5, 1000.0)  # a debt of 3
    assert bucket.wait(1000.0) == pytest.approx(2.0)
    bucket.take(-4, 1000.0)
    assert bucket.wait(1000.0) == 0


def test_a_bucket_may_get_a_share_of_its_rate_and_a_clock_that_stands_still() -> None:
    bucket = Bucket(60, 0.0)
    bucket.share(0.25, 0.0)
    bucket.take(1, 0.0)
    assert bucket.wait(0.0) == pytest.approx(4.0)
    assert bucket.wait(-5.0) == pytest.approx(4.0)


def test_no_cap_is_no_wait() -> None:
    bucket = Bucket(None, 0.0)
    bucket.take(10**9, 0.0)
    assert bucket.wait(0.0) == 0
