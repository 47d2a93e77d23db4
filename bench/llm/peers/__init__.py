"""Other tools on the same endpoint, each pinned, in an environment of its own under the user's cache folder.

What counts is what the endpoint sees: the time from the first call to the last answer, refusals, calls answered, and
how often the bad ones came. Starting a tool is not timed. A tool that does not install or run is said so.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from bench.llm.cases import ideal_span
from bench.llm.composer import PROMPT
from bench.llm.driving import Load, RunningServer, running_server
from bench.llm.server import Behaviour, Counts

REPEATS = 5
TIMEOUT_SECONDS = 300.0
INSTALL_SECONDS = 1800.0
QUIET = {"NEMO_TELEMETRY_ENABLED": "false", "TELEMETRY_ENABLED": "0", "HF_HUB_OFFLINE": "1", "OPENAI_API_KEY": "none"}


@dataclass(frozen=True)
class Peer:
    """A tool.

    Attributes:
        packages: What is installed, the tool itself first.
    """

    name: str
    packages: tuple[str, ...]

    @property
    def script(self) -> Path:
        """What runs in its environment."""
        return Path(__file__).with_name(f"ask_{self.name}.py")


PEERS = (
    # Its extra "inference" brings vLLM and SGLang, which need CUDA to install; these are what an endpoint needs of it.
    Peer("datatrove", ("datatrove[io]==0.10.1", "aiofiles", "aiosqlite", "httpx", "pandas")),
    Peer("curator", ("bespokelabs-curator==0.1.31",)),
    Peer("data_designer", ("data-designer==0.9.6",)),
    # It imports requests without declaring it.
    Peer("distilabel", ("distilabel[openai]==1.5.3", "requests")),
)

CASES = (
    ("2,000 at 64, 0.2 s", Load(2000, 64), Behaviour(latency=0.2)),
    ("4,000 at 256, 0.5 s", Load(4000, 256), Behaviour(latency=0.5)),
    ("4,000 at 1,024, 0.5 s", Load(4000, 1024), Behaviour(latency=0.5)),
    ("2,000 at 64, 2 % take 4 s", Load(2000, 64), Behaviour(latency=0.2, slow_every=50)),
    ("500 wanted at 32, 16 admitted", Load(500, 32), Behaviour(latency=0.2, admits=16)),
    ("1,000 with 1 % answered 400", Load(1000, 64), Behaviour(latency=0.2, bad_every=100)),
)


def measure_peers() -> None:
    """Install and measure each, and print what came of it."""
    cache = Path(platformdirs.user_cache_dir("anyinstruct")) / "peers"
    for peer in PEERS:
        python, problem = install(peer, cache)
        if problem:
            print(f"{peer.name}: {peer.packages[0]} does not install: {problem}", flush=True)
            continue
        with running_server() as server:
            for name, load, behaviour in CASES:
                print(f"{peer.name:14} {name:32} {measure(peer, python, server, load, behaviour)}", flush=True)


def install(peer: Peer, cache: Path) -> tuple[Path, str]:
    """Make the environment unless it is there whole; return its interpreter, and the last line of what went wrong."""
    folder = cache / peer.packages[0].replace("==", "-").replace("[", "-").replace("]", "")
    python, stamp = folder / "bin" / "python", folder / "whole"
    if stamp.exists():
        return python, ""
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
    for command in ([sys.executable, "-m", "venv", "--clear", str(folder)], [*pip, *peer.packages]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS)
        except subprocess.TimeoutExpired:
            return python, f"it takes more than {INSTALL_SECONDS / 60:g} minutes"
        if done.returncode:
            return python, _last_line(done.stderr)
    stamp.touch()
    return python, ""


def measure(peer: Peer, python: Path, server: RunningServer, load: Load, behaviour: Behaviour) -> str:
    """Put a load on the endpoint by a peer; return what came of it, in words."""
    counts: list[Counts] = []
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as folder:
            prompts = Path(folder) / "prompts.jsonl"
            rows = [{"number": n, "prompt": f"Topic #{n}: harbour walks. {PROMPT}"} for n in range(1, load.calls + 1)]
            prompts.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
            server.setup(behaviour)
            command = [str(python), str(peer.script), server.url, str(prompts), str(load.in_flight), f"{folder}/out"]
            environment = {**os.environ, **QUIET, "HOME": folder, "CURATOR_CACHE_DIR": f"{folder}/cache"}
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS, env=environment
                )
            except subprocess.TimeoutExpired:
                answered = len(server.counts().answered)
                return f"did not end within {TIMEOUT_SECONDS:g} s; {answered} of {load.calls} answered"
            counts.append(server.counts())
            if done.returncode:
                answered = len(counts[-1].answered)
                return f"ended with an error after {answered} of {load.calls}: {_last_line(done.stderr)}"
    return _say(counts, load, behaviour)


def _say(counts: list[Counts], load: Load, behaviour: Behaviour) -> str:
    span = statistics.median(count.last - count.first for count in counts)
    words = f"{span:.2f} s, {span / ideal_span(load, behaviour):.2f} of the ideal; {len(counts[-1].answered)} answered"
    if behaviour.admits < load.in_flight:
        words += f"; {statistics.median(count.refusals for count in counts):g} refusals"
    if behaviour.bad_every:
        words += f"; each bad one came {max(counts[-1].bad.values(), default=0)} times"
    return words


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it does not say why"
