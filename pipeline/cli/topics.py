"""The ``topics`` commands and their arguments. Kept free of heavy imports, so that ``--help`` answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

topics_app = typer.Typer(
    help="Read, grow and tidy topic files: one topic a line under [meta-topic] headings, named under topics: files:.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

TopicsFile = Annotated[Path, typer.Argument(metavar="FILE", help="Topic file.", show_default=False)]
Prompts = Annotated[
    Optional[Path],  # noqa: UP045  typer reads the annotation
    typer.Option(help="Prompts folder with meta_topics.yaml, instead of the shipped one.", show_default=False),
]
Metas = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--meta", help="Only this meta-topic, by its id; may be repeated.", show_default=False),
]
Matching = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Only topics that hold this regular expression; case does not count.", show_default=False),
]
Budget = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(
        min=0.0,
        help="US dollars that all expansions of this file may spend; exit code 3 once no call fits, and more of it "
        "goes on.",
        show_default=False,
    ),
]
WordsOnly = Annotated[bool, typer.Option("--words-only", help="Compare words and not meanings: no model is loaded.")]


@topics_app.command("list")
def list_(file: TopicsFile, meta: Metas = None, matching: Matching = None, prompts: Prompts = None) -> None:
    """Print topics with their line numbers and meta-topics."""
    from pipeline.cli.topic_commands import list_topics

    list_topics(file, meta or (), matching, prompts)


@topics_app.command()
def add(
    words: Annotated[
        list[str], typer.Argument(metavar="[TOPIC]... FILE", help="Topics, and last the file.", show_default=False)
    ],
    source: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--file", help="Add the topics of this file, under its headings.", show_default=False),
    ] = None,
    meta: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Meta-topic of topics that stand under no heading.", show_default=False),
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Add also what is like a topic that is there, though not in equal words.")
    ] = False,
    words_only: WordsOnly = False,
    prompts: Prompts = None,
) -> None:
    """Add topics; duplicates are refused, with the line that they are like. Exit code 1 where none was added."""
    from pipeline.cli.topic_commands import Comparing, add_topics

    how = Comparing(words_only=words_only, prompts=prompts)
    raise typer.Exit(add_topics(Path(words[-1]), words[:-1], source, meta, anyway, how))


@topics_app.command()
def prune(
    file: TopicsFile,
    meta: Metas = None,
    matching: Matching = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
    words_only: WordsOnly = False,
    prompts: Prompts = None,
) -> None:
    """Remove duplicates: equal words, nearly equal words, same meaning; the first stays.

    With --meta or --matching, remove what these choose instead.
    """
    from pipeline.cli.topic_commands import Comparing, prune_topics

    prune_topics(file, meta or (), matching, dry_run, Comparing(words_only=words_only, prompts=prompts))


@topics_app.command()
def coverage(
    file: TopicsFile,
    wanted: Annotated[int, typer.Option(min=0, help="Topics that each meta-topic should have.")] = 200,
    plot: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Write a plot here, as .svg.", show_default=False),
    ] = None,
    words_only: WordsOnly = False,
    prompts: Prompts = None,
) -> None:
    """Say by meta-topic how many topics there are, how alike, how widely spread, and what is missing."""
    from pipeline.cli.topic_coverage import print_coverage

    print_coverage(file, wanted, plot, words_only, prompts)


@topics_app.command()
def diff(
    former: Annotated[Path, typer.Argument(metavar="A", help="Topic file, before.", show_default=False)],
    current: Annotated[Path, typer.Argument(metavar="B", help="Topic file, after.", show_default=False)],
    words_only: WordsOnly = False,
    prompts: Prompts = None,
) -> None:
    """Say which topics were added, removed, reworded, or moved to another meta-topic."""
    from pipeline.cli.topic_commands import Comparing, diff_files

    diff_files(former, current, Comparing(words_only=words_only, prompts=prompts))


@topics_app.command()
def expand(  # noqa: PLR0913  an option is a parameter
    file: TopicsFile,
    manifest: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Manifest whose writer, prompts and seed are used.", show_default=False),
    ] = None,
    model: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Without a manifest: a model of the model lock, or of an endpoint.", show_default=False),
    ] = None,
    base_url: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="With --model: an endpoint of the OpenAI protocol.", show_default=False),
    ] = None,
    meta: Metas = None,
    per_meta: Annotated[int, typer.Option(min=1, max=10_000, help="Topics that each meta-topic is to have.")] = 200,
    per_call: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=1, max=200, help="Most topics of one answer; 50, and 10 for an embedded model.", show_default=False
        ),
    ] = None,
    min_new: Annotated[
        float,
        typer.Option(min=0.01, max=1, help="A meta-topic is exhausted when less than this share of a round is new."),
    ] = 0.25,
    max_calls: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=1,
            help="Stop after this many LLM calls, with exit code 3; the same command goes on.",
            show_default=False,
        ),
    ] = None,
    budget: Budget = None,
    words_only: WordsOnly = False,
    prompts: Prompts = None,
) -> None:
    """Have an LLM write topics in rounds, each told what is there, and keep what is new. Kill it and go on at will."""
    from pipeline.cli.topic_expanding import Extent, Means, expand_file

    means = Means(manifest, model, base_url, tuple(meta or ()), prompts, words_only)
    raise typer.Exit(expand_file(file, means, Extent(per_meta, per_call, min_new, max_calls, budget)))
