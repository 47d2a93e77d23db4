"""From the manifest's sources of texts to what was taken from them: judged in one pass, committed as one stage file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.files import sha256_file
from pipeline.adapters.reading import rows_where
from pipeline.adapters.takedown_book import read_takedowns
from pipeline.adapters.text_rows import KNOWN, kind_of, read_hub_set, read_text_file
from pipeline.adapters.weights import allows_commercial_use
from pipeline.contracts.storage import Receipt, Row
from pipeline.values.errors import CorpusError, ManifestError, StageDamaged
from pipeline.values.ids import content_key, dialogue_id
from pipeline.values.texts import HubSet, RawText, TextFile, Texts
from pipeline.work import tables
from pipeline.work.taking import (
    COUNTS,
    KEPT,
    ROWS,
    STAGE,
    VERSION,
    Counts,
    TakenTexts,
    blank_text,
    fitness_of,
    take_rows,
)

if TYPE_CHECKING:
    from pipeline.execution.project import Project

_COLUMNS = ["record_id", "source", "place", "shape", "rule", "has_system", "title", "lines", "text_sha256"]


@dataclass(frozen=True)
class Source:
    """Something that rows are read from.

    Attributes:
        key: Equal where its rows are.
    """

    name: str
    key: str
    read: Callable[[], Iterator[RawText]]


def find_text_problems(project: Project) -> Iterator[str]:
    """Name sources that are not there, of an unknown kind, or under a licence that forbids the use."""
    texts = project.manifest.texts
    if texts is None:
        return
    for index, file in enumerate(texts.files):
        path = project.beside(file.path)
        if not path.is_file():
            yield f"texts.files.{index}: {path} is no file; a relative path counts from the manifest's folder"
        elif kind_of(path) is None:
            known = ", ".join(KNOWN)
            yield f"texts.files.{index}: {path.name} ends in none of {known} (.gz may follow the first three)"
    if project.manifest.intended_use == "commercial":
        for source in texts.sources:
            if not allows_commercial_use(source.licence):
                where = f"texts.{'files' if isinstance(source, TextFile) else 'hub'}"
                yield (
                    f"{where}: {source.name} is under {source.licence!r}, which is no licence known here to allow "
                    "commercial use; state its licence, or intended_use: research"
                )


def open_sources(project: Project, texts: Texts) -> list[Source]:
    """Return the manifest's sources with the hashes of their files.

    Raises:
        ManifestError: a file cannot be read.
    """
    found = [_open_file(project.beside(file.path), file) for file in texts.files]
    return found + [_open_set(one) for one in texts.hub]


def _open_set(one: HubSet) -> Source:
    key = content_key(one.model_dump(mode="json", exclude={"licence"}))
    return Source(one.name, key, lambda: read_hub_set(one))


def _open_file(path: Path, file: TextFile) -> Source:
    try:
        key = content_key(file.name, file.encoding, sha256_file(path))
    except OSError as exc:
        raise ManifestError(f"{path}: cannot be read: {exc.strerror}") from exc
    return Source(file.name, key, lambda: read_text_file(path, file))


def judge_rows(project: Project, texts: Texts, sources: Sequence[Source]) -> Iterator[Row]:
    """Yield what becomes of each row of the sources.

    Raises:
        ManifestError: a source cannot be read.
    """
    return take_rows(((one.name, one.read()) for one in sources), fitness_of(project.manifest, texts))


def key_of(project: Project, texts: Texts, sources: Sequence[Source]) -> str:
    """Hash over all that decides which rows are taken."""
    fitness = fitness_of(project.manifest, texts)
    rules = texts.rules.model_dump(mode="json")
    ignored = sorted(fitness.ignored)
    return content_key(VERSION, rules, ignored, list(fitness.rounds), fitness.language, [one.key for one in sources])


def look_at_texts(project: Project, folder: CorpusFolder) -> tuple[TakenTexts, bool]:
    """Return what a run takes, and whether its stage file says so; where that no longer holds, all rows are judged.

    Raises:
        ManifestError: a source cannot be read.
    """
    texts = _texts_of(project)
    sources = open_sources(project, texts)
    receipt = folder.texts().receipt(STAGE)
    if receipt is not None and receipt.order_key == key_of(project, texts, sources):
        return read_taken(folder), True
    return gather(judge_rows(project, texts, sources)), False


def bring_texts(project: Project, folder: CorpusFolder, check: Callable[[], None]) -> bool:
    """Bring the stage file of all rows up to date; return whether there was something to do.

    Args:
        check: Called for each row; raises to end.

    Raises:
        ManifestError: a source cannot be read; what was there before stays.
    """
    texts, store = _texts_of(project), folder.texts()
    sources = open_sources(project, texts)
    key = key_of(project, texts, sources)
    receipt = store.receipt(STAGE) if store.is_sound(STAGE) else None
    if receipt is not None and receipt.order_key == key:
        return False
    counted, taken_down = TakenTexts(), read_takedowns(folder.root)

    def counting() -> Iterator[Row]:
        for row in judge_rows(project, texts, sources):
            check()
            is_gone = row["record_id"] is not None and dialogue_id(row["record_id"], 0) in taken_down
            left = blank_text(row) if is_gone else row
            counted.add(left)
            yield left

    made = store.commit(STAGE, tables.TEXTS, counting(), order_key=key, num_ok=0, num_failed=0, facts={})
    store.restate(_sum_up(made, counted.counts))
    return True


def _sum_up(receipt: Receipt, counts: Counts) -> Receipt:
    # Rejected rows are no failures: nothing could have been made of them.
    facts = {COUNTS: {name: dict(one) for name, one in counts.items()}}
    return receipt.model_copy(update={"num_ok": sum(one[KEPT] for one in counts.values()), "facts": facts})


def read_taken(folder: CorpusFolder) -> TakenTexts:
    """Return what the stage file holds.

    Raises:
        StageDamaged: it is not there or damaged.
    """
    store = folder.texts()
    receipt, found = store.receipt(STAGE), gather(store.rows(STAGE, _COLUMNS))
    if receipt is None or sum(one[ROWS] for one in found.counts.values()) != receipt.num_rows:
        raise StageDamaged(f"stage file {STAGE}: is not there or was set aside as damaged; run again to make it anew")
    return found


def read_turns(folder: CorpusFolder, wanted: Sequence[str]) -> dict[str, list[str]]:
    """Return the words of some texts by id, reading no more of the stage file than holds them.

    Raises:
        StageDamaged: the file is not there or damaged.
    """
    store = folder.texts()
    receipt = store.receipt(STAGE)
    if receipt is None:
        raise StageDamaged(f"stage file {STAGE}: is not there; run again to make it anew")
    try:
        rows = rows_where(store.folder / receipt.file, "record_id", wanted, ["record_id", "lines"])
    except CorpusError as exc:
        raise StageDamaged(str(exc)) from exc
    return {row["record_id"]: row["lines"] for row in rows}


def gather(rows: Iterator[Row]) -> TakenTexts:
    """Take up judged rows."""
    found = TakenTexts()
    for row in rows:
        found.add(row)
    return found


def _texts_of(project: Project) -> Texts:
    if project.manifest.texts is None:
        raise ValueError("the manifest names no texts")
    return project.manifest.texts
