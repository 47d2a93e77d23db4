"""``anyinstruct show``: a list of dialogues, or one of them as a person reads it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from pipeline.adapters.reading import CorpusReader, Listed
from pipeline.adapters.takedown_book import read_takedowns
from pipeline.cli.plain import plain
from pipeline.cli.show_dialogue import print_dialogue
from pipeline.cli.show_save import save_dialogue
from pipeline.cli.show_trace import TracePrinter
from pipeline.cli.thumbnails import detect_graphics
from pipeline.values.errors import CorpusError
from pipeline.values.words import say_count

MAX_LISTED = 50
FIRST_WORDS = 60
"""Characters of a dialogue's beginning, and of its topic, in the list."""

PIPED_WIDTH = 200
"""Columns of a list that goes into a pipe, which has no width of its own."""


def show_corpus(corpus: Path, dialogue: str | None, trace: bool, save: Path | None) -> None:
    """Print the list of dialogues, or one dialogue.

    Args:
        corpus: The corpus folder.
        dialogue: An id or its first digits; None lists.
        trace: Print plan, prompts, answers and renders after the dialogue.
        save: Folder for the dialogue's media.

    Raises:
        CorpusError: there is no corpus, or the id is unknown or not unique.
    """
    if dialogue is None and (trace or save is not None):
        raise typer.BadParameter("--trace and --save are about one dialogue: name its id, which the list shows")
    reader = CorpusReader(corpus)
    is_terminal = sys.stdout.isatty()
    console = Console(highlight=False, markup=False, emoji=False, width=None if is_terminal else PIPED_WIDTH)
    if dialogue is None:
        _print_list(reader, console)
        return
    name = reader.find(dialogue)
    if (gone := read_takedowns(corpus).get(name)) is not None:
        raise CorpusError(f"{name}: was taken down ({gone.time}): {gone.reason}")
    found = reader.read(name)
    graphics = detect_graphics(os.environ, is_terminal, console.color_system is not None and not console.no_color)
    print_dialogue(found, graphics, console)
    if trace:
        TracePrinter(reader, found, console).print()
    if save is not None:
        written = save_dialogue(found, save)
        console.print()
        console.print(plain(f"Saved {say_count(len(written) - 1, 'media file')} and {written[-1]}"), soft_wrap=True)


def _print_list(reader: CorpusReader, console: Console) -> None:
    listed = reader.first(MAX_LISTED)
    table = Table(box=None, pad_edge=False)
    table.add_column("id", no_wrap=True)
    table.add_column("topic", max_width=FIRST_WORDS // 2, no_wrap=True, overflow="ellipsis")
    table.add_column("gives → answers", no_wrap=True)
    table.add_column("rounds", justify="right")
    table.add_column("first words", no_wrap=True, overflow="ellipsis")
    for line in listed:
        table.add_row(
            plain(line.id),
            plain(line.topic, FIRST_WORDS),
            plain(f"{', '.join(line.gives)} → {', '.join(line.answers)}"),
            str(line.num_rounds),
            plain(_first_words(line), FIRST_WORDS),
        )
    console.print(table)
    for sentence in _say_counts(reader, len(listed)):
        console.print(plain(sentence), soft_wrap=True)


def _first_words(line: Listed) -> str:
    if not line.turns:
        return f"({line.note})"
    parts = line.turns[0]["parts"]
    words = next((part["text"] for part in parts if part["kind"] in ("text", "speech")), None)
    return str(words) if words is not None else f"[{parts[0]['kind']}] {parts[0]['text']}" if parts else ""


def _say_counts(reader: CorpusReader, num_listed: int) -> list[str]:
    total, root, ledger = reader.count(), reader.folder.root, reader.ledger
    what = "kept" if ledger is not None else "not yet packed"
    said = [
        f"{say_count(total, 'dialogue')}, {what}"
        + (f"; these are the first {num_listed}" if num_listed < total else "")
    ]
    if ledger is not None:
        lost = [f"{ledger.counts.get(name, 0):,} {name}" for name in ("rejected", "failed") if ledger.counts.get(name)]
        if lost:
            said.append(f"{' and '.join(lost)}: `anyinstruct show {root} ID` shows those, too")
    return [*said, f"One of them: anyinstruct show {root} ID (its first digits will do)"]
