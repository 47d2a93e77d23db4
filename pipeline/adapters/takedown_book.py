"""``takedowns.json`` beside a corpus's tables: whoever plans, packs or gathers dialogues leaves out what it names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from pipeline.adapters.files import read_json, write_json
from pipeline.adapters.lock import CorpusLock
from pipeline.values.errors import CorpusError
from pipeline.values.records import Record
from pipeline.values.takedowns import Takedown

FILE = "takedowns.json"


class _Book(Record):
    schema_version: Literal[1] = 1
    takedowns: tuple[Takedown, ...] = ()


def read_takedowns(root: Path) -> Mapping[str, Takedown]:
    """Return what was taken down of a corpus, by dialogue; nothing where the file is not there.

    Raises:
        CorpusError: it is damaged. Without it a run would bring back what was taken down.
    """
    path = root / FILE
    data = read_json(path)
    try:
        book = _Book() if data is None else _Book.model_validate(data)
    except ValidationError as exc:
        error = exc.errors(include_url=False)[0]
        where = ".".join(map(str, error["loc"]))
        raise CorpusError(
            f"{path}: {where}: {error['msg']}; restore it from a copy: without it, a run would bring back what was "
            "taken down"
        ) from exc
    return {one.id: one for one in book.takedowns}


def write_takedowns(root: Path, takedowns: Iterable[Takedown], lock: CorpusLock) -> None:
    """Put takedowns into the file, in place of what it said of the same dialogues; those before them stay."""
    known = {**read_takedowns(root), **{one.id: one for one in takedowns}}
    write_json(root / FILE, _Book(takedowns=tuple(known.values())).model_dump(mode="json"), lock.check)
