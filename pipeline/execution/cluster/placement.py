"""How a Ray is shared out among the crews of a run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import ray
from ray.autoscaler.sdk import request_resources
from ray.exceptions import RayError

from pipeline.contracts.watch import Drained
from pipeline.execution.cluster.crew import Crew, CrewShape
from pipeline.execution.cluster.room import Need, total
from pipeline.values.errors import CorpusError
from pipeline.values.units import Seconds

POLL_SECONDS: Seconds = 1.0


class Placement:
    """The fewest workers of every crew have room first, so that no crew's growth keeps another from starting.

    Args:
        shapes: Of all crews that there may be, by kind.
        crews: Those that were started; the owner adds to it.
        beside: What is reserved beside crews.
        is_joined: The Ray is a cluster's, which more nodes may join.
    """

    def __init__(
        self, shapes: Mapping[str, CrewShape], crews: Mapping[str, Crew], beside: Need, is_joined: bool
    ) -> None:
        self._shapes = shapes
        self._crews = crews
        self._beside = beside
        self._is_joined = is_joined
        self._asked: list[dict[str, float]] = []

    async def wait_for_room(self, patience: Seconds, is_over: Callable[[], bool]) -> None:
        """Return once the fewest workers that the manifest allows can all be placed.

        Raises:
            CorpusError: they cannot: they would wait for each other for ever.
            Drained: the run is ending.
        """
        until = time.monotonic() + patience
        while missing := self._count({}).find_missing(_resources()):
            if not self._is_joined or time.monotonic() >= until:
                name, wanted, there = missing
                raise CorpusError(
                    f"the manifest's actors reserve {wanted:g} {name}s and this Ray has {there:g}: lower "
                    "execution.composers, execution.auditors, render.*.actors or the GPUs of these, or give "
                    "Ray more nodes" + (" (execution.node_wait_seconds waits for them)" if self._is_joined else "")
                )
            self.ask_for_nodes()
            await asyncio.sleep(POLL_SECONDS)
            if is_over():
                raise Drained("the run is ending")

    def admits(self, kind: str) -> bool:
        """Whether one worker more of a kind fits beside all workers and the fewest of each crew."""
        sizes = {kind: crew.size for kind, crew in self._crews.items()}
        return (self._count(sizes) + self._shapes[kind].need).find_missing(_resources()) is None

    def ask_for_nodes(self) -> None:
        """Tell the autoscaler, if the cluster has one, what all crews would keep busy."""
        if not self._is_joined:
            return
        wanted = {kind: crew.wanted for kind, crew in self._crews.items()}
        bundles = [self._beside.as_bundle()]
        for kind, shape in self._shapes.items():
            bundles += [shape.need.as_bundle()] * max(shape.workers.min, wanted.get(kind, 0))
        self._ask(bundles)

    def release(self) -> None:
        """Take back what the autoscaler was told, if anybody still hears it."""
        with suppress(RayError):
            self._ask([])

    def _ask(self, bundles: list[dict[str, float]]) -> None:
        if bundles != self._asked:
            self._asked = bundles
            request_resources(bundles=bundles)

    def _count(self, sizes: Mapping[str, int]) -> Need:
        """Add up what crews of these sizes reserve, and the fewest workers of all others."""
        needs = [shape.need * max(shape.workers.min, sizes.get(kind, 0)) for kind, shape in self._shapes.items()]
        return total([self._beside, *needs])


def _resources() -> Mapping[str, float]:
    found: dict[str, Any] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return found
