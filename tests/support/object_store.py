"""The fixtures of tests over an object store."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.adapters.objects.address import ObjectAddress
from pipeline.adapters.objects.session import Session
from tests.support.object_server import BUCKET, ObjectServer, running_object_server

Machine = Callable[[str], Session]


@pytest.fixture(scope="module")
def object_server() -> Iterator[ObjectServer]:
    with running_object_server() as server:
        yield server


@pytest.fixture
def store(object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ObjectServer:
    """The server with no fault set and an empty log; commands of this process find it."""
    for name, value in object_server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ANYINSTRUCT_COPIES", str(tmp_path / "copies"))
    object_server.fail()
    object_server.take_log()
    return object_server


@pytest.fixture
def machine(store: ObjectServer, tmp_path: Path, request: pytest.FixtureRequest) -> Machine:
    """Opens sessions on the test's own corpus; each name is a machine with a disk of its own."""
    address = ObjectAddress(BUCKET, f"{re.sub(r'[^a-z0-9_]', '-', request.node.name)}/tiny")

    def open_on(name: str) -> Session:
        return Session(address, tmp_path / name, lambda text: None)

    return open_on
