"""What a run has done so far, counted from the notes of its workers, and its one event log."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.values.errors import AnyInstructError, CorpusError
from pipeline.values.units import USD
from pipeline.work.limits import STAGE as LIMITS

RATE_WINDOW_SECONDS = 60.0

MAX_LOG_BYTES = 2**24
"""An event log that has grown beyond this is put aside, in place of the one put aside before it: a run of weeks tells
its tally a million times, and nobody reads the first of them."""

FORMER = ".former"

MAX_END = 500
"""Characters of an error that the event log keeps."""


@dataclass
class StageTally:
    """One stage: records done of all, failures, and when the last ones came."""

    total: int = 0
    done: int = 0
    failed: int = 0
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=512))

    def per_second(self, now: float) -> float:
        """Rate over the last minute."""
        times = [moment for moment in self.recent if now - moment < RATE_WINDOW_SECONDS]
        return len(times) / max(now - times[0], 1.0) if times else 0.0


@dataclass
class Tally:
    """The whole run.

    Attributes:
        spent_before_usd: What earlier runs have spent; counted only where there is a budget.
        busy: What the LLM and each renderer did last, by stage.
        end: Why the run ended, where it did not come to its end.
        lost: Records that failed since the last look at them: stage, record and code, for the event log.
    """

    stages: dict[str, StageTally] = field(default_factory=dict)
    spend_usd: USD = 0.0
    spent_before_usd: USD = 0.0
    budget_usd: USD | None = None
    tokens: int = 0
    num_calls: int = 0
    num_answers: int = 0
    num_renders: int = 0
    state: str = "running"
    busy: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    end: str = ""
    lost: list[dict[str, Any]] = field(default_factory=list)

    def fail(self, exc: BaseException) -> None:
        """Note that the run failed. Only our own errors are repeated: they hold no key."""
        self.state = "failed"
        self.end = " ".join(str(exc).split())[:MAX_END] if isinstance(exc, AnyInstructError) else type(exc).__name__

    def expect(self, stage: str, total: int, done: int) -> None:
        """State how many records a stage has, and how many of them were there before."""
        tally = self.stages.setdefault(stage, StageTally())
        tally.total, tally.done = total, done

    def take(self, notes: Iterable[Mapping[str, Any]]) -> None:
        """Count notes."""
        for note in notes:
            event = note["event"]
            if event == "call":
                self.num_calls += 1
                self.busy["llm"] = f"{note['purpose']} of {note['record']}"
            elif event == "unsent":
                self.num_calls -= 1
            elif event == "busy":
                self.busy[note["what"]] = note["text"]
            elif event == "answer":
                self.num_answers += 1
                self.spend_usd += note["usd"]
                self.tokens += note["tokens"]
            elif event == "audited":
                stage = self.stages.setdefault(LIMITS, StageTally())
                stage.done += note["count"]
                stage.recent.extend([time.monotonic()] * note["count"])
            else:
                stage = self.stages.setdefault(note["stage"], StageTally())
                stage.done += 1
                stage.total = max(stage.total, stage.done)  # what is made again comes on top of what was there
                stage.failed += note["code"] is not None
                if note["code"] is not None:
                    self.lost.append({name: note.get(name) for name in ("stage", "record", "code")})
                stage.recent.append(time.monotonic())
                self.num_renders += event == "render"

    def take_lost(self) -> list[dict[str, Any]]:
        """Return the events of records that failed since the last call."""
        lost, self.lost = self.lost, []
        return [{"event": "failed", **about} for about in lost]

    def snapshot(self) -> dict[str, Any]:
        """Return the line for the event log; see :class:`EventLog`."""
        now = time.monotonic()
        return {
            "event": "tally",
            "pid": os.getpid(),
            "state": self.state,
            "stages": {
                name: {
                    "done": stage.done,
                    "total": stage.total,
                    "failed": stage.failed,
                    "per_second": round(stage.per_second(now), 3),
                }
                for name, stage in self.stages.items()
            },
            "spend_usd": round(self.spend_usd, 6),
            "spent_before_usd": round(self.spent_before_usd, 6),
            "budget_usd": self.budget_usd,
            "tokens": self.tokens,
            "tokens_per_second": round(self.tokens / max(now - self.started, 1e-3), 2),
            "calls_in_flight": self.num_calls - self.num_answers,
            "note": self.busy.get("llm", ""),
            "end": self.end,
        }


class EventLog:
    """``work/events.jsonl``: one JSON object a line with ``t`` (Unix seconds) first; read by ``status``."""

    def __init__(self, work: Path) -> None:
        self._path = work / "events.jsonl"

    def append(self, *events: Mapping[str, Any]) -> None:
        """Append a line each; raises CorpusError where the disk does not take it."""
        now = round(time.time(), 3)
        lines = [json.dumps({"t": now, **event}, ensure_ascii=False) + "\n" for event in events]
        try:
            with self._path.open("a", encoding="utf-8") as file:
                if file.tell() > MAX_LOG_BYTES:
                    self._path.replace(self._path.with_name(self._path.name + FORMER))
                    self.append(*events)
                    return
                file.writelines(lines)
        except OSError as exc:
            raise CorpusError(f"{self._path}: cannot be written: {exc.strerror}") from exc
