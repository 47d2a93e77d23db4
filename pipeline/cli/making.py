"""The commands that make a corpus, and their arguments.

Kept free of heavy imports, so that ``--help`` answers at once.
"""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from pipeline.cli.objects import Use, at_hand
from pipeline.cli.options import CorpusFolder, Limit, ManifestFile, Where
from pipeline.values.stages import Until

StopAfter = Annotated[
    Optional[Until],  # noqa: UP045
    typer.Option(help="Stop after this stage; another run goes on from there.", show_default=False),
]


def plan(manifest: ManifestFile, corpus: Where = None, limit: Limit = None) -> None:
    """Say what a run would do and why, and what it would cost. Changes nothing."""
    from pipeline.cli.plan import print_plan

    with at_hand(corpus, Use.PLAN) as folder:
        print_plan(manifest, folder, limit)


def run(  # noqa: PLR0913  an option is a parameter
    manifest: ManifestFile,
    corpus: Where = None,
    limit: Limit = None,
    until: StopAfter = None,
    budget: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            min=0.0,
            help="US dollars that all runs of this corpus may spend on calls; exit code 3 once no call fits.",
            show_default=False,
        ),
    ] = None,
    retry_failed: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="REASON",
            help="Take what failed again with other seeds: a stage, a code, stage/code, or all.",
            show_default=False,
        ),
    ] = None,
    address: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Ray address of a cluster, in place of the manifest's; auto finds one.", show_default=False),
    ] = None,
) -> None:
    """Make what is missing or stale. Ctrl-C finishes what is in flight; run again to go on."""
    from pipeline.cli.run import RunLimits, run_manifest

    with at_hand(corpus, Use.MAKE) as folder:
        code = run_manifest(manifest, folder, RunLimits(limit, until, budget, retry_failed), address)
    raise typer.Exit(code)


def screen(
    manifest: ManifestFile,
    corpus: Where = None,
    limit: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="measure=number, beside the manifest's limits or in place of one.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Say what the limits of a manifest's screen would reject. Measures what is not measured yet; rejects nothing."""
    from pipeline.cli.screen import screen_manifest

    with at_hand(corpus, Use.CHANGE) as folder:
        code = screen_manifest(manifest, folder, limit or [], as_json)
    raise typer.Exit(code)


def repair(
    manifest: ManifestFile,
    corpus: Where = None,
    limit: Limit = None,
    attempts: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=1,
            max=100,
            help="Renders of an asset beside its first one, and of a rewritten description; left out, the manifest's.",
            show_default=False,
        ),
    ] = None,
    rewrite: Annotated[
        Optional[bool],  # noqa: UP045
        typer.Option(
            "--rewrite/--no-rewrite",
            help="Have the LLM rewrite the descriptions that no attempt has mended; left out, the manifest's.",
            show_default=False,
        ),
    ] = None,
    budget: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=0.0, help="US dollars that all runs of the corpus may spend.", show_default=False),
    ] = None,
) -> None:
    """Render again what falls short of a manifest's limits, and keep the better attempt. Run again to go on."""
    from pipeline.cli.repair import repair_manifest

    changes = {name: value for name, value in (("attempts", attempts), ("rewrite", rewrite)) if value is not None}
    with at_hand(corpus, Use.CHANGE) as folder:
        code = repair_manifest(manifest, folder, limit, changes, budget)
    raise typer.Exit(code)


def gc(
    corpus: CorpusFolder,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
) -> None:
    """Remove what no ledger needs: replaced files, leftovers of kills, rows of topics taken out."""
    from pipeline.cli.gc import collect_garbage

    with at_hand(corpus, Use.ALL if dry_run else Use.CHANGE) as folder:
        collect_garbage(folder, dry_run)
