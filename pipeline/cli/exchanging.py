"""The commands that bring corpora out, in and together, and their arguments.

Kept free of heavy imports, so that ``--help`` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from pipeline.cli.objects import Use, at_hand, on_disk
from pipeline.cli.options import CorpusFolder, RayAddress
from pipeline.values.errors import ManifestError
from pipeline.values.merging import OnConflict

Splits = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(help="name=share, e.g. train=0.98; whole topics go to one split.", show_default=False),
]
Cells = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(help="Take this cell of the mix, and others only where named too.", show_default=False),
]
MetaTopics = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(help="Take this meta-topic, and others only where named too.", show_default=False),
]


def export(  # noqa: PLR0913  an option is a parameter
    corpus: CorpusFolder,
    out: Annotated[Path, typer.Argument(help="Folder to write to.", show_default=False)],
    to: Annotated[
        str, typer.Option(help="hf, webdataset, messages, parquet, tokens, anyinstruct, anygpt or another package's.")
    ],
    split: Splits = None,
    split_by: Annotated[str, typer.Option(help="Column that must not leak: topic or meta_topic.")] = "topic",
    cell: Cells = None,
    meta_topic: MetaTopics = None,
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
    address: RayAddress = None,
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


def take_down(
    corpus: CorpusFolder,
    dialogue: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of dialogues.", show_default=False)],
    reason: Annotated[
        str, typer.Option(help="Why, in your own words; it stays in takedowns.json.", show_default=False)
    ],
    export: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Option(help="An export of the corpus, out of which they go, too.", show_default=False),
    ] = None,
) -> None:
    """Remove dialogues and their media from a corpus for good, and keep the reason.

    Their words, media, verdicts and readings go from tables, stage files, journals and reports, and their topics where
    nothing else is about them; what was spent stays counted. No later run, import or merge brings them back. A hub's
    history, backups, logs of providers, and the manifest with the files that it names keep theirs.
    """
    from pipeline.cli.take_down import take_down as take_dialogues_down

    with at_hand(corpus, Use.CHANGE) as folder:
        take_dialogues_down(folder, dialogue, reason, [on_disk(out, "take-down --export") for out in export or ()])
