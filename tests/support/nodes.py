"""A Ray of several nodes on this machine, of which one can be killed with everything that runs on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import psutil
from ray.cluster_utils import Cluster
from ray.experimental import internal_kv

from pipeline.execution.cluster import OBJECT_STORE_BYTES
from tests.support.runs import kill_all

CPUS = 2
"""That a node says it has: enough for all actors of one run, since a node that is killed takes its share with it."""


class Nodes:
    """A head that runs nothing, and nodes that run the actors."""

    def __init__(self) -> None:
        store = {"object_store_memory": OBJECT_STORE_BYTES}
        # One store of keys a process: a head takes it over, and the Ray that this process was in would lose it.
        self._keys_before: Any = internal_kv.internal_kv_get_gcs_client()  # type: ignore[no-untyped-call]
        head = {"num_cpus": 0, "include_dashboard": False, **store}
        # Ray's own types know nothing of this class.
        self._cluster: Any = Cluster(initialize_head=True, head_node_args=head)
        self._store = store
        self._workers: list[Any] = []

    @property
    def address(self) -> str:
        """What ``execution.address`` of a manifest is to be."""
        return str(self._cluster.address)

    def __len__(self) -> int:
        return len(self._workers)

    def add(self, cpus: int = CPUS, gpus: int = 0) -> None:
        """Have a node join that says it has so much, whatever the machine has."""
        self._workers.append(self._cluster.add_node(num_cpus=cpus, num_gpus=gpus, **self._store))

    def find_workers(self, title: str) -> list[psutil.Process]:
        """Return the workers on all nodes whose title begins so; a node's agents are none, and it ends with them."""
        found = []
        for process in psutil.Process().children(recursive=True):
            try:
                words = process.cmdline()
                if words and words[0].startswith(title) and not words[0].endswith("Agent"):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
        return found

    def kill(self, index: int) -> None:
        """Kill a node that runs actors, its daemon and all workers at once."""
        node = self._workers.pop(index)
        started = [info.process.pid for infos in node.all_processes.values() for info in infos]
        family = [psutil.Process(pid) for pid in started if psutil.pid_exists(pid)]
        kill_all([*family, *(child for parent in family for child in parent.children(recursive=True))])
        self._cluster.remove_node(node, allow_graceful=False)

    def replace_one(self, random: Random) -> None:
        """Kill a node, and bring a fresh one in its place."""
        self.kill(random.randrange(len(self._workers)))
        self.add()

    def close(self) -> None:
        """Stop all nodes."""
        self._cluster.shutdown()
        if self._keys_before is not None:
            internal_kv._initialize_internal_kv(self._keys_before)


@contextmanager
def running_nodes(count: int = 1, cpus: int = CPUS) -> Iterator[Nodes]:
    """Start a head and so many nodes, and stop them when the block ends."""
    nodes = Nodes()
    try:
        for _ in range(count):
            nodes.add(cpus)
        yield nodes
    finally:
        nodes.close()
