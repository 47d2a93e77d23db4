"""The review page's server: aiohttp over one :class:`ReviewDesk`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web
from pydantic import ValidationError

from pipeline.adapters.media_types import UNKNOWN
from pipeline.contracts.review import Verdict
from pipeline.execution.review_desk import NotThere, ReviewDesk
from pipeline.execution.review_guard import PAGE, Guard, Handler, Refused, add_headers
from pipeline.values.errors import AnyInstructError, CorpusError
from pipeline.values.ids import encode_json, sha256_hex
from pipeline.work.review_selection import Query

MAX_BODY_BYTES = 64 * 2**10
READERS = 2
"""Threads that read the corpus. Each may hold a few media of a row group, so more would only cost memory."""

_FILES = Path(__file__).with_name("review_page")
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_Answer = TypeVar("_Answer")


class ReviewServer:
    """Answers the page's requests.

    Args:
        desk: Whose reviewer judges.
        guard: Decides which requests are the page's.
    """

    def __init__(self, desk: ReviewDesk, guard: Guard) -> None:
        self.guard = guard
        self._desk = desk
        self._readers = ThreadPoolExecutor(READERS, "review")
        # Read once: nothing that a request names ever becomes a path.
        self._files = {
            path.name: (path.read_bytes(), _TYPES[path.suffix]) for path in _FILES.iterdir() if path.suffix in _TYPES
        }

    def build_app(self) -> web.Application:
        """Return the application with all its routes."""
        app = web.Application(middlewares=[self._answer], client_max_size=MAX_BODY_BYTES)
        app.on_response_prepare.append(add_headers)
        app.on_cleanup.append(self._close)
        app.add_routes(
            [
                web.get(PAGE, self._page),
                web.get("/page/{name}", self._file),
                web.get("/api/corpus", self._corpus),
                web.get("/api/selection", self._selection),
                web.get("/api/dialogue", self._dialogue),
                web.get("/media", self._media),
                web.post("/api/verdicts", self._judge),
            ]
        )
        return app

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check a request, and put what is wrong with it into words."""
        try:
            self.guard.check(request)
            return await handler(request)
        except Refused as exc:
            return _say(exc.status, str(exc))
        except NotThere:
            return _say(HTTPStatus.NOT_FOUND, "the corpus has no such record")
        except ValidationError as exc:
            first = exc.errors(include_url=False)[0]
            return _say(HTTPStatus.BAD_REQUEST, f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}")
        except CorpusError as exc:
            return _say(HTTPStatus.CONFLICT, f"{exc} (if a run has changed the corpus, start the review again)")
        except web.HTTPException as exc:
            return _say(HTTPStatus(exc.status), exc.reason)

    async def _page(self, request: web.Request) -> web.StreamResponse:
        # No redirect to an address without the token: where another page's link has led here, the browser would hold
        # back the cookie from that, too. The page takes the token out of the address itself.
        body, kind = self._files["index.html"]
        response = web.Response(body=body, content_type=kind, charset="utf-8")
        self.guard.give_cookie(request, response)
        return response

    async def _file(self, request: web.Request) -> web.StreamResponse:
        found = self._files.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound
        return web.Response(body=found[0], content_type=found[1], charset="utf-8")

    async def _corpus(self, request: web.Request) -> web.StreamResponse:
        return _json(await self._read(self._desk.describe))

    async def _selection(self, request: web.Request) -> web.StreamResponse:
        query = Query.model_validate(dict(request.query))
        return _json({"ids": await self._read(lambda: self._desk.choose(query))})

    async def _dialogue(self, request: web.Request) -> web.StreamResponse:
        return _json(await self._read(lambda: self._desk.read(request.query.get("id", ""))))

    async def _judge(self, request: web.Request) -> web.StreamResponse:
        verdict = Verdict.model_validate_json(await request.read())
        return _json(await self._read(lambda: self._desk.judge(verdict)))

    async def _media(self, request: web.Request) -> web.StreamResponse:
        about, dialogue, record = (request.query.get(name, "") for name in ("about", "dialogue", "id"))
        data, kind = await self._read(lambda: self._desk.media(about, dialogue, record))
        tag = f'"{sha256_hex(data)}"'
        headers = {"Accept-Ranges": "bytes", "ETag": tag, "Cache-Control": "private, max-age=300"}
        if kind == UNKNOWN:
            headers["Content-Disposition"] = "attachment"
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        return _slice(request, data, kind, headers)

    async def _read(self, work: Callable[[], _Answer]) -> _Answer:
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    async def _close(self, app: web.Application) -> None:
        self._readers.shutdown(cancel_futures=True)


async def listen(app: web.Application, host: str, port: int) -> tuple[web.AppRunner, int]:
    """Serve an application until its runner is cleaned up.

    Returns:
        The runner, and the port, which the system has chosen where 0 was asked for.

    Raises:
        AnyInstructError: nothing can listen there.
    """
    # Without an access log: addresses carry the token.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as exc:
        await runner.cleanup()
        reason = exc.strerror or exc
        raise AnyInstructError(
            f"cannot listen on {host} port {port}: {reason}; name another with --port, or any free one with --port 0"
        ) from exc
    return runner, int(runner.addresses[0][1])


def _slice(request: web.Request, data: bytes, kind: str, headers: dict[str, str]) -> web.Response:
    """Answer with the bytes that a range asks for, or with all."""
    size = len(data)
    if "Range" not in request.headers:
        return web.Response(body=data, content_type=kind, headers=headers)
    try:
        wanted = request.http_range
        first, end, _ = wanted.indices(size)
    except ValueError:
        first, end = 0, 0
    if first >= end:
        headers["Content-Range"] = f"bytes */{size}"
        return web.Response(status=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers=headers)
    headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
    return web.Response(status=HTTPStatus.PARTIAL_CONTENT, body=data[first:end], content_type=kind, headers=headers)


def _say(status: HTTPStatus, message: str) -> web.Response:
    return _json({"error": message}, status)


def _json(value: Any, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(status=status, body=encode_json(value), content_type="application/json", charset="utf-8")
