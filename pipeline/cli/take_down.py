"""``anyinstruct take-down``: dialogues and their media out of a corpus and its exports, with a reason that stays."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.exports.token_tables import TOKENS
from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.readings import FOLDER
from pipeline.cli.plain import plain
from pipeline.execution.export_takedown import find_setting, refresh_export
from pipeline.execution.exports import ORDERED
from pipeline.execution.takedown import TakeDown, TakedownReport
from pipeline.values.errors import CorpusError, ManifestError
from pipeline.values.takedowns import MAX_REASON
from pipeline.values.words import say_count

ELSEWHERE = (
    "What was fetched before stays where it is: copies, backups, a hub's earlier versions, and what the writer's and "
    "the renderers' providers have logged. So do the manifest, and files of topics or texts that it names."
)


def take_down(corpus: Path, ids: Sequence[str], reason: str, exports: Sequence[Path] = ()) -> None:
    """Take dialogues down and say what was removed; then bring exports up to date, and codes of media.

    Raises:
        CorpusError: it is no corpus, has no such dialogue, a run or an audit is working on it, or a folder is no
            export.
        ManifestError: no reason is given, or it is too long; or an export's plug-in is not there.
    """
    reason = reason.strip()
    if not reason or len(reason) > MAX_REASON:
        raise ManifestError(f"--reason: write 1 to {MAX_REASON:,} characters; they stay with the corpus")
    console = Console(highlight=False)
    folder = CorpusFolder(corpus)
    if not (corpus / "ledger.json").exists() and not folder.work.is_dir():
        raise CorpusError(f"{corpus}: is no corpus: neither ledger.json nor work/ is there")
    settings = [find_setting(corpus, out) for out in exports]
    with ExitStack() as held:
        lock = CorpusLock.acquire(folder.work)
        held.callback(lock.release)
        readings = None
        if (corpus / FOLDER).is_dir():
            readings = CorpusLock.acquire(corpus / FOLDER)
            held.callback(readings.release)
        report = TakeDown(CorpusFolder(corpus, lock), lock, readings).execute(ids, reason)
    _tell(report, console)
    # Last, since a tokenizer may be missing here: the codes of the shards are gone, and a run encodes them anew, too.
    if (folder.work / TOKENS / ORDERED).is_file():
        settings.append(find_setting(corpus, corpus / TOKENS, folder.work / TOKENS))
    for setting in settings:
        summary = refresh_export(setting)
        count = say_count(sum(part.num_dialogues for part in summary.parts), "dialogue")
        console.print(plain(f"{setting.out}: {count}; nothing of what is gone", 1000), soft_wrap=True)


def _tell(report: TakedownReport, console: Console) -> None:
    def say(text: str) -> None:
        console.print(plain(text, 2000), soft_wrap=True)

    for name in report.already:
        say(f"{name}: was taken down before.")
    for one in report.dialogues.values():
        why = f" (rejected as a twin of {one.twin_of}: says the same)" if one.twin_of else ""
        rows = ", ".join(f"{table} {count:,}" for table, count in sorted(one.rows.items())) or "nothing published"
        say(f"{one.id}: taken down{why}; {rows}")
    if report.topics:
        say(f"{say_count(len(report.topics), 'topic')} that nothing else was about: the words are gone, too.")
    for topic in report.listed:
        say(f"The manifest lists the topic {topic!r}, and so does ledger.json: take it out there and run it again.")
    for page in report.pages:
        say(f"{page} showed what is gone and was removed; `anyinstruct report` makes it anew.")
    if report.dialogues:
        say(ELSEWHERE)
