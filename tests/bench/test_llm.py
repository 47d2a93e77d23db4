from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bench.llm.cases import Scale, ideal_span, measure_kill
from bench.llm.driving import Driver, Load, RunningServer, running_server
from bench.llm.server import Behaviour


def ask(server: RunningServer, number: int) -> int:
    body = json.dumps({"messages": [{"role": "user", "content": f"Topic #{number}"}]}).encode()
    try:
        with urllib.request.urlopen(f"{server.url}/chat/completions", body, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as exc:
        return exc.code


def test_the_ideal_is_the_client_without_any_cost() -> None:
    assert ideal_span(Load(2000, 64), Behaviour(latency=0.2)) == pytest.approx(32 * 0.2)
    assert ideal_span(Load(500, 32), Behaviour(latency=0.2, admits=16)) == pytest.approx(32 * 0.2)
    # Four at a time: 1 to 4 end at 1 s, 5 to 8 at 2 s but for the fifth, which is slow and ends at 11 s.
    assert ideal_span(Load(8, 4), Behaviour(latency=1, slow_every=5, slow_latency=10)) == pytest.approx(11)


def test_the_server_closes_a_connection_when_asked_to() -> None:
    head = b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    with running_server() as server, socket.create_connection(("127.0.0.1", urlsplit(server.url).port)) as client:
        client.settimeout(10)
        client.sendall(head)
        # A client that asks for this may read to the end of the stream, and datatrove does.
        assert b"".join(iter(lambda: client.recv(4096), b"")).startswith(b"HTTP/1.1 200 ")


def test_the_server_behaves_as_it_is_told_and_counts() -> None:
    with running_server() as server:
        server.setup(Behaviour(latency=0.01, bad_every=5))
        assert [ask(server, number) for number in (1, 5, 1)] == [200, 400, 200]
        counts = server.counts()
        assert (counts.requests, counts.answered, counts.bad) == (3, {1: 2}, {5: 1})
        server.setup(Behaviour(admits=0))
        assert ask(server, 1) == 429
        assert (server.counts().requests, server.counts().refusals) == (1, 1)


def test_a_load_is_shared_by_composers_and_summed_up(tmp_path: Path) -> None:
    with running_server() as server:
        load = Load(40, 20, composers=2, marks=(10,))
        result = Driver(server, tmp_path).run(load, Behaviour(latency=0.05, bad_every=10))
        assert (result.kept, result.failed) == (36, {"bad_request": 4})
        assert sorted([*result.counts.answered, *result.counts.bad]) == list(range(1, 41))
        assert result.counts.requests == 40  # warm: nothing had to be probed
        assert result.span >= 0.1
        assert result.cpu > 0
        assert result.resident[10] > 10


def test_a_kill_repeats_no_more_than_was_in_flight(tmp_path: Path) -> None:
    with running_server() as server:
        finding = measure_kill(server, Driver(server, tmp_path), Scale(repeats=1, share=0.25))
        assert finding.is_met
        assert "lost" not in finding.figure
