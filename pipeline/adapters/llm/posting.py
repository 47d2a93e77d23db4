"""Bodies to one path of an endpoint, over connections of their own, with headers and address built once.

The client builds both anew for every call, and its requests and responses on the way to the transport and back take
as much CPU as the transport. Errors are those that it would raise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import httpx2
import openai
from yarl import URL

from pipeline.adapters.llm.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Reply:
    """What an endpoint answered.

    Attributes:
        headers: Their names in any case.
        content: The whole body, uncompressed.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes


class Posting:
    """Sends bodies to a path.

    Args:
        path: After the endpoint's address.
    """

    def __init__(self, endpoint: Endpoint, path: str) -> None:
        self._endpoint = endpoint
        self._address = f"{str(endpoint.client.base_url).rstrip('/')}{path}"
        self._url = URL(self._address)

    async def send(self, content: bytes) -> Reply:
        """Send a body and read the whole answer, however long it takes.

        Raises:
            openai.APIStatusError: any status from 400 on.
            openai.APIConnectionError: no connection, or a broken one.
        """
        try:
            async with self._endpoint.session().post(self._url, data=aiohttp.BytesPayload(content)) as response:
                reply = Reply(response.status, response.headers, await response.read())
        except (aiohttp.ClientError, OSError) as exc:
            raise openai.APIConnectionError(request=httpx2.Request("POST", self._address)) from exc
        if reply.status >= 400:
            raise status_error(reply, self._address)
        return reply


def status_error(reply: Reply, address: str) -> openai.APIStatusError:
    """Return the client's exception for an answer, with what the endpoint says in its body."""
    headers = {name: value for name, value in reply.headers.items() if name.lower() not in _OF_THE_WIRE}
    request = httpx2.Request("POST", address)
    response = httpx2.Response(reply.status, headers=headers, content=reply.content, request=request)
    try:
        body = response.json()
    except ValueError:
        body = None
    error = body.get("error", body) if isinstance(body, dict) else body
    message = error.get("message") if isinstance(error, dict) else None
    words = str(message or response.text or f"status {reply.status}")
    return openai.APIStatusError(words, response=response, body=error)


_OF_THE_WIRE = frozenset({"content-encoding", "content-length", "transfer-encoding"})
"""They speak of the bytes that came, which are unpacked by now."""
