"""A review server on loopback, and what a browser sends it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from pipeline.execution.review_desk import ReviewDesk
from pipeline.execution.review_guard import Guard
from pipeline.execution.review_server import ReviewServer
from tests.support.serving import serving_app


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Visitor:
    """Sends what a browser with the page open would; keyword arguments replace headers, None leaves one out."""

    port: int
    token: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """What the command prints."""
        return f"http://{self.host}/?token={self.token}"

    def enter(self) -> Answer:
        """Open the address with the token, and keep the cookie."""
        answer = self.send("GET", f"/?token={self.token}")
        self.headers["Cookie"] = answer.headers["Set-Cookie"].partition(";")[0]
        return answer

    def get(self, path: str, query: dict[str, str] | None = None, **headers: str | None) -> Answer:
        return self.send("GET", f"{path}?{urlencode(query)}" if query else path, None, **headers)

    def judge(self, verdict: Any, **headers: str | None) -> Answer:
        body = verdict if isinstance(verdict, bytes) else json.dumps(verdict).encode()
        usual: dict[str, Any] = {
            "Content-Type": "application/json",
            "Origin": f"http://{self.host}",
            "Sec-Fetch-Site": "same-origin",
        }
        return self.send("POST", "/api/verdicts", body, **(usual | headers))

    def send(self, method: str, path: str, body: bytes | None = None, /, **headers: str | None) -> Answer:
        """Send a request as it is: no client tidies up its path or its headers."""
        sent = {"Host": self.host, **self.headers, **headers}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                if value is not None:
                    connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()


@contextmanager
def reviewing(root: Path, reviewer: str) -> Iterator[Visitor]:
    """Serve a corpus to one reviewer until the block ends."""
    guard = Guard("127.0.0.1")
    with serving_app(ReviewServer(ReviewDesk(root, reviewer), guard).build_app()) as address:
        yield Visitor(urlsplit(address).port or 0, guard.token)
