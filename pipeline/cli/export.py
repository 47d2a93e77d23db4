"""``anyinstruct export``: brings a finished corpus into the form that a trainer reads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import get_args

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.published import PublishedCorpus
from pipeline.adapters.readings import CorpusReadings
from pipeline.adapters.verdicts import VerdictBook, find_agreed
from pipeline.cli.following import follow
from pipeline.cli.plain import plain
from pipeline.cli.run import INTERRUPTED
from pipeline.contracts.export import ExportSummary
from pipeline.contracts.review import Decision
from pipeline.contracts.watch import Drained
from pipeline.execution.cluster import Pool, PoolShape
from pipeline.execution.exports import INDEX, STATE, ExportRun, ExportSetting, ExportWork
from pipeline.execution.querying import find_ids
from pipeline.values.errors import CorpusError, ManifestError
from pipeline.values.words import say_count
from pipeline.work.exporting import WHOLE, Splits


def export_corpus(setting: ExportSetting, shape: PoolShape, as_json: bool) -> int:
    """Export a corpus and print what was written; return the exit code."""
    console = Console(highlight=False, stderr=as_json)
    setting.choose()
    _check_place(setting)
    _check_selection(setting)
    lock = CorpusLock.acquire(setting.state)
    try:
        # Workers of other nodes stand in another folder.
        there = replace(setting, corpus=setting.corpus.absolute(), out=setting.out.absolute())
        build = partial(ExportWork, there, lock.epoch)
        run = ExportRun(setting, lock, lambda: Pool(build, shape))
        summary = asyncio.run(follow(run, console, "exporting", "dialogues"))
    except (Drained, KeyboardInterrupt):
        console.print("Stopped; whole shards are kept. To go on, give the same command again.", markup=False)
        return INTERRUPTED
    finally:
        lock.release()
    if as_json:
        print(json.dumps(summary.model_dump(mode="json"), indent=1))
        return 0
    _print(summary, setting, console)
    return 0


def parse_splits(words: list[str], by: str) -> Splits:
    """Read ``name=share`` words; none of them means that all goes to one split.

    Raises:
        ManifestError: a word has another shape, a split is named twice, the shares do not add up to 1, or ``by`` is no
            column that a split can keep together.
    """
    shares: dict[str, float] = {}
    for word in words:
        name, _, share = word.partition("=")
        if name in shares:
            raise ManifestError(f"--split {word!r}: split {name!r} is named twice; give each share once")
        try:
            shares[name] = float(share)
        except ValueError:
            raise ManifestError(f"--split {word!r}: write name=share, e.g. test=0.02") from None
    try:
        return Splits(shares=shares or {WHOLE: 1.0}, by=by)
    except ValidationError as exc:
        error = exc.errors(include_url=False)[0]
        flag = "--split-by" if error["loc"] == ("by",) else "--split"
        raise ManifestError(f"{flag}: {error['msg'].removeprefix('Value error, ')}") from exc


def choose_ids(corpus: Path, where: str | None, is_passing: bool, verdict: str | None = None) -> frozenset[str] | None:
    """Return the dialogues that a query finds, people judged so and no audit faults; None where nothing is asked for.

    Raises:
        ManifestError: the query or the verdict is wrong, or the corpus was never audited or reviewed.
    """
    found = None if where is None else find_ids(corpus, where)
    if verdict is not None:
        judged = _find_judged(corpus, verdict)
        found = judged if found is None else found & judged
    if not is_passing:
        return found
    readings = CorpusReadings(corpus)
    if not readings.audits:
        raise ManifestError(f"--passing: {corpus} was never audited; run `anyinstruct audit` on it first")
    short = {finding.dialogue_id for finding in readings.findings()}
    everything = find_ids(corpus, "true") if found is None else found
    _warn_of_unaudited(corpus, everything, readings)
    return frozenset(everything - short)


def _find_judged(corpus: Path, verdict: str) -> frozenset[str]:
    """Return the dialogues of which most reviewers say so; ties and those that nobody judged are left out."""
    if verdict not in get_args(Decision):
        raise ManifestError(f"--verdict {verdict!r}: is none of {', '.join(get_args(Decision))}")
    verdicts = VerdictBook(corpus).by_dialogue()
    if not verdicts:
        raise ManifestError(f"--verdict: nobody has judged {corpus}; run `anyinstruct review` on it first")
    return frozenset(name for name, some in verdicts.items() if find_agreed(some) == verdict)


def _warn_of_unaudited(corpus: Path, wanted: Collection[str], readings: CorpusReadings) -> None:
    """Say on standard error of how many dialogues nothing is measured: after an audit of a sample, of most."""
    audited = {name for audit in readings.audits for some in readings.columns(audit) for name in some.dialogue_ids}
    if num_left := len(set(wanted) - audited):
        count = say_count(num_left, "dialogue")
        Console(stderr=True, highlight=False).print(
            f"warning: no audit has looked at {count} of {len(wanted):,}, and --passing takes them; "
            f"`anyinstruct audit {corpus}` looks at all",
            markup=False,
            soft_wrap=True,
        )


def _check_place(setting: ExportSetting) -> None:
    corpus, out = setting.corpus.resolve(), setting.out.resolve()
    if out == corpus or corpus in out.parents or out in corpus.parents:
        raise CorpusError(f"{setting.out}: an export stands outside of its corpus; name another folder")
    if not out.exists():
        return
    if not out.is_dir():
        raise CorpusError(f"{setting.out}: is a file; name a folder")
    if not (out / STATE).exists() and any(out.iterdir()):
        raise CorpusError(f"{setting.out}: holds files that are no export; name an empty folder or a new one")
    _check_same_kind(setting)


def _check_selection(setting: ExportSetting) -> None:
    """Refuse names that no dialogue has, before a lock or a file of an earlier export is touched.

    A misspelt cell would otherwise take nothing, and an export that stands would be emptied to match.
    """
    shards = PublishedCorpus(setting.corpus).shards
    selection = setting.selection
    for flag, column, wanted in (
        ("--cell", "cell", selection.cells),
        ("--meta-topic", "meta_topic", selection.meta_topics),
    ):
        if not wanted:
            continue
        with_column = [shard for shard in shards if shard.columns_of("dialogue", column)]
        there = {row[column] for shard in with_column for row in shard.rows("dialogue", [column])} - {None}
        for name in wanted:
            if name not in there:
                known = ", ".join(sorted(there)) or "none"
                raise ManifestError(f"{flag} {name!r}: no dialogue of {setting.corpus} has it; there are {known}")


def _check_same_kind(setting: ExportSetting) -> None:
    try:
        there = json.loads((setting.out / INDEX).read_text(encoding="utf-8"))["format"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if there != setting.to:
        raise CorpusError(f"{setting.out}: holds an export to {there!r}; name another folder for one to {setting.to!r}")


def _print(summary: ExportSummary, setting: ExportSetting, console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("split", "dialogues", "images", "music", "speech", "files", "MB"):
        table.add_column(name, justify="left" if name == "split" else "right")
    for split, parts in summary.splits.items():
        media = [sum(part.num_media.get(kind, 0) for part in parts) for kind in ("image", "music", "speech")]
        files = [file for part in parts for file in part.files]
        counts = [sum(part.num_dialogues for part in parts), *media, len(files)]
        size = sum(file.num_bytes for file in files) / 1e6
        table.add_row(split, *(f"{count:,}" for count in counts), f"{size:,.1f}")
    console.print(table)
    for remark in summary.remarks:
        console.print(plain(remark, 1000), soft_wrap=True)
    console.print(plain(f"Written to {setting.out}; README.md there says how it is read.", 1000), soft_wrap=True)
