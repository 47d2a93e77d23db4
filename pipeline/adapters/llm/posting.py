"""Bodies to one path of an endpoint, over the client's own connections, with headers and address built once.

The client builds both anew for every call, a quarter of what a call costs in CPU. Errors are those that it would raise.
"""

from __future__ import annotations

import httpx2
import openai


class Posting:
    """Sends bodies to a path.

    Args:
        client: Gives address, headers and key.
        http: The transport that the client was made with; proxies and redirects are its own.
        path: After the client's base URL.
    """

    def __init__(self, client: openai.AsyncOpenAI, http: httpx2.AsyncClient, path: str) -> None:
        self._http = http
        self._url = httpx2.URL(f"{str(client.base_url).rstrip('/')}{path}")
        stated = {**client.default_headers, **client.auth_headers}
        self._headers = httpx2.Headers({name: value for name, value in stated.items() if isinstance(value, str)})

    async def send(self, content: bytes) -> httpx2.Response:
        """Send a body and read the whole answer.

        Raises:
            openai.APIStatusError: any status from 400 on.
            openai.APIConnectionError: no connection, or a broken one; a time-out is its subclass.
        """
        request = httpx2.Request("POST", self._url, headers=self._headers, content=content)
        try:
            response = await self._http.send(request)
        except httpx2.TimeoutException as exc:
            raise openai.APITimeoutError(request=request) from exc
        except httpx2.TransportError as exc:
            raise openai.APIConnectionError(request=request) from exc
        if response.status_code >= 400:
            raise status_error(response)
        return response


def status_error(response: httpx2.Response) -> openai.APIStatusError:
    """Return the client's exception for an answer, with what the endpoint says in its body."""
    try:
        body = response.json()
    except ValueError:
        body = None
    error = body.get("error", body) if isinstance(body, dict) else body
    message = error.get("message") if isinstance(error, dict) else None
    words = str(message or response.text or f"status {response.status_code}")
    return openai.APIStatusError(words, response=response, body=error)
