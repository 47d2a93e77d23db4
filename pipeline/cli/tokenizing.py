"""The end of ``anyinstruct run`` where the manifest has a section ``tokenize``: codes beside the corpus."""

from __future__ import annotations

import asyncio
from functools import partial

from rich.console import Console

from pipeline.adapters.lock import CorpusLock
from pipeline.cli.following import follow
from pipeline.execution.cluster import Pool, PoolShape
from pipeline.execution.exports import ExportRun, ExportSetting, ExportWork
from pipeline.values.tokenizing import Tokenize
from pipeline.values.words import say_count


def write_tokens(setting: ExportSetting, section: Tokenize, address: str | None, console: Console) -> None:
    """Bring the codes beside a corpus up to date, and say how many media have some.

    Args:
        address: Of the Ray cluster to join; None for one of this process's own.

    Raises:
        CorpusError: a medium cannot be decoded, or the weights changed while it ran.
        Drained: Ctrl-C ended it; whole shards are kept.
    """
    shape = PoolShape(section.actors, 1.0, section.num_gpus, address)
    lock = CorpusLock.acquire(setting.state)
    try:
        build = partial(ExportWork, setting, lock.epoch)
        run = ExportRun(setting, lock, lambda: Pool(build, shape))
        summary = asyncio.run(follow(run, console, "tokenizing", "dialogues"))
    finally:
        lock.release()
    num_codes = sum(file.num_rows for part in summary.parts for file in part.files)
    console.print(f"Codes of {say_count(num_codes, 'medium', 'media')}: {setting.out}", markup=False, soft_wrap=True)
