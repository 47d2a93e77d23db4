"""``anyinstruct status``: what a corpus holds, and what a run on it is doing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.runs import Holder, StageLine, Survey, TallyLine, find_holder, read_last_tally, survey_stages
from pipeline.adapters.verdicts import VerdictBook
from pipeline.cli.plain import plain
from pipeline.cli.plan import say_duration
from pipeline.cli.text_tables import draw_rules, draw_sources
from pipeline.contracts.ledger import Ledger
from pipeline.execution.beside import TokenFiles
from pipeline.values.errors import CorpusError
from pipeline.values.units import Seconds
from pipeline.values.words import say_count

MEDIA_TABLES = ("images", "music", "speech")

LOOK_EVERY: Seconds = 1.0
SAY_EVERY: Seconds = 10.0
"""How often a line is printed where there is no terminal to draw on."""

SILENCE: Seconds = 15.0
"""A run tells its tally twice a second; one that has not for this long is likely stuck or was suspended."""


def print_status(corpus: Path, follow: bool, sleep: Callable[[float], None] = time.sleep) -> None:
    """Print the state of a corpus; with ``follow``, watch the run on it first, until it ends.

    Raises:
        CorpusError: it is no corpus, or its ledger is damaged.
    """
    console = Console(highlight=False)
    folder = CorpusFolder(corpus)
    if not (corpus / "ledger.json").exists() and not folder.work.is_dir():
        raise CorpusError(f"{corpus}: is no corpus: neither ledger.json nor work/ is there")
    if follow:
        try:
            _watch(folder.work, console, sleep)
        except KeyboardInterrupt:
            console.print("Stopped watching; the run goes on.")
            return
    _print_all(folder, console)


def _watch(work: Path, console: Console, sleep: Callable[[float], None]) -> None:
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            while (holder := find_holder(work)) is not None:
                live.update(Group(*_draw_run(holder, read_last_tally(work))), refresh=True)
                sleep(LOOK_EVERY)
        return
    last = float("-inf")
    while (holder := find_holder(work)) is not None:
        if time.monotonic() - last >= SAY_EVERY:
            last = time.monotonic()
            console.print(_say_run_in_a_line(holder, read_last_tally(work)), soft_wrap=True)
        sleep(LOOK_EVERY)


def _print_all(folder: CorpusFolder, console: Console) -> None:
    ledger, survey = folder.read_ledger(), survey_stages(folder.work)
    holder, tally = find_holder(folder.work), read_last_tally(folder.work)
    parts: list[RenderableType] = [_draw_counts(folder.root, ledger, survey), *_say_beside(folder)]
    parts += _draw_run(holder, tally)
    if any(stage.num_shards for stage in survey.stages.values()):
        parts.append(_draw_stages(survey))
    if ledger is not None:
        if ledger.texts:
            parts += [draw_sources(ledger.texts), draw_rules(ledger.texts)]
        parts.append(_draw_matrix(ledger))
        if ledger.features:
            parts.append(_draw_features(ledger))
        if ledger.reasons:
            parts.append(_draw_losses(ledger.reasons, "Losses", "reason"))
        if ledger.shortfalls:
            parts.append(_draw_losses(ledger.shortfalls, "Rejected for a limit", "measure"))
        if ledger.spend:
            parts.append(_draw_spend(ledger))
    if (ledger is not None and ledger.reasons) or any(stage.num_failed for stage in survey.stages.values()):
        parts.append(plain(f"What was lost and what to do about it: anyinstruct failures {folder.root}", 1000))
    for part in parts:
        if isinstance(part, Table):
            console.print()
        console.print(part, soft_wrap=isinstance(part, Text))


def _draw_counts(root: Path, ledger: Ledger | None, survey: Survey) -> Text:
    if ledger is None:
        planned = (
            "nothing is planned"
            if survey.num_planned is None
            else f"{say_count(survey.num_planned, 'dialogue')} planned"
        )
        return plain(f"{root}: {planned}, nothing is published yet", 1000)
    counts = {key: ledger.counts.get(key, 0) for key in ("planned", "kept", "rejected", "failed")}
    tables = ", ".join(f"{number:,} {name}" for name, number in ledger.tables.items() if name in MEDIA_TABLES)
    return plain(
        f"{ledger.name} ({root}): {counts['planned']:,} planned = {counts['kept']:,} kept + {counts['rejected']:,} "
        f"rejected + {counts['failed']:,} failed; {tables or 'no media'}; {say_count(len(ledger.shards), 'shard')}",
        1000,
    )


def _say_beside(folder: CorpusFolder) -> list[Text]:
    """Say what lies beside the tables: codes of the media, and verdicts."""
    lines = []
    for say in (_say_codes, _say_verdicts):
        try:
            lines.append(say(folder))
        except CorpusError as exc:
            lines.append(str(exc))
    return [plain(line, 1000) for line in lines if line]


def _say_codes(folder: CorpusFolder) -> str:
    codes = TokenFiles(folder).count()
    if codes is None:
        return ""
    by = ", ".join(f"{kind} by {model}" for kind, model in sorted(codes.models.items()))
    of = f"{say_count(codes.num_shards, 'shard')}: {by or 'the run that makes them has not ended'}"
    return f"tokens: codes of {say_count(codes.num_media, 'medium', 'media')} in {of}"


def _say_verdicts(folder: CorpusFolder) -> str:
    verdicts = VerdictBook(folder.root).by_dialogue()
    reviewers = {name for some in verdicts.values() for name in some}
    judged = say_count(len(verdicts), "dialogue")
    return f"reviews: verdicts of {say_count(len(reviewers), 'reviewer')} on {judged}" if verdicts else ""


def _draw_run(holder: Holder | None, tally: TallyLine | None) -> list[RenderableType]:
    head = _say_run(holder, tally)
    if holder is None or tally is None or tally.pid != holder.pid:
        return [head]
    table = Table(box=None, pad_edge=False)
    table.add_column("stage", min_width=10)
    for name in ("done", "total", "failed", "a minute", "time left"):
        table.add_column(name, justify="right")
    for name, stage in tally.stages.items():
        rate = f"{stage.per_second * 60:,.1f}" if stage.per_second else ""
        failed = f"{stage.failed:,}" if stage.failed else ""
        table.add_row(plain(name, 40), f"{stage.done:,}", f"{stage.total:,}", failed, rate, _say_left(stage))
    return [head, _say_llm(tally), table]


def _say_run(holder: Holder | None, tally: TallyLine | None) -> Text:
    """Say in one line whether a run is alive, and how the last one ended."""
    if holder is not None:
        if tally is None or tally.pid != holder.pid:
            return plain(f"A run is starting: {holder}.")
        left = [seconds for stage in tally.stages.values() if (seconds := seconds_left(stage)) is not None]
        told = f", about {say_duration(max(left))} left" if left and max(left) > 0 else ""
        age = time.time() - tally.t
        silent = f"; it has told nothing for {say_duration(age)}" if age > SILENCE else ""
        # All stages have ended, and the last thing that a run does is to encode media where its manifest asks for it.
        doing = "ending, or encoding media" if tally.state == "done" else tally.state
        return plain(f"A run is {doing}: {holder}{told}{silent}.")
    if tally is None:
        return Text("No run is working on it.")
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(tally.t))
    ago = f"{say_duration(max(0.0, time.time() - tally.t))} ago ({when})"
    return plain(f"No run is working on it. The last one {_say_end(tally, ago)}.", 1000)


def _say_end(tally: TallyLine, ago: str) -> str:
    end = tally.end.rstrip(".")
    if tally.state == "done":
        return f"ended well {ago}"
    if tally.state == "failed":
        return f"failed {ago}: {end or 'it gave no reason'}"
    if tally.state == "stopped":
        return f"was stopped {ago}: {end or 'by Ctrl-C'}; run again to go on"
    return f"was killed or crashed {ago}; run again to go on"


def _say_run_in_a_line(holder: Holder, tally: TallyLine | None) -> Text:
    head = _say_run(holder, tally).plain
    if tally is None or tally.pid != holder.pid:
        return plain(head)
    stages = ", ".join(
        f"{name} {stage.done:,}/{stage.total:,}" + (f" ({stage.failed:,} failed)" if stage.failed else "")
        for name, stage in tally.stages.items()
    )
    return plain(f"{head} {stages}; {_say_llm(tally).plain}", 1000)


def _say_llm(tally: TallyLine) -> Text:
    busy = f", {tally.note}" if tally.calls_in_flight and tally.note else ""
    return plain(
        f"{say_count(tally.calls_in_flight, 'call')} in flight{busy}; {say_count(tally.tokens, 'token')}, "
        f"{tally.tokens_per_second:,.0f} a second; {tally.spend_usd:,.2f} USD"
    )


def seconds_left(stage: StageLine) -> Seconds | None:
    """Return what a stage still takes at its present rate; 0 where it is done, None where it stands still."""
    if stage.done >= stage.total:
        return 0.0
    return (stage.total - stage.done) / stage.per_second if stage.per_second > 0 else None


def _say_left(stage: StageLine) -> str:
    seconds = seconds_left(stage)
    if seconds is None:
        return ""
    return say_duration(seconds) if seconds else "done"


def _draw_stages(survey: Survey) -> Table:
    table = Table(box=None, pad_edge=False, title="Stage files", title_justify="left")
    table.add_column("stage", min_width=10)
    for name in ("shards", "ok", "failed"):
        table.add_column(name, justify="right")
    for name, stage in survey.stages.items():
        if stage.num_shards:
            of = "" if name in ("topics", "texts") or not survey.num_shards else f" of {survey.num_shards:,}"
            failed = f"{stage.num_failed:,}" if stage.num_failed else ""
            table.add_row(plain(name, 40), f"{stage.num_shards:,}{of}", f"{stage.num_ok:,}", failed)
    return table


def _draw_matrix(ledger: Ledger) -> Table:
    table = Table(box=None, pad_edge=False, title="Modality matrix", title_justify="left")
    table.add_column("cell")
    for name in ("wanted", "planned", "kept", "got"):
        table.add_column(name, justify="right")
    total = sum(cell.get("kept", 0) for cell in ledger.matrix.values())
    for name, cell in ledger.matrix.items():
        kept = cell.get("kept", 0)
        table.add_row(
            plain(name, 40),
            f"{cell.get('share', 0):.1%}",
            f"{cell.get('planned', 0):,.0f}",
            f"{kept:,.0f}",
            f"{kept / total:.1%}" if total else "",
        )
    return table


def _draw_features(ledger: Ledger) -> Table:
    """Features wanted and reached; shares are of the cell's dialogues."""
    table = Table(box=None, pad_edge=False, title="Features", title_justify="left")
    for name in ("cell", "feature"):
        table.add_column(name)
    for name in ("wanted", "planned", "kept", "got"):
        table.add_column(name, justify="right")
    for name, numbers in ledger.features.items():
        cell, _, feature = name.partition("/")
        total, kept = ledger.matrix.get(cell, {}).get("kept", 0), numbers.get("kept", 0)
        table.add_row(
            plain(cell, 40),
            plain(feature, 40),
            f"{numbers.get('share', 0):.1%}",
            f"{numbers.get('planned', 0):,.0f}",
            f"{kept:,.0f}",
            f"{kept / total:.1%}" if total else "",
        )
    return table


def _draw_losses(counts: Mapping[str, int], title: str, what: str) -> Table:
    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    table.add_column(what)
    table.add_column("dialogues", justify="right")
    for reason, number in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(plain(reason, 80), f"{number:,}")
    return table


def _draw_spend(ledger: Ledger) -> Table:
    table = Table(box=None, pad_edge=False, title="Spent on what is here", title_justify="left")
    table.add_column("stage")
    table.add_column("model", overflow="fold")
    for name in ("calls", "tokens in", "cached", "tokens out", "USD"):
        table.add_column(name, justify="right")
    names = ("calls", "prompt_tokens", "cached_tokens", "completion_tokens")
    usd = 0.0
    for stage, models in ledger.spend.items():
        for model, sums in models.items():
            usd += sums.get("usd", 0.0)
            numbers = [f"{sums.get(name, 0):,.0f}" for name in names]
            table.add_row(plain(stage, 40), plain(model, 80), *numbers, f"{sums.get('usd', 0.0):,.4f}")
    table.add_row("all", "", *[""] * len(names), f"{usd:,.4f}")
    return table
