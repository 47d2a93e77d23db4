"""The commands that look at a corpus, and their arguments.

Kept free of heavy imports, so that ``--help`` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from pipeline.cli.objects import Use, at_hand, on_disk
from pipeline.cli.options import CorpusFolder, RayAddress


def status(
    corpus: CorpusFolder,
    follow: Annotated[bool, typer.Option("--follow", help="Keep watching until the run ends.")] = False,
) -> None:
    """Say what a corpus holds and what a run on it is doing, from any terminal."""
    from pipeline.cli.status import print_status

    with at_hand(corpus, Use.STATE) as folder:
        print_status(folder, follow)


def failures(
    source: Annotated[
        Path, typer.Argument(metavar="CORPUS|MANIFEST", help="Corpus folder or manifest.", show_default=False)
    ],
    reason: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Keep to this stage, code or stage/code.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False,
) -> None:
    """List what failed and what was rejected by stage and reason, with examples and what to do."""
    from pipeline.cli.failures import print_failures

    with at_hand(source, Use.ALL) as folder:
        print_failures(folder, reason, as_json)


def show(
    corpus: CorpusFolder,
    dialogue: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(help="Dialogue id or its first digits; left out, the dialogues are listed.", show_default=False),
    ] = None,
    trace: Annotated[
        bool, typer.Option("--trace", help="Show where it came from: prompts, seeds, raw answers.")
    ] = False,
    save: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Save the dialogue's media into this folder.", show_default=False),
    ] = None,
) -> None:
    """Print a dialogue as a person reads it."""
    from pipeline.cli.show import show_corpus

    with at_hand(corpus, Use.WORDS, dialogue) as folder:
        show_corpus(folder, dialogue, trace, save)


def verify(
    corpus: CorpusFolder,
    fix: Annotated[
        bool, typer.Option("--fix", help="Set damaged files aside, so that the next run rebuilds them.")
    ] = False,
) -> None:
    """Re-hash every file, decode every asset, check every reference and count."""
    from pipeline.cli.verify import verify_corpus

    with at_hand(corpus, Use.CHANGE if fix else Use.ALL) as folder:
        code = verify_corpus(folder, fix)
    raise typer.Exit(code)


def audit(  # noqa: PLR0913  an option is a parameter
    corpus: CorpusFolder,
    only: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="Run this audit, and others only where they are named too.", show_default=False),
    ] = None,
    sample: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=1, help="Look at so many dialogues of all cells, with confidence intervals.", show_default=False
        ),
    ] = None,
    option: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="audit.option=value, e.g. speech-words.threads=2.", show_default=False),
    ] = None,
    limit: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="measure=number, in place of the measure's own limit.", show_default=False),
    ] = None,
    budget: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            min=0.0,
            help="US dollars that all audits of this corpus may spend on calls; exit code 3 once no call fits.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that measure at the same time.")] = 1,
    gpus: Annotated[float, typer.Option(min=0.0, help="GPUs that each of them holds.")] = 0.0,
    address: RayAddress = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summaries as JSON.")] = False,
) -> None:
    """Measure the records of a finished corpus. What was measured before is kept; run again to go on."""
    from pipeline.cli.audit import audit_corpus, parse_limits, parse_options
    from pipeline.execution.audits import AuditSetting
    from pipeline.execution.cluster import PoolShape

    options, limits = parse_options(option or []), parse_limits(limit or [])
    with at_hand(corpus, Use.CHANGE) as folder:
        setting = AuditSetting(folder, tuple(only or ()), options, limits, sample, budget)
        code = audit_corpus(setting, PoolShape(workers, 1.0, gpus, address), as_json)
    raise typer.Exit(code)


def review(
    corpus: CorpusFolder,
    reviewer: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="NAME", help="Who judges; left out, your login name.", show_default=False),
    ] = None,
    agreement: Annotated[
        bool, typer.Option("--agreement", help="Print how far reviewers agree, and serve no page.")
    ] = False,
    host: Annotated[
        str, typer.Option(help="Listen here; any but this machine's own loopback is warned of.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Listen on this port; 0 takes any free one.")] = 8377,
) -> None:
    """Serve a page on this machine on which people accept and reject dialogues. Ctrl-C stops."""
    from pipeline.cli.review import print_agreement, serve_review

    if agreement:
        with at_hand(corpus, Use.PUBLISHED) as folder:
            print_agreement(folder)
    else:
        serve_review(on_disk(corpus, "review"), reviewer, host, port)


def report(
    corpus: CorpusFolder,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--out", "-o", help="HTML file to write; report.html in the corpus otherwise.", show_default=False
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=0, help="Dialogues to show: so many of the worst, as many others.")] = 6,
    media_mb: Annotated[float, typer.Option(min=0.0, help="Megabytes of the page that media may take.")] = 16.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON and write no page.")] = False,
    round_trip: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Audited copy by `round-trip`: say what its tokens cost.", show_default=False),
    ] = None,
) -> None:
    """Write what a corpus holds, how good it is and what it cost, as one page that needs no network."""
    from pipeline.cli.report import report_corpus

    with at_hand(corpus, Use.CHANGE if out is None and not as_json else Use.ALL) as folder:
        report_corpus(folder, on_disk(out, "report --out"), samples, media_mb, as_json, round_trip)


def diff(
    first: Annotated[Path, typer.Argument(help="Corpus folder.", show_default=False)],
    second: Annotated[Path, typer.Argument(help="The corpus folder to hold against it.", show_default=False)],
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--out", "-o", help="Write an HTML page too.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the differences as JSON.")] = False,
) -> None:
    """Say in what two corpora differ: counts, matrix, scores, cost, samples."""
    from pipeline.cli.diff import diff_corpora

    with at_hand(first, Use.PUBLISHED) as one, at_hand(second, Use.PUBLISHED) as other:
        diff_corpora(one, other, out, as_json)


def doctor(
    manifest: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(help="Look at what this manifest needs only.", show_default=False),
    ] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Fetch the missing model files.")] = False,
) -> None:
    """Say which models, renderers, voices, endpoints and GPUs are usable here, and what to do about the others."""
    from pipeline.cli.doctor import examine

    raise typer.Exit(examine(manifest, fetch))
