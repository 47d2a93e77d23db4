"""The commands and their arguments. Kept free of heavy imports, so that ``--help`` answers at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from pipeline.cli.objects import Use, at_hand, on_disk
from pipeline.cli.topics import topics_app
from pipeline.cli.trying import try_
from pipeline.cli.voices import voices_app
from pipeline.values.errors import AnyInstructError, ManifestError
from pipeline.values.merging import OnConflict
from pipeline.values.stages import Until

app = typer.Typer(
    name="anyinstruct",
    help="Makes any-to-any multimodal instruction data: topics in, dialogues with rendered media out, as Parquet.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(topics_app, name="topics")
app.add_typer(voices_app, name="voices")
app.command("try")(try_)

ManifestFile = Annotated[Path, typer.Argument(help="Corpus manifest, a YAML file.", show_default=False)]
CorpusFolder = Annotated[
    Path, typer.Argument(help="Corpus folder, e.g. corpora/demo, or s3://bucket/demo.", show_default=False)
]
Where = Annotated[
    Optional[Path],  # noqa: UP045  typer reads the annotation
    typer.Option(
        "--corpus",
        help="Corpus folder or s3:// address, instead of corpora/<name of the manifest>.",
        show_default=False,
    ),
]
StopAfter = Annotated[
    Optional[Until],  # noqa: UP045
    typer.Option(help="Stop after this stage; another run goes on from there.", show_default=False),
]
Limit = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(min=1, help="Work on the first N dialogues of the plan only; the rest goes on from there."),
]


@app.command()
def plan(manifest: ManifestFile, corpus: Where = None, limit: Limit = None) -> None:
    """Say what a run would do and why, and what it would cost. Changes nothing."""
    from pipeline.cli.plan import print_plan

    with at_hand(corpus, Use.PLAN) as folder:
        print_plan(manifest, folder, limit)


@app.command()
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


@app.command()
def status(
    corpus: CorpusFolder,
    follow: Annotated[bool, typer.Option("--follow", help="Keep watching until the run ends.")] = False,
) -> None:
    """Say what a corpus holds and what a run on it is doing, from any terminal."""
    from pipeline.cli.status import print_status

    with at_hand(corpus, Use.STATE) as folder:
        print_status(folder, follow)


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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
    address: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Ray address of a cluster; left out, Ray starts on this machine.", show_default=False),
    ] = None,
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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
def export(  # noqa: PLR0913  an option is a parameter
    corpus: CorpusFolder,
    out: Annotated[Path, typer.Argument(help="Folder to write to.", show_default=False)],
    to: Annotated[
        str, typer.Option(help="hf, webdataset, messages, parquet, tokens, anyinstruct, anygpt or another package's.")
    ],
    split: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="name=share, e.g. train=0.98; whole topics go to one split.", show_default=False),
    ] = None,
    split_by: Annotated[str, typer.Option(help="Column that must not leak: topic or meta_topic.")] = "topic",
    cell: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="Take this cell of the mix, and others only where named too.", show_default=False),
    ] = None,
    meta_topic: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="Take this meta-topic, and others only where named too.", show_default=False),
    ] = None,
    where: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="SQL over the dialogues' columns and, by their names, over measures of audits, of which the worst of "
            'a dialogue counts: "num_rounds > 1 and image.contrast > 0.2".',
            show_default=False,
        ),
    ] = None,
    passing: Annotated[bool, typer.Option("--passing", help="Leave out dialogues that an audit faults.")] = False,
    verdict: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Take what most reviewers of a dialogue accept, or reject: accept or reject."),
    ] = None,
    option: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="option=value of the export, e.g. media=data.", show_default=False),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that write at the same time.")] = 1,
    address: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Ray address of a cluster; left out, Ray starts on this machine.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Bring a finished corpus into the form that a trainer reads. Run again to write what has changed."""
    from pipeline.cli.export import choose_ids, export_corpus, parse_splits
    from pipeline.contracts.plugins import read_options
    from pipeline.execution.cluster import PoolShape
    from pipeline.execution.exports import ExportSetting
    from pipeline.work.exporting import Selection

    with at_hand(corpus, Use.PUBLISHED) as folder:
        setting = ExportSetting(
            folder,
            on_disk(out, "export"),
            to,
            read_options(option or []),
            parse_splits(split or [], split_by),
            Selection(cells=tuple(cell or ()), meta_topics=tuple(meta_topic or ())),
            choose_ids(folder, where, passing, verdict),
        )
        code = export_corpus(setting, PoolShape(workers, 1.0, 0.0, address), as_json)
    raise typer.Exit(code)


