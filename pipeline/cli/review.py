"""``anyinstruct review``: a page on which people judge dialogues, and how far they agree."""

from __future__ import annotations

import asyncio
import getpass
import signal
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline.adapters.readings import CorpusReadings
from pipeline.adapters.verdicts import VerdictBook, find_agreed
from pipeline.cli.plain import plain
from pipeline.execution.people import compare_with_people
from pipeline.execution.review_desk import ReviewDesk
from pipeline.execution.review_guard import Guard, is_loopback
from pipeline.execution.review_server import ReviewServer, listen
from pipeline.values.errors import AnyInstructError, CorpusError
from pipeline.values.words import say_count, say_share
from pipeline.work.agreement import ScoreAgreement, compare_labels
from pipeline.work.group_agreement import compare_group


def serve_review(corpus: Path, reviewer: str | None, host: str, port: int) -> None:
    """Serve the page until Ctrl-C.

    Args:
        reviewer: Who judges; None for whoever is logged in.
        port: 0 for any free one.
    """
    console = Console(highlight=False)
    desk = ReviewDesk(corpus, reviewer or _find_user())
    asyncio.run(_serve(desk, Guard(host), port, console))
    given = say_count(desk.num_given, "verdict")
    console.print(plain(f"Stopped. {given} by {desk.reviewer} in {corpus / 'reviews'}", 1000), soft_wrap=True)


async def _serve(desk: ReviewDesk, guard: Guard, port: int, console: Console) -> None:
    stopped = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    runner, bound = await listen(ReviewServer(desk, guard).build_app(), guard.host, port)
    try:
        if not is_loopback(guard.host):
            console.print(
                f"warning: whoever reaches {guard.host} over the network and knows the address below can read this "
                "corpus and judge in your name; nothing is encrypted. A tunnel to 127.0.0.1 is safer.",
                markup=False,
                soft_wrap=True,
            )
        console.print(f"{say_count(len(desk), 'dialogue')}, judged by {desk.reviewer}. Open", markup=False)
        console.print(f"\n    {guard.address(bound)}\n", markup=False, soft_wrap=True)
        console.print("Ctrl-C stops; every verdict is on the disk as soon as it is given.", markup=False)
        await stopped.wait()
    finally:
        await runner.cleanup()


def print_agreement(corpus: Path) -> None:
    """Print what reviewers have said, and how far they agree beyond chance.

    Raises:
        CorpusError: there is no corpus, or nobody has judged it.
    """
    console = Console(highlight=False)
    if not corpus.is_dir():
        raise CorpusError(f"{corpus}: is no folder; check the path")
    book = VerdictBook(corpus)
    given = book.by_reviewer()
    if not any(given.values()):
        raise CorpusError(f"{corpus}: nobody has judged it yet; `anyinstruct review {corpus}` serves the page for that")
    counts = Table("reviewer", box=None, pad_edge=False)
    for name in ("judged", "accepted", "rejected"):
        counts.add_column(name, justify="right")
    for reviewer, verdicts in given.items():
        accepted = sum(verdict.decision == "accept" for verdict in verdicts.values())
        counts.add_row(reviewer, *(f"{number:,}" for number in (len(verdicts), accepted, len(verdicts) - accepted)))
    console.print(counts)
    judged = {name: {d: str(v.decision) for d, v in verdicts.items()} for name, verdicts in given.items()}
    if len(judged) > 1:
        console.print()
        console.print(_compare(judged))
    agreed = {name: find_agreed(verdicts) for name, verdicts in book.by_dialogue().items()}
    decided = list(agreed.values())
    console.print(
        f"\n{say_count(len(decided), 'dialogue')} judged: {decided.count('accept'):,} accepted by most, "
        f"{decided.count('reject'):,} rejected by most, {decided.count(None):,} tied (which keeps them)",
        markup=False,
        soft_wrap=True,
    )
    by_people = {name: decision == "accept" for name, decision in agreed.items() if decision is not None}
    if measures := compare_with_people(CorpusReadings(corpus), by_people):
        console.print("\nWhat is measured of dialogues against what most reviewers say of them:", markup=False)
        console.print(_compare_measures(measures))
    if book.num_damaged:
        console.print(f"left out: {say_count(book.num_damaged, 'damaged line')}", markup=False)


def _compare(judged: Mapping[str, Mapping[str, str]]) -> Table:
    table = Table("reviewers", box=None, pad_edge=False)
    for name in ("both judged", "agree", "kappa", "95 % interval"):
        table.add_column(name, justify="right")
    for one, two in combinations(judged, 2):
        pair = compare_labels(judged[one], judged[two])
        table.add_row(
            f"{one} and {two}",
            *_say_agreement(pair.num_both, pair.share, (pair.kappa, pair.kappa_low, pair.kappa_high)),
        )
    if len(judged) > 2:
        group = compare_group(judged)
        said = _say_agreement(group.num_records, group.share, (group.kappa, group.low, group.high))
        table.add_row(f"all {len(judged)} (Fleiss)", *said)
    return table


def _compare_measures(measures: Mapping[str, ScoreAgreement]) -> Table:
    table = Table("measure", box=None, pad_edge=False)
    for name in ("accepted", "rejected", "AUC", "95 % interval", "kappa at its limit"):
        table.add_column(name, justify="right")
    for name, found in measures.items():
        area = "cannot be told" if found.auc is None else f"{found.auc:.2f}"
        interval = f"{found.auc_low:.2f} to {found.auc_high:.2f}" if found.auc is not None else ""
        kappa = found.at_limit.kappa if found.at_limit else None
        said = "" if kappa is None else f"{kappa:.2f}"
        table.add_row(name, f"{found.num_accepted:,}", f"{found.num_rejected:,}", area, interval, said)
    return table


def _say_agreement(
    number: int, share: float | None, kappa: tuple[float | None, float | None, float | None]
) -> list[str]:
    said, low, high = ("" if value is None else f"{value:.2f}" for value in kappa)
    interval = f"{low} to {high}" if low and high else ""
    return [f"{number:,}", "" if share is None else say_share(share), said or "cannot be told", interval]


def _find_user() -> str:
    try:
        return getpass.getuser().lower()
    except (OSError, KeyError) as exc:
        raise AnyInstructError("nobody is logged in by name: say who judges with --reviewer NAME") from exc
