"""Runs of the command in processes of their own, how they are killed, and what they leave in a corpus."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
from typer.testing import CliRunner

from pipeline.adapters.corpus import CorpusFolder
from pipeline.cli.app import app

WORKER = "ray::RenderWorker"
"""How Ray titles the process of a render worker."""


def start_run(manifest: Path, corpus: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pipeline.cli.app", "run", str(manifest), "--corpus", str(corpus), *options]
    environment = {"NO_KEY": "none", **os.environ}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, start_new_session=True, env=environment, **output)  # type: ignore[call-overload, no-any-return]


def finish_run(manifest: Path, corpus: Path) -> str:
    """Run to the end in this process, over its Ray where it has one; return what the command said."""
    result = CliRunner().invoke(app, ["run", str(manifest), "--corpus", str(corpus)], env={"NO_KEY": "none"})
    assert result.exit_code == 0, f"{result.output}\n{result.exception!r}"
    return result.output


def kill_run(run: subprocess.Popen[bytes]) -> None:
    """Kill the group, and whatever of the run has a group of its own, all at once."""
    family = psutil.Process(run.pid).children(recursive=True)
    os.killpg(run.pid, signal.SIGKILL)
    kill_all(family)
    run.communicate()
    psutil.wait_procs(family, timeout=30)


def kill_all(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def find_render_workers() -> list[psutil.Process]:
    """Render workers of a Ray that this process started."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.cmdline()[:1] and process.cmdline()[0].startswith(WORKER):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def read_published(corpus: Path, column: str) -> dict[str, dict[str, Any]]:
    """A column of every published table that has it: table to id to value; an id that stands twice is an error."""
    folder = CorpusFolder(corpus)
    ledger = folder.read_ledger()
    assert ledger is not None
    found: dict[str, dict[str, Any]] = {}
    for entry in ledger.shards:
        for file in folder.read_shard_ledger(entry).files:
            path = folder.inside(file.path)
            if column not in pq.read_schema(path).names:
                continue
            table, values = pq.read_table(path, columns=sorted({"id", column})), found.setdefault(file.table, {})
            for name, value in zip(table["id"].to_pylist(), table[column].to_pylist(), strict=True):
                assert name not in values, f"{file.table}: {name} stands twice"
                values[name] = value
    return found


def read_journalled(corpus: Path, event: str, stage: str = "*", epoch: str = "*") -> list[dict[str, Any]]:
    """Whole lines of one event in the journals; an epoch is five digits."""
    lines = (
        line
        for path in sorted((corpus / "work").rglob(f"{stage}-e{epoch}.jsonl"))
        for line in path.read_bytes().splitlines()
        if line.endswith(b"}")
    )
    entries = (json.loads(line.split(b" ", 1)[1]) for line in lines)
    return [entry for entry in entries if entry["event"] == event]
