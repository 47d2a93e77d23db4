"""Does a corpus come out the same whatever is killed while it is made?

    python -m bench.chaos               200 kills over manifests with and without each of the media (hours, two cores)
    python -m bench.chaos --kills 40    fewer
    python -m bench.chaos --seed 8      others: campaigns of several seeds add up
    python -m bench.chaos --quick       five kills, one of each kind of victim, on one manifest

Runs are those of the command, in processes of their own, on a Ray of several nodes on this machine, with an endpoint
that gives equal answers to equal questions and the smallest renderers. SIGKILL meets, at seeded moments, the driver,
the composer, a renderer, any Ray worker or a whole node. Then the corpus is made to its end and held against one that
was made without Ray and without kills: the same records with the same contents, nothing that ``verify`` faults, nothing
that no ledger names, and no more calls repeated than were in flight. Ctrl-C ends with what was found so far. The last
line is the figure; exits with 1 where anything differs or kills are missing.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from random import Random

from bench.chaos.campaign import VICTIMS, Campaign
from bench.chaos.corpora import IN_FLIGHT, MIXES, write_project
from tests.support.endpoint import running_endpoint
from tests.support.nodes import Nodes, running_nodes
from tests.support.projects import make

FULL = 200
PER_CORPUS = 10
"""Kills of one corpus before it is made to its end and looked at."""

DELAY_SECONDS = 0.05
"""Of each answer, so that calls are in flight when a kill comes."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill and print; return 1 where a corpus is not what it would be without kills."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one kill of each kind")
    parser.add_argument("--kills", type=int, default=FULL, help="in all")
    parser.add_argument("--seed", type=int, default=7, help="of the victims' order and the moments")
    options = parser.parse_args(arguments)
    os.environ.setdefault("NO_KEY", "none")
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, load average {os.getloadavg()[0]:.1f}")
    wanted = len(VICTIMS) if options.quick else options.kills
    mixes = ["image"] if options.quick else list(MIXES)
    done: list[Campaign] = []
    with (
        suppress(KeyboardInterrupt),
        tempfile.TemporaryDirectory() as folder,
        running_endpoint(DELAY_SECONDS) as endpoint,
        running_nodes() as nodes,
    ):
        for campaign in fight_all(Path(folder), mixes, wanted, Random(options.seed), endpoint.url, nodes):
            done.append(campaign)
            print(campaign.describe(), flush=True)
    return tell(done, wanted)


def fight_all(
    folder: Path, mixes: Sequence[str], wanted: int, random: Random, url: str, nodes: Nodes
) -> Iterator[Campaign]:
    """Go round the manifests until so many kills are done; yield what became of each corpus."""
    undisturbed: dict[str, Path] = {}
    left = wanted
    for number, mix in enumerate(cycle(mixes)):
        if left <= 0 or number >= wanted:
            return
        if mix not in undisturbed:
            undisturbed[mix] = folder / mix / "corpus"
            make(write_project(folder / mix, mix, url, None), undisturbed[mix], has_ray=False)
        campaign = Campaign(write_project(folder / f"{number}-{mix}", mix, url, nodes.address), undisturbed[mix])
        campaign.fight(draw_victims(min(left, PER_CORPUS), mix, random), nodes, random)
        left -= campaign.kills.total()
        yield campaign


def draw_victims(count: int, mix: str, random: Random) -> list[str]:
    """Return kinds of victims in random order, all of them about equally often."""
    kinds = [victim for victim in VICTIMS if mix != "text" or victim != "renderer"]
    drawn: list[str] = []
    while len(drawn) < count:
        drawn += random.sample(kinds, len(kinds))
    return drawn[:count]


def tell(done: Sequence[Campaign], wanted: int) -> int:
    """Print the figure; return 1 where there is a fault, or where kills are missing."""
    kills: Counter[str] = sum((campaign.kills for campaign in done), Counter())
    faults = sum(len(campaign.faults) for campaign in done)
    repeated = sum(campaign.num_repeated for campaign in done)
    by_kind = ", ".join(f"{count} {victim}" for victim, count in sorted(kills.items()))
    print(
        f"{kills.total()} of {wanted} kills ({by_kind}) over {len(done)} corpora: {faults} faults; "
        f"{repeated} calls repeated, at most {kills.total() * IN_FLIGHT} could be"
    )
    return 0 if not faults and kills.total() >= wanted else 1


if __name__ == "__main__":
    sys.exit(main())
