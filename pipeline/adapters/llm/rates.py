"""How fast an endpoint may be called: caps of our own, and what its headers say. Seconds are monotonic throughout."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from pipeline.values.units import Seconds

MAX_RETRY_AFTER: Seconds = 600.0
"""An endpoint that names a longer time is asked again after this: a wrong clock must not hold a run for a day."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


class Bucket:
    """A token bucket: fills by its rate, holds one second's worth (at least one unit), and may go into debt.

    Args:
        per_minute: The rate; None lets everything through.
        now: Monotonic seconds, as in all methods.
    """

    def __init__(self, per_minute: float | None, now: Seconds) -> None:
        self._per_minute = per_minute
        self._share = 1.0
        self._level = self._capacity
        self._filled_at = now

    @property
    def _rate(self) -> float:
        return (self._per_minute or 0.0) / 60 * self._share

    @property
    def _capacity(self) -> float:
        return max(1.0, self._rate)

    def share(self, share: float, now: Seconds) -> None:
        """Take only a part of the rate, in (0, 1]."""
        self._fill(now)
        self._share = share

    def wait(self, now: Seconds) -> Seconds:
        """Seconds until there is one whole unit."""
        if self._per_minute is None:
            return 0.0
        self._fill(now)
        return max(0.0, (1.0 - self._level) / self._rate)

    def take(self, amount: float, now: Seconds) -> None:
        """Take out, or with a negative amount give back."""
        if self._per_minute is not None:
            self._fill(now)
            self._level = min(self._level - amount, self._capacity)

    def _fill(self, now: Seconds) -> None:
        if now > self._filled_at:
            self._level = min(self._capacity, self._level + (now - self._filled_at) * self._rate)
            self._filled_at = now


@dataclass(frozen=True)
class Quota:
    """What an endpoint says is left, of requests or of tokens.

    Attributes:
        left: Units that it will still take now.
        seconds_each: Time in which one unit comes back.
    """

    left: float
    seconds_each: Seconds


def read_quota(headers: Mapping[str, str], unit: str) -> Quota | None:
    """Read ``x-ratelimit-{remaining,reset,limit}-<unit>``; None where they are missing or make no sense.

    The reset is the time until everything is back. With the limit known, what was used comes back over that time;
    without it, what is left has to last so long.

    Args:
        unit: ``requests`` or ``tokens``.
    """
    try:
        left = float(headers[f"x-ratelimit-remaining-{unit}"])
        reset = parse_duration(headers[f"x-ratelimit-reset-{unit}"])
    except (KeyError, ValueError):
        return None
    if reset is None or not math.isfinite(left):
        return None
    try:
        used = float(headers[f"x-ratelimit-limit-{unit}"]) - left
    except (KeyError, ValueError):
        used = 0.0
    return Quota(max(left, 0.0), min(reset, MAX_RETRY_AFTER) / (used if used >= 1 else max(left, 0.0) + 1))


def parse_duration(text: str) -> Seconds | None:
    """Read ``20ms``, ``1s``, ``6m0s`` or plain seconds; None for anything else."""
    text = text.strip()
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def read_retry_after(headers: Mapping[str, str]) -> Seconds | None:
    """Read Retry-After in its three spellings: milliseconds (OpenAI's own), seconds, and a date (RFC 9110, 10.2.3).

    A date is compared with the endpoint's own ``Date``, so that neither clock has to be right.

    Returns:
        Seconds in (0, ``MAX_RETRY_AFTER``]; None where nothing useful is said.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return _in_bounds(float(headers[name]) * unit)
        except (KeyError, ValueError):
            continue
    try:
        until = parsedate_to_datetime(headers["retry-after"]).timestamp()
    except (KeyError, ValueError):
        return None
    try:
        now = parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError):
        now = time.time()
    return _in_bounds(until - now)


def _in_bounds(seconds: Seconds) -> Seconds | None:
    return min(seconds, MAX_RETRY_AFTER) if math.isfinite(seconds) and seconds > 0 else None
