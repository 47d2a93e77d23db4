"""One run on so many nodes, and the pace that its calls had once all composers were at work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import yaml

from bench.llm.driving import RunningServer
from bench.llm.server import Behaviour
from bench.scale.manifests import Shape, write_manifest
from pipeline.values.units import Seconds
from tests.support.nodes import Nodes
from tests.support.runs import kill_run, start_run
from tests.support.waiting import wait_until

LATENCY: Seconds = 0.5
IN_FLIGHT = 4
"""Calls of one composer at a time: 8 a second, of some 5 ms of CPU each, so that no core binds, whatever the nodes."""

PER_SHARD = 4
CPUS_PER_NODE = 1
COMPOSER = "ray::Composer"
END_SECONDS = 600


class RunFailed(Exception):
    """A run ended with an error; the text is what it said."""


@dataclass(frozen=True)
class Pace:
    """What the endpoint saw of a run.

    Attributes:
        nodes: Nodes with a composer each.
        calls: In all.
        start: Seconds from the first call until every composer was at work.
        span: Seconds from then to the last answer.
        rate: Calls a second within the span; one that lies in it by half counts half.
    """

    nodes: int
    calls: int
    start: Seconds
    span: Seconds
    rate: float


def measure(folder: Path, server: RunningServer, nodes: Nodes, dialogues_per_node: int) -> Pace:
    """Make a corpus that grows with the nodes, a composer on each of them.

    Raises:
        RunFailed: the run ended with an error, or a node had no composer.
    """
    count = len(nodes)
    manifest = write_for(folder, server.url, count, dialogues_per_node * count)
    server.setup(Behaviour(latency=LATENCY))
    run = start_run(manifest, folder / "corpus", "--address", nodes.address)
    try:
        # One raylet a node, which all workers of the node are children of.
        wait_until(lambda: run.poll() is not None or len({p.ppid() for p in nodes.find_workers(COMPOSER)}) == count)
        output = run.communicate(timeout=END_SECONDS)[0].decode(errors="replace")
    finally:
        if run.poll() is None:
            kill_run(run)
    if run.returncode != 0:
        raise RunFailed(output)
    return read_pace(server.counts().times, count)


def write_for(folder: Path, url: str, composers: int, num_dialogues: int) -> Path:
    """Write a manifest of text alone, with so many composers that each have :data:`IN_FLIGHT` calls."""
    path = write_manifest(folder, Shape(num_dialogues, has_media=False, per_shard=PER_SHARD), url)
    manifest = yaml.safe_load(path.read_text(encoding="utf-8"))
    manifest["writer"]["in_flight"] = IN_FLIGHT * composers
    manifest["execution"] = {"composers": composers, "shards_in_flight": 4 * composers}
    path.write_text(yaml.safe_dump(manifest, sort_keys=False), encoding="utf-8")
    return path


def read_pace(times: Sequence[Sequence[float]], nodes: int) -> Pace:
    """Return the pace from the first moment at which more calls were out than one composer fewer can have.

    Args:
        times: When each call came and was answered, in seconds.

    Raises:
        RunFailed: there was no such moment.
    """
    changes = sorted([(came, 1) for came, _ in times] + [(answered, -1) for _, answered in times])
    in_flight = accumulate(change for _, change in changes)
    enough = IN_FLIGHT * (nodes - 1)
    begun = next((at for (at, _), count in zip(changes, in_flight, strict=True) if count > enough), None)
    if begun is None:
        raise RunFailed(f"{nodes} composers never worked at the same time")
    done = sum((answered - max(came, begun)) / (answered - came) for came, answered in times if answered > begun)
    first, last = changes[0][0], changes[-1][0]
    return Pace(nodes, len(times), begun - first, last - begun, done / (last - begun))
