"""One model of an endpoint: bodies go out when the pace lets them, again where that may help, and come back read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Generic, NoReturn, TypeVar

import openai
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from pipeline.adapters.llm.failures import BadBody, Translator, is_passing, is_refusal, is_timeout
from pipeline.adapters.llm.pace import Pace
from pipeline.adapters.llm.posting import Parcel, Posting, Reply
from pipeline.adapters.llm.rates import read_quota, read_retry_after
from pipeline.values.errors import EndpointError
from pipeline.values.units import Seconds

MAX_TRIES = 6
"""Tries of one call through connection errors, time-outs, 408, 409 and 5xx."""

MAX_LOST = 20
"""Calls in a row that were given up after all their tries: the endpoint is down, and going on would burn records."""

MAX_BUSY_SECONDS: Seconds = 900.0
"""Being sent away is no failed try: it says to come back, and a call comes back for this long. An endpoint that
answers nobody for so long stops the run."""

MAX_WAIT_SECONDS: Seconds = 60.0
"""Longest wait between two tries where the endpoint names none."""


T = TypeVar("T")

Read = Callable[[Reply, Translator], tuple[T, int]]
"""Returns what an answer under 200 holds, and the tokens that it took. Raises BadBody where asking again may help, and
ChatFailure where it is no answer."""

FAILED_TRY = (openai.OpenAIError, TimeoutError, BadBody)
"""How a try fails."""


class _Call:
    """A body on its way through its tries."""

    __slots__ = ("content", "failure", "num_tries", "tokens")

    def __init__(self, content: bytes | Parcel, tokens: float) -> None:
        self.content = content
        self.tokens = tokens
        self.num_tries = 0
        self.failure: Exception | None = None


class Wire(Generic[T]):
    """Sends requests for one model.

    Args:
        posting: Retries nothing itself.
        timeout: Of each try.
    """

    def __init__(self, posting: Posting, pace: Pace, translator: Translator, timeout: Seconds, read: Read[T]) -> None:
        self._posting = posting
        self._translator = translator
        self._timeout = timeout
        self._read = read
        self.pace = pace
        self._num_lost = 0

    async def send(self, content: bytes | Parcel, tokens: float) -> T:
        """Send a body, again where another moment may help, and return what came back.

        Args:
            tokens: What the call may come to.

        Raises:
            ChatFailure: this call came to nothing.
            EndpointError: no call can succeed.
        """
        call = _Call(content, tokens)
        try:
            return await self._try(call)
        except FAILED_TRY as exc:
            if not is_passing(exc):
                self._give_up(exc)
            call.failure = exc
        # Only now, since setting it up takes a seventh of the CPU of a call that needs no second try.
        retrying = AsyncRetrying(stop=_Patience(), wait=_wait, retry=retry_if_exception(is_passing), reraise=True)
        try:
            body: T = await retrying(self._try_again, call)
        except FAILED_TRY as exc:
            self._give_up(exc)
        return body

    async def _try_again(self, call: _Call) -> T:
        """Fail as the first try has, then try."""
        failure, call.failure = call.failure, None
        if failure is not None:
            raise failure
        return await self._try(call)

    async def _try(self, call: _Call) -> T:
        turn = await self.pace.enter(call.tokens, is_retry=call.num_tries > 0)
        call.num_tries += 1
        try:
            # Over the whole of it: an endpoint that drips never meets a time-out of each read.
            async with asyncio.timeout(self._timeout):
                response = await self._posting.send(call.content)
            body, used = self._read(response, self._translator)
        except openai.APIStatusError as exc:
            if is_refusal(exc):
                self.pace.refused(turn, read_retry_after(exc.response.headers))
            else:
                error = self._translator.translate(exc)
                if isinstance(error, EndpointError) and not is_passing(exc):
                    # Before the turn goes back, for it would be the next call's.
                    self.pace.stop(error)
                self.pace.failed(turn)
            raise
        except BaseException as exc:
            self.pace.failed(turn, is_timeout=is_timeout(exc))
            raise
        self._hear(response.headers)
        self.pace.served(turn, used)
        self._num_lost = 0
        return body

    def _hear(self, headers: Mapping[str, str]) -> None:
        # Most endpoints send none.
        if "x-ratelimit-remaining-requests" in headers or "x-ratelimit-remaining-tokens" in headers:
            self.pace.hear(read_quota(headers, "requests"), read_quota(headers, "tokens"))

    def _give_up(self, exc: Exception) -> NoReturn:
        if is_refusal(exc) and self.pace.refused_for >= MAX_BUSY_SECONDS:
            raise EndpointError(
                f"{self._translator.where}: every call was sent away for {MAX_BUSY_SECONDS / 60:g} minutes "
                f"({self._translator.quote(str(exc))}); run again later to go on"
            ) from None
        # No cause: a traceback would show the request, and with it the key.
        error = self._translator.translate(exc)
        if is_passing(exc) and not is_refusal(exc):
            self._num_lost += 1
            if self._num_lost >= MAX_LOST:
                raise EndpointError(f"{error}; so ended {MAX_LOST} calls in a row, mend it and run again") from None
        raise error from None


class _Patience:
    """Says when to give a call up: after so many failed tries, or so long of being sent away."""

    def __init__(self) -> None:
        self._num_failed = 0

    def __call__(self, state: RetryCallState) -> bool:
        exc = state.outcome.exception() if state.outcome else None
        if exc is not None and is_refusal(exc):
            return state.idle_for >= MAX_BUSY_SECONDS
        self._num_failed += 1
        return self._num_failed >= MAX_TRIES


def _wait(state: RetryCallState) -> Seconds:
    """Wait as long as the endpoint says, else exponentially with jitter."""
    exc = state.outcome.exception() if state.outcome else None
    said = read_retry_after(exc.response.headers) if isinstance(exc, openai.APIStatusError) else None
    return wait_random_exponential(multiplier=0.5, max=MAX_WAIT_SECONDS)(state) if said is None else said
