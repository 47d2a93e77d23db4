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
from pipeline.values.errors import ChatFailure
from pipeline.values.units import Bytes

MAX_BYTES: Bytes = 2**28
"""Of a body: well above a picture of 64 MiB as base64, or the answers of a batch of 50,000."""


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


@dataclass(frozen=True, slots=True)
class Parcel:
    """A body that is no JSON, for another path of the same endpoint.

    Attributes:
        path: After the endpoint's address.
        content_type: With its boundary.
    """

    path: str
    content_type: str
    content: bytes


def pack_form(path: str, fields: Mapping[str, str], file: tuple[str, str, bytes, str]) -> Parcel:
    """Pack a form with one file, as ``multipart/form-data`` (RFC 7578).

    Args:
        file: Its field, its name, its bytes and their content type.
    """
    field, name, data, kind = file
    request = httpx2.Request("POST", "http://localhost", data=dict(fields), files={field: (name, data, kind)})
    return Parcel(path, request.headers["Content-Type"], request.read())


class Posting:
    """Sends bodies to a path.

    Args:
        path: After the endpoint's address.
    """

    def __init__(self, endpoint: Endpoint, path: str) -> None:
        self._endpoint = endpoint
        self._base = str(endpoint.client.base_url).rstrip("/")
        self._address = f"{self._base}{path}"
        self._url = URL(self._address)

    async def send(self, content: bytes | Parcel) -> Reply:
        """Send a body and read the whole answer, however long it takes.

        Raises:
            openai.APIStatusError: any status from 400 on.
            openai.APIConnectionError: no connection, or a broken one.
            ChatFailure: ``bad_answer``: more than :data:`MAX_BYTES` came.
        """
        url, address, headers = self._url, self._address, None
        if isinstance(content, Parcel):
            address, headers = f"{self._base}{content.path}", {"Content-Type": content.content_type}
            url, content = URL(address), content.content
        try:
            sending = self._endpoint.session().post(url, data=aiohttp.BytesPayload(content), headers=headers)
            async with sending as response:
                reply = Reply(response.status, response.headers, await _read(response))
        except (aiohttp.ClientError, OSError) as exc:
            raise openai.APIConnectionError(request=httpx2.Request("POST", address)) from exc
        if reply.status >= 400:
            raise status_error(reply, address)
        return reply


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read a body, unpacked, of bounded size: a few kilobytes may unpack to gigabytes."""
    blocks: list[bytes] = []
    num_bytes = 0
    async for block in response.content.iter_any():
        num_bytes += len(block)
        if num_bytes > MAX_BYTES:
            response.close()
            raise ChatFailure("bad_answer", f"{response.host}: answered with more than {MAX_BYTES // 2**20} MiB")
        blocks.append(block)
    return blocks[0] if len(blocks) == 1 else b"".join(blocks)


def status_error(reply: Reply, address: str) -> openai.APIStatusError:
    """Return the client's exception for an answer, with what the endpoint says in its body."""
    headers = {name: value for name, value in reply.headers.items() if name.lower() not in _OF_THE_WIRE}
    request = httpx2.Request("POST", address)
    response = httpx2.Response(reply.status, headers=headers, content=reply.content, request=request)
    try:
        body = response.json()
    except (ValueError, RecursionError):
        body = None
    error = body.get("error", body) if isinstance(body, dict) else body
    message = error.get("message") if isinstance(error, dict) else None
    words = str(message or response.text or f"status {reply.status}")
    return openai.APIStatusError(words, response=response, body=error)


_OF_THE_WIRE = frozenset({"content-encoding", "content-length", "transfer-encoding"})
"""They speak of the bytes that came, which are unpacked by now."""
