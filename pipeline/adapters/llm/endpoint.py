"""A client of an endpoint that speaks the OpenAI protocol, opened as a manifest says."""

from __future__ import annotations

import os
from typing import Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx2
import openai

from pipeline.adapters.llm.failures import Translator
from pipeline.values.addresses import check_address
from pipeline.values.errors import EndpointError
from pipeline.values.units import Seconds

NO_KEY = "none"
"""Local servers want no key, and the client insists on one."""

KEPT_SECONDS: Seconds = 5.0
"""An idle connection is closed after so long, before most servers do so while a call is on its way to them."""


class Reached(Protocol):
    """How a section of a manifest says that its endpoint is reached."""

    @property
    def base_url(self) -> str | None:
        """The address; None for OpenAI's own."""
        ...

    @property
    def api_key_env(self) -> str:
        """Environment variable that holds the key."""
        ...

    @property
    def timeout_seconds(self) -> Seconds:
        """Of each try."""
        ...


class Endpoint:
    """An open client; its key comes from the environment and is never shown.

    Args:
        address: None for OpenAI's own.
        section: Of the manifest, that says how it is reached.

    Attributes:
        client: Retries nothing itself.
        host: Host and port.
    """

    def __init__(self, reached: Reached, address: str | None, max_connections: int, section: str) -> None:
        self._reached = reached
        self._section = section
        self._max_connections = max_connections
        self._trust = httpx2.create_ssl_context()
        self._session: aiohttp.ClientSession | None = None
        # The default transport takes twice the CPU a call and 1.3 times as long at 256 in flight.
        limits = httpx2.Limits(max_connections=max_connections)
        http = openai.DefaultAioHttpClient(limits=limits, timeout=reached.timeout_seconds, verify=self._trust)
        self.client = openai.AsyncOpenAI(
            api_key=os.environ.get(reached.api_key_env) or NO_KEY,
            base_url=address,
            timeout=reached.timeout_seconds,
            max_retries=0,
            http_client=http,
        )
        self.host = self.client.base_url.netloc.decode()

    @property
    def key(self) -> str | None:
        """The key; None where there is none."""
        return os.environ.get(self._reached.api_key_env)

    def translator(self, model: str) -> Translator:
        """Return what words the failures of one model's calls."""
        reached = self._reached
        return Translator(
            f"{model} at {self.host}", self.key, reached.api_key_env, reached.timeout_seconds, self._section
        )

    def session(self) -> aiohttp.ClientSession:
        """Return connections that bodies go over directly, with the client's own headers; opened for the running loop.

        They know no time-out: who sends over them bounds the whole call.
        """
        if self._session is None:
            stated = {**self.client.default_headers, **self.client.auth_headers}
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._max_connections, ssl=self._trust, keepalive_timeout=KEPT_SECONDS
                ),
                headers={
                    name: value
                    for name, value in stated.items()
                    # Statistics about this machine, that no endpoint needs and every call would carry.
                    if isinstance(value, str) and not name.lower().startswith("x-stainless-")
                },
                timeout=aiohttp.ClientTimeout(),
                cookie_jar=aiohttp.DummyCookieJar(),
                proxy=find_proxy(str(self.client.base_url)),
            )
        return self._session

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
        await self.client.close()


def open_endpoint(reached: Reached, max_connections: int, section: str = "writer") -> Endpoint:
    """Open a client.

    Args:
        section: Of the manifest, that says how the endpoint is reached; errors name it.

    Raises:
        EndpointError: its ``base_url`` is no address.
    """
    try:
        # Before the client does so in words of its own.
        address = None if reached.base_url is None else check_address(reached.base_url)
    except ValueError as exc:
        raise EndpointError(f"{section}.base_url: {exc}") from exc
    return Endpoint(reached, address, max_connections, section)


def find_proxy(address: str) -> str | None:
    """Return the proxy that the environment names for an address, after HTTPS_PROXY and its kin.

    Raises:
        EndpointError: it is of another kind than http and https.
    """
    parts = urlsplit(address)
    if proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy is None:
        return None
    kind, separator, _ = proxy.partition("://")
    if separator and kind.lower() not in ("http", "https"):
        raise EndpointError(
            f"the environment names a {kind[:20]} proxy for {parts.hostname}, and only http and https proxies can be "
            "used: state one in HTTPS_PROXY, or the host in NO_PROXY"
        )
    return proxy if separator else f"http://{proxy}"
