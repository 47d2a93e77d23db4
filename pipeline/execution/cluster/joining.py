"""Starting Ray on this machine or joining a cluster's, and calls to its actors."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import ray
from ray.exceptions import (
    ActorUnavailableError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)

from pipeline.contracts.watch import Drained
from pipeline.execution.cluster.crew import WorkerLost
from pipeline.values.errors import AnyInstructError, CorpusError
from pipeline.values.units import Seconds

OBJECT_STORE_BYTES = 100 * 2**20
"""Only ids and counts travel through Ray, so its store is kept near the least that Ray allows."""

LOST = (RayActorError, WorkerCrashedError, NodeDiedError, OutOfMemoryError)
"""A process or its node has ended. What it worked on can be done by another one."""


HOME_SECONDS: Seconds = 5.0
"""Between two looks at the node that this process is attached to, while an answer is waited for."""


class Actor:
    """An actor of Ray as a crew knows it."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    async def ready(self) -> None:
        """Return once it is placed and built; raises as :func:`result` does."""
        await result(self._handle.__ray_ready__.remote())

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a method; raises as :func:`result` does."""
        return await result(getattr(self._handle, method).remote(*arguments))

    def kill(self) -> None:
        """End it; one that waits to be placed waits no longer."""
        ray.kill(self._handle)


async def result(reference: Awaitable[Any]) -> Any:
    """Await a Ray call; an error of ours comes out as itself, without Ray's wrapping.

    Raises:
        WorkerLost: whoever was called is there no longer.
        CorpusError: Ray itself failed, or the node that this process is attached to; or the worker could not be built.
    """
    answer = asyncio.ensure_future(reference)
    try:
        while not answer.done():
            await asyncio.wait({answer}, timeout=HOME_SECONDS)
            if not answer.done():
                await _check_home()
        return answer.result()
    except RayTaskError as exc:
        cause = exc.cause
        if isinstance(cause, (AnyInstructError, Drained)):
            raise cause from None
        raise
    except LOST as exc:
        if isinstance(exc, RayActorError) and exc.actor_init_failed:
            raise CorpusError(f"a worker could not be built: {exc}") from exc
        is_gone = not isinstance(exc, ActorUnavailableError)
        raise WorkerLost(f"{type(exc).__name__}: {exc}", is_gone) from exc
    except RayError as exc:
        raise CorpusError(f"Ray failed ({type(exc).__name__}: {exc}); run again to go on") from exc
    finally:
        answer.cancel()


async def _check_home() -> None:
    """Raise CorpusError once the node that this process is attached to has ended: Ray itself would wait for ever."""
    place = _find_home(ray.get_runtime_context().get_node_id())
    try:
        (await asyncio.to_thread(socket.create_connection, place, HOME_SECONDS)).close()
    except ConnectionRefusedError:
        raise CorpusError("the Ray node that this command runs on has ended; run again to go on") from None
    except OSError:
        return  # too busy to answer in time


@lru_cache(maxsize=1)
def _find_home(node: str) -> tuple[str, int]:
    """Return address and port of a node's own daemon."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return next((one["NodeManagerAddress"], one["NodeManagerPort"]) for one in nodes if one["NodeID"] == node)


@contextmanager
def keeping_ray(address: str | None) -> Iterator[None]:
    """Have the clusters within use one Ray; starting one takes seconds."""
    is_mine = start_ray(address)
    try:
        yield
    finally:
        if is_mine:
            ray.shutdown()


def start_ray(address: str | None) -> bool:
    """Start Ray here or join a cluster's; return False where this process has a Ray already and keeps it.

    Raises:
        CorpusError: there is no such cluster, or Ray does not start.
    """
    if ray.is_initialized():
        return False
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    try:
        if address is not None:
            ray.init(address=address, **quiet)
        else:
            # It listens on this machine only, and would leave a token in the home folder. A cluster has its own way.
            os.environ.setdefault("RAY_AUTH_MODE", "disabled")
            cores = max(2, os.cpu_count() or 1)
            ray.init(
                address="local",
                num_cpus=cores,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                **quiet,
            )
    except (RayError, ConnectionError, RuntimeError, ValueError, OSError) as exc:
        raise CorpusError(f"Ray did not start ({exc}); check execution.address, free memory and /dev/shm") from exc
    _find_home(ray.get_runtime_context().get_node_id())
    return True
