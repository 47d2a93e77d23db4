"""A client of an endpoint that speaks the OpenAI protocol, opened as a manifest says."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2
import openai

from pipeline.adapters.llm.failures import Translator
from pipeline.values.errors import EndpointError
from pipeline.values.manifest import Writer

NO_KEY = "none"
"""Local servers want no key, and the client insists on one."""


@dataclass(frozen=True)
class Endpoint:
    """An open client; its key comes from the environment and is never shown.

    Attributes:
        client: Retries nothing itself.
        http: What it sends through.
        host: Host and port.
    """

    client: openai.AsyncOpenAI
    http: httpx2.AsyncClient
    host: str
    writer: Writer

    def translator(self, model: str) -> Translator:
        """Return what words the failures of one model's calls."""
        key = os.environ.get(self.writer.api_key_env)
        return Translator(f"{model} at {self.host}", key, self.writer.api_key_env, self.writer.timeout_seconds)


def open_endpoint(writer: Writer, max_connections: int) -> Endpoint:
    """Open a client.

    Raises:
        EndpointError: ``writer.base_url`` is no address.
    """
    _check_address(writer.base_url)
    # The default transport takes twice the CPU a call and 1.3 times as long at 256 in flight.
    limits = httpx2.Limits(max_connections=max_connections)
    http = openai.DefaultAioHttpClient(limits=limits, timeout=writer.timeout_seconds)
    client = openai.AsyncOpenAI(
        api_key=os.environ.get(writer.api_key_env) or NO_KEY,
        base_url=writer.base_url,
        timeout=writer.timeout_seconds,
        max_retries=0,
        http_client=http,
    )
    return Endpoint(client, http, client.base_url.netloc.decode(), writer)


def _check_address(base_url: str | None) -> None:
    """Refuse what is no address, before the client does so in words of its own."""
    if base_url is None:
        return
    advice = "state an address such as http://localhost:8000/v1"
    try:
        parts = urlsplit(base_url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as exc:
        raise EndpointError(f"writer.base_url {base_url!r} cannot be read ({exc}); {advice}") from exc
    if parts.username or parts.password:
        raise EndpointError("writer.base_url holds a user name or password; keep keys in the variable of api_key_env")
    if not is_address or base_url != base_url.strip():
        raise EndpointError(f"writer.base_url {base_url!r} is no http or https address; {advice}")
