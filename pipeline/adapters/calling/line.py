"""One model of an endpoint for media: requests go out at its pace and are tried again as those for words are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic

from pipeline.adapters.calling.options import CallOptions
from pipeline.adapters.calling.translating import MediaTranslator
from pipeline.adapters.llm.endpoint import Endpoint, open_endpoint
from pipeline.adapters.llm.kept_pace import KeptPace
from pipeline.adapters.llm.memory import EndpointMemory
from pipeline.adapters.llm.posting import Parcel, Posting
from pipeline.adapters.llm.wire import Read, T, Wire
from pipeline.contracts.remote import CallSetting
from pipeline.values.errors import EndpointError


@dataclass(frozen=True)
class Route(Generic[T]):
    """Where requests go and how answers are read.

    Attributes:
        path: After the endpoint's address.
        section: Of the manifest, for words of errors.
        what: That is asked for, for words of errors.
    """

    path: str
    section: str
    what: str
    read: Read[T]


class _Open(Generic[T]):
    """Connections with what is found out over them."""

    def __init__(self, options: CallOptions, setting: CallSetting, route: Route[T]) -> None:
        # The pace bounds what is in flight; a pool that did so, too, would make calls wait where nobody counts them.
        self.endpoint: Endpoint = open_endpoint(options, 2 * options.in_flight, route.section)
        memory = EndpointMemory(setting.memory, self.endpoint.host, options.model)
        self.kept = KeptPace(
            memory, options.in_flight, setting.num_processes, requests_per_minute=options.requests_per_minute
        )
        where = f"{options.model} at {self.endpoint.host}"
        variable, timeout = options.api_key_env, options.timeout_seconds
        self.translator = MediaTranslator(where, self.endpoint.key, variable, timeout, route.section)
        self.translator.what = route.what
        posting = Posting(self.endpoint, route.path)
        self.wire: Wire[T] = Wire(posting, self.kept.pace, self.translator, timeout, route.read)


class Line(Generic[T]):
    """Sends requests; connected at the first, for whichever event loop sends it.

    After an EndpointError nothing more is sent.
    """

    def __init__(self, options: CallOptions, setting: CallSetting, route: Route[T]) -> None:
        self._options = options
        self._setting = setting
        self._route = route
        self._open: _Open[T] | None = None
        self._dead: EndpointError | None = None

    @property
    def translator(self) -> MediaTranslator:
        """What words the failures of the model's calls."""
        return self._opened().translator

    async def send(self, body: Mapping[str, Any] | Parcel) -> T:
        """Send a request, again where another moment may help.

        Raises:
            ChatFailure: this call came to nothing.
            EndpointError: no call can succeed.
        """
        if self._dead is not None:
            raise self._dead
        opened = self._opened()
        content = body if isinstance(body, Parcel) else json.dumps(body, separators=(",", ":")).encode()
        try:
            answer = await opened.wire.send(content, 0.0)
        except EndpointError as exc:
            self._dead = exc
            opened.kept.pace.stop(exc)
            raise
        opened.kept.save()
        return answer

    async def close(self) -> None:
        """Write down what was found out and close the connections; a later request opens others."""
        opened, self._open = self._open, None
        if opened is not None:
            opened.kept.save(at_once=True)
            await opened.endpoint.close()

    def _opened(self) -> _Open[T]:
        if self._open is None:
            self._open = _Open(self._options, self._setting, self._route)
        return self._open
