"""What an endpoint's errors mean: which another moment may mend, which cost one record, which stop the run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import aiohttp
import openai

from pipeline.values.errors import ChatFailure, EndpointError
from pipeline.values.units import Seconds

RETRIED_STATUS = frozenset({408, 409, 429})
"""Besides 5xx. 400, 401, 403, 404 and 422 say the same however often they are asked."""

REFUSED_STATUS = frozenset({429, 503, 529})
"""Sent away, not failed: too many requests, overloaded (RFC 9110), overloaded (in use, not registered)."""

LONGEST_QUOTE = 300
"""Characters of an endpoint's own words that an error repeats."""

SHORTEST_KEY = 16
"""Characters; keys have 20 and more, and what people give a server that wants none has fewer."""

_CODES = {400: "bad_request", 413: "too_long", 422: "bad_request", 429: "rate_limited"}
_TOO_LONG = re.compile(r"context.{0,20}(length|size|window)|(too|many) (long|tokens)", re.IGNORECASE)


class BadBody(Exception):
    """An endpoint answered 200 with what is no JSON: broken off, most likely."""


def is_passing(exc: BaseException) -> bool:
    """Tell whether another moment may bring another outcome."""
    if isinstance(exc, openai.APIStatusError):
        return not _is_out_of_quota(exc) and (exc.status_code in RETRIED_STATUS or exc.status_code >= 500)
    return isinstance(exc, (openai.APIConnectionError, TimeoutError, BadBody))


def is_refusal(exc: BaseException) -> bool:
    """Tell whether the endpoint sent the call away because it has too much to do; that is no failed try."""
    return isinstance(exc, openai.APIStatusError) and exc.status_code in REFUSED_STATUS and not _is_out_of_quota(exc)


def is_timeout(exc: BaseException) -> bool:
    """Tell a call over its time-out from a broken connection, which the transport calls a time-out, too."""
    return isinstance(exc, (openai.APITimeoutError, TimeoutError)) and _broken_connection(exc) is None


class Translator:
    """Turns the client's exceptions into ours, in words that a person can act on.

    Args:
        where: Model and host, for people.
        key: Never repeated; None for none.
        key_variable: The environment variable that the key came from.
        timeout: What a call was given.
        section: Of the manifest, that says how the endpoint is reached.
    """

    def __init__(
        self, where: str, key: str | None, key_variable: str, timeout: Seconds, section: str = "writer"
    ) -> None:
        self.where = where
        self._key = key
        self._key_variable = key_variable
        self._timeout = timeout
        self._section = section

    def translate(self, exc: Exception) -> ChatFailure | EndpointError:
        """Return what to raise instead; without a cause, for a traceback would show the request and with it the key."""
        if isinstance(exc, openai.APIStatusError):
            return self._translate_status(exc)
        if is_timeout(exc):
            return ChatFailure("timeout", f"{self.where}: no answer within {self._timeout:g} s")
        if isinstance(exc, openai.APIConnectionError):
            broken = _broken_connection(exc)
            words = self.quote(_say_broken(broken) if broken else str(exc.__cause__ or exc))
            if isinstance(broken, aiohttp.ClientConnectorError):
                check = f"check {self._section}.base_url and the network"
                return EndpointError(f"{self.where}: cannot be reached: {words}; {check}")
            return ChatFailure("server_error", f"{self.where}: broke the connection off: {words}")
        return ChatFailure("bad_answer", f"{self.where}: what came back is no chat completion: {self.quote(str(exc))}")

    def quote(self, text: str) -> str:
        """Return an endpoint's words without the key, which some echo, and not at any length."""
        return self.clean(text)[:LONGEST_QUOTE]

    def clean(self, text: str) -> str:
        """Return an endpoint's words without the key."""
        return text.replace(self._key, "[key]") if self._key else text

    def scrub(self, text: str) -> str:
        """Return what an endpoint answered without the key, which would be published with it.

        Short stand-ins for a key, such as ``none`` or ``EMPTY``, are words like others and stay.
        """
        return self.clean(text) if self._key and len(self._key) >= SHORTEST_KEY else text

    def _translate_status(self, exc: openai.APIStatusError) -> ChatFailure | EndpointError:
        says = f"{self.where}: {exc.status_code}: {self.quote(exc.message)}"
        if _is_out_of_quota(exc):
            return EndpointError(f"{says}; the quota is used up, raise it and run again")
        if exc.status_code in (401, 403):
            return EndpointError(f"{says}; check ${self._key_variable}")
        if exc.status_code == 404:
            return EndpointError(f"{says}; check {self._section}.model and {self._section}.base_url")
        if exc.status_code == 400 and exc.code == "content_filter":
            return ChatFailure("content_filter", says)
        if exc.status_code == 400 and (exc.code == "context_length_exceeded" or _TOO_LONG.search(exc.message)):
            return ChatFailure("too_long", says)
        return ChatFailure(_CODES.get(exc.status_code, "server_error"), says)


def _is_out_of_quota(exc: openai.APIStatusError) -> bool:
    return exc.status_code == 402 or exc.code == "insufficient_quota"


def _broken_connection(exc: BaseException) -> BaseException | None:
    """What went wrong with the connection, among an exception's causes; a time-out does not count."""
    kinds = (OSError, aiohttp.ClientConnectionError)
    return next((c for c in _causes(exc) if isinstance(c, kinds) and not isinstance(c, TimeoutError)), None)


def _say_broken(exc: BaseException) -> str:
    """Say in words for people what went wrong with a connection; the transport's own are for its makers."""
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        why = getattr(exc.certificate_error, "verify_message", None) or type(exc.certificate_error).__name__
        return f"its certificate is not accepted ({why})"
    if isinstance(exc, aiohttp.ClientConnectorSSLError):
        return "it does not speak TLS as https wants it"
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        return f"there is no host called {exc.host}"
    if isinstance(exc, aiohttp.ServerDisconnectedError):
        return "the server closed the connection"
    number = exc.errno if isinstance(exc, OSError) else None
    if number is not None and number > 0:
        return os.strerror(number).lower()
    return "no connection comes about" if isinstance(exc, aiohttp.ClientConnectorError) else str(exc)


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__
