"""Corpora of commands: a folder as it stands, or the working copy of a corpus in a bucket."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TypeVar, cast

from pipeline.adapters.objects.address import is_address, parse_address
from pipeline.values.errors import CorpusError

P = TypeVar("P", bound=Path | None)


class Use(Enum):
    """What a command needs of a corpus."""

    STATE = "how far it is"
    WORDS = "what lists its dialogues"
    PUBLISHED = "what is published"
    ALL = "everything, read alone"
    PLAN = "everything, where there is anything"
    CHANGE = "everything, and to change it"
    MAKE = "everything, and to change it, where there may be nothing yet"


@contextmanager
def at_hand(corpus: P, use: Use, dialogue: str | None = None) -> Iterator[P]:
    """Yield the folder of a corpus: as it stands, or fetched from a bucket and, where it is changed, put up again.

    Args:
        dialogue: First digits of the one dialogue that is wanted; None for all.

    Raises:
        CorpusError: the address is none, another run works there, or the store failed.
    """
    if corpus is None or not is_address(corpus):
        yield corpus
        return
    from pipeline.adapters.objects import choosing
    from pipeline.adapters.objects.session import open_session

    session = open_session(parse_address(corpus), lambda text: print(text, file=sys.stderr, flush=True))
    if use in (Use.CHANGE, Use.MAKE):
        with session.writing(may_be_new=use is Use.MAKE) as folder:
            yield cast(P, folder)
        return
    wanted: choosing.Choice = {
        Use.STATE: choosing.only_state,
        Use.WORDS: choosing.only_words,
        Use.PUBLISHED: choosing.only_published,
    }.get(use, choosing.everything)
    if dialogue is not None:
        with session.reading(choosing.only_state) as folder:
            wanted = choosing.of_dialogue(folder, dialogue)
    with session.reading(wanted, may_be_new=use is Use.PLAN) as folder:
        yield cast(P, folder)


def on_disk(path: P, command: str) -> P:
    """Return a path that is one.

    Raises:
        CorpusError: it is an address, and the command needs a folder.
    """
    if path is not None and is_address(path):
        raise CorpusError(
            f"{parse_address(path)}: `anyinstruct {command}` works on folders alone; fetch the corpus into one, e.g. "
            "with `aws s3 sync`, or name a folder to write to and copy that up"
        )
    return path
