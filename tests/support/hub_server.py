"""A stand-in of the hub's API for dataset repositories with plain LFS: the few routes that publishing uses.

Branches are plain folders below ``root/<owner>/<name>/<branch>``, so whatever reads a local dataset reads them.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support.serving import serving_app

TOKEN = "hf_stand_in_only"


@dataclass
class StandInHub:
    """What the stand-in holds and is told to do wrong.

    Attributes:
        private: Repositories by name, and whether each is private.
        stored: SHA-256 of every content that came in whole, in order, as often as it came.
        commits: Paths that each commit touched.
        faults: Statuses that answer the next contents instead of storing them.
        hold_after: Contents beyond so many wait until it is None again, and are then lost.
    """

    root: Path
    address: str = ""
    private: dict[str, bool] = field(default_factory=dict)
    stored: list[str] = field(default_factory=list)
    commits: list[list[str]] = field(default_factory=list)
    faults: list[int] = field(default_factory=list)
    hold_after: int | None = None
    num_held: int = 0

    def branch(self, repo: str, name: str = "main") -> Path:
        return self.root / repo / name

    def tree(self, folder: Path) -> list[dict[str, Any]]:
        listed = []
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            data = path.read_bytes()
            entry: dict[str, Any] = {"type": "file", "path": path.relative_to(folder).as_posix(), "size": len(data)}
            entry["oid"] = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            if path.suffix == ".parquet":
                entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
            listed.append(entry)
        return listed

    def commit(self, branch: Path, lines: list[dict[str, Any]]) -> None:
        touched = []
        for line in lines:
            if line["key"] == "header":
                continue
            value = line["value"]
            target = branch / value["path"]
            touched.append(value["path"])
            if line["key"] == "deletedFile":
                target.unlink()
                continue
            is_lfs = line["key"] == "lfsFile"
            data = (self.root / "lfs" / value["oid"]).read_bytes() if is_lfs else base64.b64decode(value["content"])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        self.commits.append(touched)


def _say(status: int, code: str) -> web.Response:
    return web.json_response({"error": code}, status=status, headers={"X-Error-Code": code, "X-Error-Message": code})


class _Routes:
    def __init__(self, hub: StandInHub) -> None:
        self._hub = hub

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**30, middlewares=[self._check_token])
        repo = "{repo:[^/]+/[^/]+}"
        app.add_routes(
            [
                web.get(f"/api/datasets/{repo}", self._info),
                web.get(f"/api/datasets/{repo}/tree/{{branch}}", self._tree),
                web.post("/api/repos/create", self._create),
                web.post("/api/validate-yaml", self._validate),
                web.post(f"/api/datasets/{repo}/branch/{{branch}}", self._make_branch),
                web.post(f"/api/datasets/{repo}/preupload/{{branch}}", self._preupload),
                web.post(f"/api/datasets/{repo}/commit/{{branch}}", self._commit),
                web.post("/datasets/{repo:[^/]+/[^/]+}.git/info/lfs/objects/batch", self._batch),
                web.put("/contents/{oid}", self._store),
            ]
        )
        return app

    @web.middleware
    async def _check_token(self, request: web.Request, handler: Any) -> web.StreamResponse:
        # The addresses that contents go to are signed on the real hub, and take no token.
        is_content = request.path.startswith("/contents/")
        if not is_content and request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _say(401, "BadToken")
        repo = request.match_info.get("repo")
        if repo is not None and repo not in self._hub.private:
            return _say(404, "RepoNotFound")
        answer: web.StreamResponse = await handler(request)
        return answer

    def _branch(self, request: web.Request) -> Path:
        return self._hub.branch(request.match_info["repo"], request.match_info["branch"])

    async def _info(self, request: web.Request) -> web.Response:
        repo = request.match_info["repo"]
        return web.json_response({"id": repo, "private": self._hub.private[repo], "sha": "0" * 40})

    async def _tree(self, request: web.Request) -> web.Response:
        folder = self._branch(request)
        return web.json_response(self._hub.tree(folder)) if folder.is_dir() else _say(404, "RevisionNotFound")

    async def _create(self, request: web.Request) -> web.Response:
        asked = await request.json()
        repo = f"{asked['organization']}/{asked['name']}"
        if repo in self._hub.private:
            return _say(409, "Exists")
        if asked["organization"] != "me":
            return _say(403, "Forbidden")
        self._hub.private[repo] = asked.get("visibility") == "private" or bool(asked.get("private"))
        self._hub.branch(repo).mkdir(parents=True)
        return web.json_response({"url": f"{self._hub.address}/datasets/{repo}"})

    async def _validate(self, request: web.Request) -> web.Response:
        return web.json_response({"errors": [], "warnings": []})

    async def _make_branch(self, request: web.Request) -> web.Response:
        folder = self._branch(request)
        if folder.is_dir():
            return _say(409, "Exists")
        folder.mkdir()
        return web.json_response({})

    async def _preupload(self, request: web.Request) -> web.Response:
        files = (await request.json())["files"]
        modes = {True: "lfs", False: "regular"}
        return web.json_response(
            {
                "files": [
                    {"path": f["path"], "uploadMode": modes[f["path"].endswith(".parquet")], "shouldIgnore": False}
                    for f in files
                ]
            }
        )

    async def _batch(self, request: web.Request) -> web.Response:
        objects = []
        for asked in (await request.json())["objects"]:
            entry = dict(asked)
            if not (self._hub.root / "lfs" / asked["oid"]).exists():
                entry["actions"] = {"upload": {"href": f"{self._hub.address}/contents/{asked['oid']}"}}
            objects.append(entry)
        return web.json_response({"transfer": "basic", "objects": objects})

    async def _store(self, request: web.Request) -> web.Response:
        hub = self._hub
        data = await request.read()
        if hub.faults:
            return _say(hub.faults.pop(0), "Fault")
        if hub.hold_after is not None and len(hub.stored) >= hub.hold_after:
            hub.num_held += 1
            while hub.hold_after is not None:
                await asyncio.sleep(0.02)
            return _say(500, "Held")
        oid = hashlib.sha256(data).hexdigest()
        if oid != request.match_info["oid"]:
            return _say(400, "WrongContent")
        (hub.root / "lfs").mkdir(exist_ok=True)
        (hub.root / "lfs" / oid).write_bytes(data)
        hub.stored.append(oid)
        return web.json_response({})

    async def _commit(self, request: web.Request) -> web.Response:
        lines = [json.loads(line) for line in (await request.text()).splitlines()]
        self._hub.commit(self._branch(request), lines)
        url = f"{self._hub.address}/datasets/{request.match_info['repo']}/commit/{'1' * 40}"
        return web.json_response({"commitUrl": url, "commitOid": "1" * 40})


@contextmanager
def serving_hub(root: Path) -> Iterator[StandInHub]:
    """Serve until the block ends."""
    hub = StandInHub(root)
    root.mkdir(parents=True, exist_ok=True)
    with serving_app(_Routes(hub).app()) as address:
        hub.address = address
        yield hub
