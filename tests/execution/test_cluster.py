"""A run on a Ray of several nodes: one joins while it works, and one vanishes with all that runs on it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import psutil

from tests.support.endpoint import running_endpoint
from tests.support.nodes import running_nodes
from tests.support.projects import describe, verify, write_manifest
from tests.support.runs import finish_run, kill_run, read_journalled, read_published, start_run
from tests.support.waiting import wait_until

NUM_TOPICS = 16
IN_FLIGHT = 8
COMPOSER = "ray::Composer"


def test_a_node_that_joins_is_used_and_one_that_vanishes_is_survived(tmp_path: Path) -> None:
    with running_endpoint() as endpoint, running_nodes(1, cpus=1) as nodes:
        endpoint.answer_only(0)
        topics = [f"the {number} small bells of the harbour" for number in range(NUM_TOPICS)]
        manifest = describe(endpoint.url, topics={"list": topics})
        manifest["mix"] = [{"name": "draw", "gives": ["text"], "answers": ["text", "image"], "rounds": [1, 1]}]
        manifest["render"] = {"image": {"renderer": "minimal-image", "actors": {"min": 1, "max": 2}}}
        manifest["writer"]["in_flight"] = IN_FLIGHT
        # Two shards keep a composer busy, and eight wait; the fewest workers fill the node.
        manifest["execution"] = {"shards_in_flight": 8, "composers": {"min": 1, "max": 2}}
        run = start_run(write_manifest(tmp_path, manifest), tmp_path / "corpus", "--address", nodes.address)
        try:
            wait_until(lambda: run.poll() is not None or len(endpoint.requests) >= IN_FLIGHT // 2)
            assert run.poll() is None, run.communicate()[0].decode()
            assert len(nodes.find_workers(COMPOSER)) == 1
            nodes.add(cpus=2)
            wait_until(lambda: len(nodes.find_workers(COMPOSER)) == 2)
            endpoint.answer_only(6)
            wait_until(lambda: len(read_journalled(tmp_path / "corpus", "answer")) >= 6)
            nodes.kill(0)
            endpoint.room = None
            output = run.communicate(timeout=300)[0].decode()
        finally:
            if run.poll() is None:
                kill_run(run)
    assert run.returncode == 0, output
    assert len(read_published(tmp_path / "corpus", "id")["dialogues"]) == NUM_TOPICS
    assert verify(tmp_path / "corpus").is_sound
    asked = Counter(entry["key"] for entry in read_journalled(tmp_path / "corpus", "intent"))
    assert asked.total() - len(asked) <= IN_FLIGHT, "what was in flight on the node that vanished, at most"


def test_a_run_whose_own_node_ends_says_so_and_can_be_gone_on_with(tmp_path: Path) -> None:
    with running_endpoint() as endpoint:
        endpoint.answer_only(0)
        manifest = describe(endpoint.url, topics={"list": ["the small bells of the harbour"]})
        manifest["mix"] = [{"name": "chat", "gives": ["text"], "answers": ["text"], "rounds": [1, 1]}]
        path, corpus = write_manifest(tmp_path, manifest), tmp_path / "corpus"
        run = start_run(path, corpus)
        try:
            wait_until(lambda: run.poll() is not None or len(endpoint.requests) > 0)
            (node,) = (one for one in psutil.Process(run.pid).children(recursive=True) if one.name() == "raylet")
            node.kill()
            output = run.communicate(timeout=300)[0].decode()
        finally:
            if run.poll() is None:
                kill_run(run)
        assert (run.returncode, "the Ray node that this command runs on has ended; run again" in output) == (1, True), (
            output
        )
        endpoint.room = None
        assert "Traceback" not in output
        finish_run(path, corpus)
    assert len(read_published(corpus, "id")["dialogues"]) == 1
