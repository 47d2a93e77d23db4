"""An object store of a process of its own, which keeps a log and fails when told to: moto behind a thin layer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

BUCKET = "data"
KEY, SECRET = "AKIAPLANTEDPLANTED12", "planted-secret-of-tests"
SIGNED = {"Authorization": f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/us-east-1/s3/aws4_request"}

Answer = Callable[..., Any]


@dataclass
class ObjectServer:
    """How tests speak to the server beside the protocol.

    Attributes:
        url: Endpoint of the protocol.
    """

    url: str

    def fail(self, *rules: dict[str, Any]) -> None:
        """Set what fails from now on, in place of what was set: see :class:`Faults`."""
        self._ask("PUT", "/__faults__", json.dumps(rules).encode())

    def take_log(self) -> list[tuple[str, str]]:
        """Return and forget the methods and paths of requests since the last call, a failed one too."""
        return [(method, path) for method, path in json.loads(self._ask("GET", "/__log__"))]

    def put(self, name: str, data: bytes) -> None:
        """Put an object up under a name as it stands, however odd."""
        self._ask("PUT", f"/{BUCKET}/{name}", data)

    def environment(self) -> dict[str, str]:
        """Variables by which a program finds the server."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }

    def _ask(self, method: str, path: str, data: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"{self.url}{path}", data=data, method=method, headers=SIGNED)
        with urllib.request.urlopen(request, timeout=60) as answer:
            body: bytes = answer.read()
        return body


@contextmanager
def running_object_server() -> Iterator[ObjectServer]:
    """Start a server with one empty bucket; it ends with the block."""
    command = [sys.executable, "-m", "tests.support.object_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ}) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            server = ObjectServer(f"http://127.0.0.1:{port}")
            server._ask("PUT", f"/{BUCKET}")
            yield server
        finally:
            process.kill()


class Faults:
    """Answers some requests in the store's place.

    A rule has ``status`` and ``code``, or ``hang``, which answers never; ``method`` and ``contains`` say which requests
    are meant, ``after`` how many of them pass first, ``times`` how many fail.
    """

    def __init__(self, app: Answer) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._rules: list[dict[str, Any]] = []
        self._log: list[tuple[str, str]] = []

    def __call__(self, environ: dict[str, Any], start: Answer) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if path == "/__faults__":
            with self._lock:
                self._rules = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            start("200 OK", [])
            return [b""]
        if path == "/__log__":
            with self._lock:
                log, self._log = self._log, []
            start("200 OK", [])
            return [json.dumps(log).encode()]
        rule = self._find(method, path)
        if rule is None:
            answer: Iterable[bytes] = self._app(environ, start)
            return answer
        if rule.get("hang"):
            threading.Event().wait()
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start(f"{rule['status']} Failed", [("Content-Type", "application/xml")])
        # As stores do, it names the key in its answer.
        return [f"<Error><Code>{rule['code']}</Code><AWSAccessKeyId>{KEY}</AWSAccessKeyId></Error>".encode()]

    def _find(self, method: str, path: str) -> dict[str, Any] | None:
        with self._lock:
            self._log.append((method, path))
            for rule in self._rules:
                if method == rule.get("method", method) and rule.get("contains", "") in path:
                    if rule.get("after", 0):
                        rule["after"] -= 1
                    elif rule.get("times", 1):
                        rule["times"] = rule.get("times", 1) - 1
                        return rule
        return None


def main() -> None:
    """Serve until killed; the port is the first line of standard output."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    app = Faults(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
