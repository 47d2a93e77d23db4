"""Remote renderers: media that somebody else makes, by calls that cost money and can be lost on the way.

A plug-in of this kind is registered like any other. The stage calls it one brief at a time, hundreds at once; it holds
money for every call, journals the intent before it is sent and what came back the moment it is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pipeline.contracts.chat import Usage
from pipeline.contracts.render import Brief, Outcome, Renderer, RendererPlugin, RenderFailure
from pipeline.values.records import Record
from pipeline.values.units import USD, Seconds


class MediaAnswer(Record):
    """What an endpoint answered.

    Attributes:
        data: The bytes as they came; None where the endpoint gave an address to fetch them from.
        url: That address.
        model: As the endpoint reports it.
        notes: Small JSON-able facts for provenance: request id, time of making, the prompt as the endpoint revised it.
            Strangers' words, to be kept as data and escaped wherever they are shown.
        usd: What the call cost.
        latency: Seconds from sending to the whole answer.
    """

    data: bytes | None
    url: str | None = None
    model: str
    notes: Mapping[str, Any] = {}
    usage: Usage = Usage()
    usd: USD
    latency: Seconds


@runtime_checkable
class RemoteRenderer(Renderer, Protocol):
    """A renderer that calls an endpoint. Safe for many concurrent calls on one event loop."""

    model: str
    """As the manifest names it."""

    def refuse(self, brief: Brief) -> RenderFailure | None:
        """Say what can be known to be wrong with a brief before it is paid for, or None."""
        ...

    def describe(self, brief: Brief) -> Mapping[str, Any]:
        """Return the request for a brief as JSON-able values; no key is in it."""
        ...

    def bound(self, brief: Brief) -> USD:
        """Return the most that the call for a brief can cost."""
        ...

    async def call(self, brief: Brief) -> MediaAnswer:
        """Have a brief rendered.

        Raises:
            ChatFailure: this call came to nothing, after the adapter's own retries; others may go on. A
                :class:`MediaFailure` states what it cost all the same.
            EndpointError: no call can succeed (key, quota, unknown model).
        """
        ...

    async def fetch(self, url: str) -> bytes:
        """Fetch what an answer gave the address of.

        Raises:
            ChatFailure: it cannot be had, or is nothing that may be fetched.
        """
        ...

    def finish(self, brief: Brief, data: bytes) -> Outcome:
        """Decode, gate and encode; called on any thread."""
        ...

    async def close(self) -> None:
        """Release connections; a later call opens them again."""
        ...


@dataclass(frozen=True)
class CallSetting:
    """What a remote renderer finds around it.

    Attributes:
        memory: Folder in which what is found out about endpoints is kept from run to run; None keeps nothing.
        num_processes: Processes that call the same endpoint at the same time for one run.
    """

    memory: Path | None = None
    num_processes: int = 1


@runtime_checkable
class RemotePlugin(RendererPlugin, Protocol):
    """A plug-in whose renderer calls an endpoint."""

    def model(self, options: Any) -> str:
        """Return the model's name at the endpoint."""
        ...

    def in_flight(self, options: Any) -> int:
        """Return how many calls may be in flight over all processes; a bound, not a target."""
        ...

    def price(self, options: Any) -> Mapping[str, Any] | None:
        """Return the prices that calls are counted at, as JSON-able values, or None where nobody stated any."""
        ...

    def expect_cost(self, options: Any, brief: Brief) -> USD:
        """Return what a call is likely to cost, for ``plan``; 0 where nobody stated a price."""
        ...

    def open(self, options: Any, setting: CallSetting) -> RemoteRenderer:
        """Return the renderer; nothing is connected before its first call.

        Raises:
            EndpointError: the options name no address.
        """
        ...


@runtime_checkable
class WantsKey(Protocol):
    """A remote plug-in that can tell that its key is missing, before anything is called."""

    def missing_key(self, options: Any) -> str | None:
        """Return a line that begins with the option which names the key, or None."""
        ...
