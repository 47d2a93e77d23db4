"""What every renderer that calls an endpoint does around its own request and answer."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic

from pipeline.adapters.calling.fetching import fetch_media, host_of
from pipeline.adapters.calling.line import Line, Route
from pipeline.adapters.calling.options import CallOptions
from pipeline.adapters.llm.posting import Parcel
from pipeline.adapters.llm.wire import T
from pipeline.adapters.provenance import describe_software
from pipeline.contracts.remote import CallSetting, MediaAnswer
from pipeline.contracts.render import Brief, Outcome, Render, RenderFailure
from pipeline.values.errors import ChatFailure, MediaFailure
from pipeline.values.units import USD

OWN_HOST = "api.openai.com"
"""Of the endpoint that is called where a manifest names none."""

SAMENESS = "media of an endpoint cannot be made again to the bit; what arrived is kept"

LONGEST_NOTE = 4000
"""Characters of an endpoint's own words that are kept with an asset."""


class CallingRenderer(ABC, Generic[T]):
    """Implements ``RemoteRenderer`` for one model; its key comes from the environment and is never shown."""

    def __init__(self, options: CallOptions, setting: CallSetting, route: Route[T]) -> None:
        self.model = options.model
        self._timeout = options.timeout_seconds
        self._netloc = options.base_url.split("//", 1)[1].split("/", 1)[0] if options.base_url else OWN_HOST
        self._line: Line[T] = Line(options, setting, route)

    @abstractmethod
    def refuse(self, brief: Brief) -> RenderFailure | None:
        """Say what can be known to be wrong with a brief before it is paid for, or None."""

    @abstractmethod
    def describe(self, brief: Brief) -> Mapping[str, Any]:
        """Return the request for a brief."""

    @abstractmethod
    def bound(self, brief: Brief) -> USD:
        """Return the most that the call for a brief can cost."""

    @abstractmethod
    def read(self, brief: Brief, answer: T) -> MediaAnswer:
        """Return what an answer holds; raises ChatFailure, and MediaFailure where it was paid for."""

    @abstractmethod
    def finish(self, brief: Brief, data: bytes) -> Outcome:
        """Decode, gate and encode."""

    async def pack(self, brief: Brief) -> Mapping[str, Any] | Parcel:
        """Return what is sent: the request itself, where it is JSON. Raises ChatFailure where it cannot be had."""
        return self.describe(brief)

    async def call(self, brief: Brief) -> MediaAnswer:
        """Have a brief rendered; see ``RemoteRenderer``."""
        started = asyncio.get_running_loop().time()
        try:
            answer = await self._line.send(await self.pack(brief))
        except ChatFailure as exc:
            if exc.code != "timeout":
                raise
            # Whoever answers too late has worked all the same, and nobody says what that cost.
            raise MediaFailure(exc.code, str(exc), self.bound(brief)) from None
        latency = asyncio.get_running_loop().time() - started
        return self.read(brief, answer).model_copy(update={"latency": round(latency, 4)})

    async def fetch(self, url: str) -> bytes:
        """Fetch what an answer gave the address of; see ``RemoteRenderer``."""
        return await fetch_media(url, host_of(self._netloc), self._timeout)

    async def close(self) -> None:
        """Write down what was found out and close the connections."""
        await self._line.close()

    def render(self, briefs: Sequence[Brief]) -> list[Render | RenderFailure]:
        """Render briefs outside a corpus, all at once: nothing is journalled and no budget is asked.

        Raises:
            EndpointError: no call can succeed.
        """
        return asyncio.run(self._render_all(briefs))

    def provenance(self) -> Mapping[str, str]:
        """The endpoint's host, what was asked for, and that it cannot be had again."""
        stated = {"endpoint": self._netloc, "model": self.model, "sameness": SAMENESS}
        return {**stated, **describe_software("openai", "pillow", "soundfile")}

    async def _render_all(self, briefs: Sequence[Brief]) -> list[Render | RenderFailure]:
        try:
            return list(await asyncio.gather(*map(self._render_one, briefs)))
        finally:
            await self.close()

    async def _render_one(self, brief: Brief) -> Render | RenderFailure:
        refusal = self.refuse(brief)
        if refusal is not None:
            return refusal
        try:
            answer = await self.call(brief)
            data = answer.data if answer.data is not None else await self.fetch(answer.url or "")
        except ChatFailure as exc:
            return RenderFailure(code=exc.code, message=f"brief {brief.id}: {exc}")
        return await asyncio.to_thread(self.finish, brief, data)

    def _quote(self, words: object) -> str | None:
        """Return words of the endpoint fit to be kept: without the key, and not at any length; None for no words."""
        if not isinstance(words, str) or not words:
            return None
        return self._line.translator.clean(words)[:LONGEST_NOTE]
