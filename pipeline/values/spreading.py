"""How the work of a corpus is spread over processes and machines."""

from __future__ import annotations

from operator import not_

from pydantic import Field

from pipeline.values.section import Section
from pipeline.values.units import Seconds
from pipeline.values.workers import ONE, Workers


class Execution(Section):
    """How the work is spread. Changes no output.

    Attributes:
        address: Ray address of a cluster; None starts Ray on this machine.
        node_wait_seconds: How long a run waits for nodes of a cluster that has no room yet for the fewest workers.
        composers: Processes that hold LLM calls in flight; ``{min: 1, max: 8}`` has as many as find work.
        shards_in_flight: Shards between their first call and their last render.
        auditors: Processes that measure what the screen has limits for.
        auditor_gpus: GPUs that each of them holds.
    """

    address: str | None = None
    # Left out where unstated, so that a manifest without it is written as it was before there was such a key.
    node_wait_seconds: Seconds = Field(0, ge=0, exclude_if=not_)
    composers: Workers = ONE
    shards_in_flight: int = Field(4, ge=1, le=4096)
    auditors: int = Field(1, ge=1, le=1024)
    auditor_gpus: float = Field(0, ge=0)
