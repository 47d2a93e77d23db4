"""``anyinstruct topics list``, ``add``, ``prune`` and ``diff``, and what all topic commands share."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from pipeline.adapters.embedding import MODEL, SentenceModel
from pipeline.adapters.model_files import ModelCache
from pipeline.adapters.prompt_files import PromptFolder, shipped_book
from pipeline.adapters.topic_files import Entry, TopicFile, make_line_topic, read_topic_file
from pipeline.adapters.vector_cache import VectorCache
from pipeline.cli.fetching import fetch_models
from pipeline.cli.plain import plain
from pipeline.contracts.embedding import Embedder
from pipeline.contracts.prompts import PromptBook
from pipeline.values.errors import ManifestError, ModelFileError
from pipeline.values.ids import content_key
from pipeline.values.records import Topic
from pipeline.values.words import say_count, suggest
from pipeline.work.topic_coverage import diff_topics
from pipeline.work.topic_variety import Kind, Likeness, Sieve

MANY = 500
"""From so many texts without a vector on, embedding takes long enough for a bar."""

WORDING = {Kind.EXACT: "is", Kind.NEAR: "is nearly", Kind.MEANING: "says the same as"}


@dataclass(frozen=True)
class Comparing:
    """How topics are compared: words alone or meanings too, and the prompts folder of their meta-topics."""

    words_only: bool = False
    prompts: Path | None = None


def list_topics(file: Path, metas: Sequence[str], matching: str | None, prompts: Path | None) -> None:
    """Print topics one a line, with line number and meta-topic in front."""
    book = open_book(prompts)
    entries = choose(read_topic_file(file, book.meta_topics).entries, metas, matching, book)
    width = max([len(entry.topic.meta_topic) for entry in entries], default=0)
    console = Console(highlight=False)
    for entry in entries:
        print_line(console, f"{entry.number:>6}  {entry.topic.meta_topic or '-':<{width}}  ", entry.topic.text)
    console.print(say_count(len(entries), "topic"))


def add_topics(
    file: Path, texts: Sequence[str], source: Path | None, meta: str | None, anyway: bool, how: Comparing
) -> int:
    """Add topics to a file, which is made where there is none; return the exit code."""
    console, book = Console(highlight=False), open_book(how.prompts)
    check_metas([meta] if meta else [], book)
    if not texts and source is None:
        raise ManifestError("name a topic before the file, or another file with --file")
    there = open_file(file, book)
    wanted = [make_line_topic(text, meta or "", "topics add") for text in texts]
    if source is not None:
        read = read_topic_file(source, book.meta_topics).topics
        wanted += [topic if topic.meta_topic or not meta else in_meta(topic, meta) for topic in read]
    with comparing([file], [*there.topics, *wanted], how.words_only, console) as embedder:
        sieve = Sieve(embedder)
        sieve.admit(there.topics)
        hits = sieve.sift(wanted)
    lines = first_lines(there)
    for hit in filter(None, hits):
        is_taken = anyway and hit.kind is not Kind.EXACT
        where = f"line {lines[hit.of.id]} of {file}" if hit.of.id in lines else "a topic added before it"
        print_line(console, "added anyway: " if is_taken else "refused: ", say_likeness(hit, where))
    new = _taken(wanted, hits, anyway)
    if new:
        there.add(new).write()
    console.print(f"{len(new):,} of {say_count(len(wanted), 'topic')} added to {file}", markup=False, soft_wrap=True)
    return 0 if new or not wanted else 1


def _taken(wanted: Sequence[Topic], hits: Sequence[Likeness | None], anyway: bool) -> list[Topic]:
    taken = [
        topic for topic, hit in zip(wanted, hits, strict=True) if hit is None or (anyway and hit.kind is not Kind.EXACT)
    ]
    # One that was let through because the user insists is unknown to the sieve: it may stand among them twice.
    return list({topic.id: topic for topic in reversed(taken)}.values())[::-1]


def prune_topics(file: Path, metas: Sequence[str], matching: str | None, dry_run: bool, how: Comparing) -> None:
    """Remove duplicates, or the topics that ``metas`` and ``matching`` choose, line by line."""
    console, book = Console(highlight=False), open_book(how.prompts)
    there = read_topic_file(file, book.meta_topics)
    if metas or matching is not None:
        reasons = {entry.number: entry.topic.text for entry in choose(there.entries, metas, matching, book)}
    else:
        with comparing([file], there.topics, how.words_only, console) as embedder:
            hits = Sieve(embedder).sift(there.topics)
        lines = first_lines(there)
        reasons = {
            entry.number: say_likeness(hit, f"line {lines[hit.of.id]}")
            for entry, hit in zip(there.entries, hits, strict=True)
            if hit is not None
        }
    for number, reason in reasons.items():
        print_line(console, f"{number:>6}  ", reason)
    if reasons and not dry_run:
        there.remove(reasons.keys()).write()
    what = "would be removed; nothing was changed" if dry_run else "removed"
    left = len(there.entries) - len(reasons)
    console.print(f"{say_count(len(reasons), 'topic')} {what}; {left:,} left in {file}", markup=False, soft_wrap=True)


def diff_files(former: Path, current: Path, how: Comparing) -> None:
    """Print in what one topic file differs from another."""
    console, book = Console(highlight=False), open_book(how.prompts)
    old, new = (read_topic_file(path, book.meta_topics).topics for path in (former, current))
    kept = {topic.id for topic in old} & {topic.id for topic in new}
    changed = [topic for topic in [*old, *new] if topic.id not in kept]
    # Meanings matter only between what went and what came; and what stands in both need not be embedded.
    with comparing([former, current], changed, how.words_only or not changed, console) as embedder:
        found = diff_topics(old, new, embedder)
    for hit in found.reworded:
        score = f"{hit.kind} {hit.score:.2f}"
        print_line(console, f"~ {_label(hit.topic)}", f"{hit.of.text} -> {hit.topic.text} ({score})")
    for before, after in found.moved:
        print_line(console, f"> {_label(before)}-> {_label(after)}", after.text)
    for sign, topics in (("-", found.removed), ("+", found.added)):
        for topic in topics:
            print_line(console, f"{sign} {_label(topic)}", topic.text)
    console.print(
        f"{len(found.added):,} added, {len(found.removed):,} removed, {len(found.moved):,} moved, "
        f"{len(found.reworded):,} reworded"
    )


def _label(topic: Topic) -> str:
    return f"[{topic.meta_topic}] " if topic.meta_topic else ""


def say_likeness(hit: Likeness, where: str) -> str:
    """Say what a topic is like, and how much."""
    score = (
        "" if hit.kind is Kind.EXACT else f" ({'cosine' if hit.kind is Kind.MEANING else 'Jaccard'} {hit.score:.2f})"
    )
    return f"{hit.topic.text!r} {WORDING[hit.kind]} {hit.of.text!r}, {where}{score}"


def open_book(prompts: Path | None) -> PromptBook:
    """Read a prompts folder, by default the shipped one."""
    return PromptFolder(prompts) if prompts else shipped_book()


def open_file(file: Path, book: PromptBook) -> TopicFile:
    """Read a topic file; one that is not there is empty."""
    return read_topic_file(file, book.meta_topics) if file.exists() else TopicFile(file, (), book.meta_topics)


def in_meta(topic: Topic, meta: str) -> Topic:
    """Return a topic under another meta-topic."""
    return topic.model_copy(update={"meta_topic": meta})


def first_lines(file: TopicFile) -> Mapping[str, int]:
    """Return by topic id the first line that it stands on."""
    return {entry.topic.id: entry.number for entry in reversed(file.entries)}


def choose(entries: Sequence[Entry], metas: Collection[str], matching: str | None, book: PromptBook) -> list[Entry]:
    """Return the entries of some meta-topics that hold a regular expression.

    Raises:
        ManifestError: a meta-topic is unknown, or the expression is none.
    """
    check_metas(metas, book)
    try:
        pattern = re.compile(matching or "", re.IGNORECASE)
    except re.error as exc:
        raise ManifestError(f"--matching: {matching!r} is no regular expression: {exc}") from exc
    return [e for e in entries if (not metas or e.topic.meta_topic in metas) and pattern.search(e.topic.text)]


def check_metas(metas: Collection[str], book: PromptBook) -> None:
    """Refuse meta-topics that the prompts folder does not have."""
    for name in metas:
        if name not in book.meta_topics:
            near = suggest(name, book.meta_topics)
            raise ManifestError(f"--meta: {name!r} does not stand in meta_topics.yaml; {near}")


def print_line(console: Console, label: str, text: str) -> None:
    """Print a line of our own words and a stranger's: no markup is evaluated, no control character gets through."""
    console.print(Text.assemble(label, plain(text, 1000)), soft_wrap=True)


