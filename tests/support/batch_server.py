"""The Batch API on loopback: files in, batches that end when a test says so, files out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.support.fault_server import completion_body
from tests.support.serving import serving_app

Line = dict[str, Any]


def answered(line: Line) -> Line:
    """The output line of a request that went well."""
    said = json.dumps({"text": f"about {line['custom_id']}"})
    return {"custom_id": line["custom_id"], "response": {"status_code": 200, "body": completion_body(said)}}


def failed(status: int, code: str = "some_code") -> Callable[[Line], Line]:
    """The output line of a request that went wrong."""

    def fail(line: Line) -> Line:
        body = {"error": {"message": "no", "type": "t", "code": code}}
        return {"custom_id": line["custom_id"], "response": {"status_code": status, "body": body}}

    return fail


def missing(line: Line) -> None:
    """A request that a batch ended without."""


@dataclass
class Taken:
    """A batch that was handed in."""

    id: str
    metadata: dict[str, str]
    lines: list[Line]
    polls: int = 0
    status: str = "in_progress"
    output: bytes = b""
    errors: list[dict[str, str]] = field(default_factory=list)


@dataclass
class BatchServer:
    """Ends each batch at its second poll.

    Attributes:
        outcomes: What becomes of a request; the n-th batch is under the n-th rule, the last rule goes on.
        statuses: What the n-th batch ends as.
        hides_reply: Batches whose creation is answered by a broken connection.
    """

    outcomes: list[Callable[[Line], Line | None]] = field(default_factory=lambda: [answered])
    statuses: list[str] = field(default_factory=lambda: ["completed"])
    errors: list[dict[str, str]] = field(default_factory=list)
    polls_to_end: int = 2
    hides_reply: bool = False
    batches: list[Taken] = field(default_factory=list)
    _files: dict[str, bytes] = field(default_factory=dict)

    async def upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        file = form["file"]
        assert isinstance(file, web.FileField)
        assert form["purpose"] == "batch"
        name = f"file-{len(self._files)}"
        self._files[name] = file.file.read()
        return web.json_response({"id": name, "object": "file", "bytes": 1, "created_at": 0, "filename": "x"})

    async def content(self, request: web.Request) -> web.Response:
        return web.Response(body=self._files[request.match_info["id"]])

    async def create(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        lines = [json.loads(line) for line in self._files[body["input_file_id"]].splitlines()]
        self.batches.append(Taken(f"batch-{len(self.batches)}", body["metadata"], lines))
        if self.hides_reply:
            self.hides_reply = False
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(self._describe(self.batches[-1]))

    async def retrieve(self, request: web.Request) -> web.Response:
        index, batch = next((i, b) for i, b in enumerate(self.batches) if b.id == request.match_info["id"])
        batch.polls += 1
        if batch.polls >= self.polls_to_end and batch.status == "in_progress":
            rule = self.outcomes[min(index, len(self.outcomes) - 1)]
            batch.status = self.statuses[min(index, len(self.statuses) - 1)]
            batch.errors = self.errors if batch.status == "failed" else []
            outcomes = [outcome for line in batch.lines if (outcome := rule(line)) is not None]
            self._files[f"out-{batch.id}"] = b"\n".join(json.dumps(outcome).encode() for outcome in outcomes)
        return web.json_response(self._describe(batch))

    async def list(self, request: web.Request) -> web.Response:
        data = [self._describe(batch) for batch in reversed(self.batches)]
        return web.json_response({"object": "list", "data": data, "has_more": False})

    def _describe(self, batch: Taken) -> dict[str, Any]:
        has_output = f"out-{batch.id}" in self._files and batch.status != "failed"
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "created_at": 0,
            "input_file_id": "file",
            "status": batch.status,
            "metadata": batch.metadata,
            "output_file_id": f"out-{batch.id}" if has_output else None,
            "errors": {"object": "list", "data": batch.errors} if batch.errors else None,
        }

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**28)
        app.router.add_post("/v1/files", self.upload)
        app.router.add_get("/v1/files/{id}/content", self.content)
        app.router.add_post("/v1/batches", self.create)
        app.router.add_get("/v1/batches", self.list)
        app.router.add_get("/v1/batches/{id}", self.retrieve)
        return app


@contextmanager
def serving_batches(server: BatchServer) -> Iterator[str]:
    """Serve on a free port; yield the base URL."""
    with serving_app(server.app()) as address:
        yield f"{address}/v1"