@app.command()
def publish(
    export: Annotated[Path, typer.Argument(help="Folder of a finished export made with --to hf.", show_default=False)],
    repo: Annotated[str, typer.Argument(help="Dataset repository: owner/name.", show_default=False)],
    private: Annotated[bool, typer.Option("--private", help="Make the repository private, if it is new.")] = False,
    revision: Annotated[str, typer.Option(help="Branch; made where it is missing.")] = "main",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be sent.")] = False,
) -> None:
    """Push an export to the Hugging Face Hub, and only what is missing there. Token: `hf auth login` or HF_TOKEN."""
    from pipeline.cli.publish import publish_export

    raise typer.Exit(publish_export(export, repo, revision, private, dry_run))


@app.command("round-trip")
def round_trip(
    corpus: CorpusFolder,
    out: Annotated[Path, typer.Argument(help="Folder for the copy.", show_default=False)],
    option: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="kind=tokenizer:model, e.g. speech=mimi:kyutai/mimi.", show_default=False),
    ] = None,
) -> None:
    """Copy a corpus with its media through tokenizers and back, so that audits and diff show what the tokens cost."""
    from pipeline.cli.round_trip import make_round_trip
    from pipeline.contracts.plugins import read_options

    with at_hand(corpus, Use.PUBLISHED) as folder:
        code = make_round_trip(folder, on_disk(out, "round-trip"), read_options(option or []))
    raise typer.Exit(code)


@app.command()
def gc(
    corpus: CorpusFolder,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
) -> None:
    """Remove what no ledger needs: replaced files, leftovers of kills, rows of topics taken out."""
    from pipeline.cli.gc import collect_garbage

    with at_hand(corpus, Use.ALL if dry_run else Use.CHANGE) as folder:
        collect_garbage(folder, dry_run)


@app.command("import")
def import_(
    source: Annotated[
        Path,
        typer.Argument(
            help="A folder that `export` wrote, or one of the published set: data_construction, or that with part1 "
            "and part2.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Argument(help="Folder to write to.", show_default=False)],
    layout: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--from",
            metavar="LAYOUT",
            help="Make a corpus out of this layout: hf, parquet, anyinstruct, webdataset or messages. A folder that "
            "`export` wrote says its own.",
            show_default=False,
        ),
    ] = None,
    language: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Language of dialogues that state none, e.g. en. Needs --from.", show_default=False),
    ] = None,
) -> None:
    """Make a corpus, media and all, of an export or a published set; or take topics over, with a manifest to start.

    A corpus is made where --from names a layout, or where SOURCE is a folder that `export` wrote (it holds
    export.json). Otherwise SOURCE must have data_construction files, and of these topics, scenarios and text dialogues
    are taken, without media. Rows that cannot be read are counted and listed by reason. The same command goes on where
    it was stopped.
    """
    from pipeline.cli.import_corpus import import_corpus
    from pipeline.cli.importing import import_published
    from pipeline.execution.imports import EXPORT_INDEX, ImportSetting

    source, out = on_disk(source, "import"), on_disk(out, "import")
    if layout is None and not (source / EXPORT_INDEX).is_file():
        if language is not None:
            raise ManifestError("--language: is for making a corpus; say with --from in which layout the source is")
        import_published(source, out)
        return
    raise typer.Exit(import_corpus(ImportSetting(source, out, layout, language)))


@app.command()
def merge(
    corpora: Annotated[
        list[Path], typer.Argument(metavar="CORPUS...", help="Corpora, two or more.", show_default=False)
    ],
    out: Annotated[Path, typer.Argument(help="Folder to write to.", show_default=False)],
    on_conflict: Annotated[
        OnConflict,
        typer.Option(
            help="What to do with a dialogue that an earlier corpus has with other content: end with an error, keep "
            "the first, or rename the later one."
        ),
    ] = OnConflict.ERROR,
) -> None:
    """Join corpora: a dialogue that several have with the same content stands once.

    Ledgers of the merged corpus say of each shard where it comes from. Nothing is rendered or decoded. The same
    command goes on where it was stopped; until it has ended there is no corpus.
    """
    from pipeline.cli.merging import merge_corpora
    from pipeline.execution.merging import MergeSetting

    named = tuple(on_disk(corpus, "merge") for corpus in corpora)
    raise typer.Exit(merge_corpora(MergeSetting(named, on_disk(out, "merge"), on_conflict)))


@app.command()
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


def main() -> None:
    """Run the command line; an expected error is one message on standard error and exit code 1."""
    try:
        app()
    except AnyInstructError as exc:
        print(f"error: {_clean(str(exc))}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output left (``| head``): that is no error, and Python must not complain on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _clean(text: str) -> str:
    """Error texts quote files that strangers wrote: no control character of theirs reaches the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "�" for c in text)


if __name__ == "__main__":
    main()