@contextmanager
def comparing(
    files: Sequence[Path], topics: Sequence[Topic], words_only: bool, console: Console
) -> Iterator[Embedder | None]:
    """Yield what embeds topics, with the vectors of ``topics`` at hand; None where words are enough.

    Vectors are kept in the user's cache, in one file for each topic file, or pair of them, that is worked on.

    Raises:
        ModelFileError: the sentence model or its packages cannot be had.
    """
    if words_only:
        yield None
        return
    cache = ModelCache()
    path = cache.root / "vectors" / f"{MODEL}-{content_key(*[str(file.absolute()) for file in files])}.npz"
    embedder = VectorCache(path, lambda: _open_model(cache, console))
    texts = [topic.text for topic in topics]
    missing = embedder.count_missing(texts)
    if missing >= MANY:
        with _bar(console, "Reading meanings", missing) as advance:
            embedder.embed(texts, advance)
    try:
        yield embedder
    finally:
        embedder.save()


def _open_model(cache: ModelCache, console: Console) -> SentenceModel:
    advice = "or compare words alone with --words-only"
    try:
        fetch_models(cache, [MODEL], console)
        return SentenceModel(cache.path(MODEL))
    except ModelFileError as exc:
        raise ModelFileError(f"{exc}; {advice}") from exc


@contextmanager
def _bar(console: Console, what: str, total: int) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)
