"""Looking at a run from outside: whether one holds the corpus, and what it last told."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.adapters.table_file import read_table
from pipeline.contracts.storage import Receipt
from pipeline.values.units import USD, Seconds

STAGES = ("topics", "texts", "scenarios", "dialogues", "descriptions", "image", "music", "speech")
"""In the order in which they are told."""

TAIL_BYTES = 2**18
"""Read off the end of the event log; a line has about half a kilobyte."""


class Holder(BaseModel):
    """Who holds, or last held, a corpus's lock."""

    model_config = ConfigDict(frozen=True)

    pid: int = Field(gt=0)
    host: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class StageLine(BaseModel):
    """One stage in a line of the event log."""

    model_config = ConfigDict(frozen=True)

    done: int
    total: int
    failed: int = 0
    per_second: float = 0.0


class TallyLine(BaseModel):
    """A line of ``work/events.jsonl`` with the event ``tally``; see ``EventLog``. Keys added later are passed over.

    Attributes:
        t: Seconds since 1970.
    """

    model_config = ConfigDict(frozen=True)

    t: Seconds = Field(ge=0, lt=253_402_300_800)  # the year 10,000, which no calendar of ours can write
    event: Literal["tally"]
    pid: int
    state: Literal["running", "draining", "done", "stopped", "failed"]
    stages: Mapping[str, StageLine]
    spend_usd: USD = 0.0
    tokens: int = 0
    tokens_per_second: float = 0.0
    calls_in_flight: int = 0
    note: str = ""
    end: str = ""


def find_holder(work: Path) -> Holder | None:
    """Return the run that holds a corpus's lock now; None where none does."""
    try:
        with (work / "lock").open("rb") as file:
            holder = Holder.model_validate_json(file.read(4096))
            if holder.host == socket.gethostname() and not _is_alive(holder.pid):
                # Not asking the lock itself spares a run that is just starting from being refused by our look at it.
                return None
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return holder
            return None
    except (OSError, ValidationError):
        return None


def read_last_tally(work: Path) -> TallyLine | None:
    """Return the newest whole tally of the event log; None where there is none. Half a line is passed over."""
    try:
        with (work / "events.jsonl").open("rb") as file:
            file.seek(0, os.SEEK_END)
            size = file.tell()
            file.seek(max(0, size - TAIL_BYTES))
            tail = file.read(TAIL_BYTES)
    except OSError:
        return None
    for line in reversed(tail.split(b"\n")):
        try:
            return TallyLine.model_validate(json.loads(line))
        except (ValueError, RecursionError):
            continue  # half a line, or an event of another kind
    return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # it is there and belongs to somebody else
    return True


@dataclass
class StageSurvey:
    """A stage over all shards: shards with a committed stage file, and rows that were asked for."""

    num_shards: int = 0
    num_ok: int = 0
    num_failed: int = 0


@dataclass(frozen=True)
class Survey:
    """What lies under ``work/``.

    Attributes:
        num_planned: Dialogues in the plan, those of topics taken out included; None where there is no readable plan.
        num_shards: Shards that the plan fills.
    """

    num_planned: int | None
    num_shards: int
    stages: Mapping[str, StageSurvey]


def survey_stages(work: Path) -> Survey:
    """Sum up plan and receipts without touching them: a run may be writing beside us."""
    stages = {stage: StageSurvey() for stage in STAGES}
    paths = [*work.glob("topics/topics.json"), *work.glob("texts/texts.json"), *work.glob("shards/*/*.json")]
    for path in paths:
        try:
            receipt = Receipt.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            continue  # replaced this moment, or damaged, which is what `verify` is for
        found = stages.setdefault(receipt.stage, StageSurvey())
        found.num_shards += 1
        found.num_ok += receipt.num_ok
        found.num_failed += receipt.num_failed
    try:
        shards = read_table(work / "plan.parquet", ["shard"])["shard"]
    except (OSError, pa.ArrowException):
        return Survey(None, 0, stages)
    return Survey(len(shards), len(shards.unique()), stages)
