"""Live progress: a table on a terminal, plain lines where there is none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipeline.cli.plan import say_duration
from pipeline.execution.tally import StageTally, Tally
from pipeline.values.units import USD
from pipeline.values.words import say_count

PLAIN_EVERY_SECONDS = 10.0


class ProgressView(Protocol):
    """Something that shows a tally."""

    def update(self, tally: Tally) -> None:
        """Show the state of things."""

    def say(self, text: str) -> None:
        """Show one line that stays."""


@contextmanager
def open_progress(console: Console) -> Iterator[ProgressView]:
    """Yield the view that suits the console."""
    if not console.is_terminal:
        yield PlainProgress(console)
        return
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        yield LiveProgress(live)


class LiveProgress:
    """A table a stage a line, redrawn in place."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def update(self, tally: Tally) -> None:
        """Redraw."""
        self._live.update(_draw(tally))

    def say(self, text: str) -> None:
        """Print above the table."""
        self._live.console.print(text, markup=False)


class PlainProgress:
    """A line every ten seconds, and one at each change of state."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = (0.0, "")

    def update(self, tally: Tally) -> None:
        """Print a line if it is time."""
        now = time.monotonic()
        if now - self._last[0] < PLAIN_EVERY_SECONDS and tally.state == self._last[1]:
            return
        self._last = (now, tally.state)
        stages = [
            f"{name} {s.done}/{s.total}" + (f" ({s.failed} failed)" if s.failed else "")
            for name, s in tally.stages.items()
        ]
        if stages:
            self.say(f"[{now - tally.started:5.0f} s] {tally.state}: {', '.join(stages)}; {_say_llm(tally)}")

    def say(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, markup=False, soft_wrap=True)


def _draw(tally: Tally) -> Table:
    now = time.monotonic()
    table = Table(box=None, pad_edge=False, caption_justify="left")
    table.add_column("stage", min_width=10)
    for name in ("done", "total", "failed", "a minute", "time left"):
        table.add_column(name, justify="right")
    for name, stage in tally.stages.items():
        rate = stage.per_second(now)
        table.add_row(
            name,
            f"{stage.done:,}",
            f"{stage.total:,}",
            str(stage.failed) if stage.failed else "",
            f"{rate * 60:.1f}" if rate else "",
            _time_left(stage, rate),
        )
    table.caption = Text(f"{tally.state}, {say_duration(now - tally.started)}; {_say_llm(tally)}", overflow="ellipsis")
    return table


def _time_left(stage: StageTally, rate: float) -> str:
    if stage.done >= stage.total:
        return "done"
    return say_duration((stage.total - stage.done) / rate) if rate else ""


def _say_llm(tally: Tally) -> str:
    """Say what the LLM is busy with and what it has cost."""
    in_flight = tally.num_calls - tally.num_answers
    seconds = max(time.monotonic() - tally.started, 1e-3)
    busy = f", {tally.busy['llm']}" if in_flight and "llm" in tally.busy else ""
    return (
        f"{say_count(tally.num_answers, 'answer')}, {in_flight} in flight{busy}, "
        f"{tally.tokens / seconds:.0f} tokens/s, "
        f"{say_spend(tally.spend_usd, tally.spent_before_usd, tally.budget_usd)}"
    )


def say_spend(now: USD, before: USD, budget: USD | None) -> str:
    """Return e.g. ``0.42 USD``, or ``3.42 of 5.00 USD`` of a budget that earlier runs have spent from."""
    return f"{now:.2f} USD" if budget is None else f"{before + now:.2f} of {budget:.2f} USD"
