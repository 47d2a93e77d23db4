"""``anyinstruct round-trip``: a copy of a corpus whose media went through tokenizers and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console

from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.published import PublishedCorpus
from pipeline.adapters.tokenizers.choosing import TokenizerChoice, known_tokenizers
from pipeline.cli.plain import plain
from pipeline.cli.run import INTERRUPTED
from pipeline.execution.round_trip import STATE, RoundTrip, RoundTripWork
from pipeline.values.errors import CorpusError, ManifestError


def make_round_trip(corpus: Path, out: Path, options: Mapping[str, Any]) -> int:
    """Write the copy and say what to do with it; return the exit code.

    Raises:
        ManifestError: no tokenizer is stated, or one is wrong.
        CorpusError: there is no such corpus, or the copy cannot stand there.
    """
    console = Console(highlight=False)
    setting = RoundTrip(corpus, out, read_choices(options))
    PublishedCorpus(corpus)
    _check_place(corpus, out)
    lock = CorpusLock.acquire(out / STATE)
    try:
        work = RoundTripWork(setting, lock)
        counts = work.execute(lambda done, total: console.print(f"{done:,} of {total:,} shards", markup=False))
    except KeyboardInterrupt:
        console.print("Stopped; whole shards are kept. To go on, give the same command again.", markup=False)
        return INTERRUPTED
    finally:
        lock.release()
    told = ", ".join(f"{count:,} {kind}" for kind, count in counts.items())
    console.print(plain(f"Written to {out}: {told} through tokens and back.", 1000), soft_wrap=True)
    console.print(plain(f"Run `anyinstruct audit` on both, then `anyinstruct diff {corpus} {out}`.", 1000))
    return 0


def read_choices(options: Mapping[str, Any]) -> dict[str, TokenizerChoice]:
    """Read a tokenizer for each kind.

    Raises:
        ManifestError: none is stated, or one is wrong.
    """
    kinds = sorted({kind for plugin in known_tokenizers().values() for kind in plugin.kinds})
    if not options:
        example = "--option music=encodec:facebook/encodec_32khz"
        raise ManifestError(f"no tokenizer is stated; say which for any of {', '.join(kinds)}, e.g. {example}")
    choices = {}
    for kind, value in options.items():
        if kind not in kinds:
            raise ManifestError(
                f"--option {kind}: no kind of media that a tokenizer takes; there are {', '.join(kinds)}"
            )
        try:
            choices[kind] = TokenizerChoice.model_validate(value)
        except ValidationError as exc:
            why = exc.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
            raise ManifestError(f"--option {kind}: {why}") from exc
        choices[kind].check(kind)
    return choices


def _check_place(corpus: Path, out: Path) -> None:
    inside, outside = corpus.resolve(), out.resolve()
    if inside == outside or inside in outside.parents or outside in inside.parents:
        raise CorpusError(f"{out}: a copy stands outside of its corpus; name another folder")
    if out.exists() and not out.is_dir():
        raise CorpusError(f"{out}: is a file; name a folder")
    if out.exists() and not (out / STATE).exists() and any(out.iterdir()):
        raise CorpusError(f"{out}: holds files that are no such copy; name an empty folder or a new one")
