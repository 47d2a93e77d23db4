"""Publishing: a finished ``hf`` export into a dataset repository of the hub, with only what is missing there sent.

A kill costs what was on the way: contents that are up are known to the hub, and commits that were made stand. Up to
:data:`COMMIT_FILES` files are one commit, so that readers see the earlier state or the new one. Of more, the card that
names all files of data goes last, with the removal of what is gone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from pipeline.adapters.files import read_json
from pipeline.adapters.hub_dataset import HubDataset
from pipeline.contracts.export import ExportPart
from pipeline.execution.exports import INDEX, STATE
from pipeline.values.errors import CorpusError, HubError
from pipeline.values.units import Bytes

FORMAT = "hf"
CARD = "README.md"
COMMIT_FILES = 200
"""Files a commit: the hub works on a commit for a minute at most, and larger ones time out."""

_OURS = re.compile(r"data/[^/]+-\d{5,}\.parquet")
"""Files that an export to ``hf`` writes; others in a repository belong to somebody else and stay."""


@dataclass(frozen=True)
class PublishPlan:
    """What publishing comes to.

    Attributes:
        added: Files to be sent, by their names in the repository, those that make it whole last.
        removed: Files of an earlier export that this one has no more.
        num_kept: Files that the repository has already.
        is_new: Whether the repository is to be made.
    """

    added: Mapping[str, Path]
    removed: tuple[str, ...]
    num_kept: int
    is_new: bool

    @property
    def num_bytes(self) -> Bytes:
        """Size of all that is to be sent."""
        return sum(path.stat().st_size for path in self.added.values())


def read_export(folder: Path) -> dict[str, Path]:
    """Return the files of a finished export to ``hf``, by their names in it: data first, what names them last.

    Raises:
        CorpusError: it is none, is of another kind, or is not finished; the text says what to do.
    """
    index = read_json(folder / INDEX) if (folder / INDEX).is_file() else None
    if index is None:
        if (folder / STATE).is_dir():
            raise _unfinished(folder, f"{INDEX} is missing")
        raise CorpusError(f"{folder}: is no export; make one with `anyinstruct export CORPUS {folder} --to {FORMAT}`")
    kind = index.get("format") if isinstance(index, dict) else None
    if kind != FORMAT:
        raise CorpusError(f"{folder}: is an export to {str(kind)!r}; the hub takes one made with `--to {FORMAT}`")
    try:
        parts = [ExportPart.model_validate(part) for part in index["parts"]]
    except (ValidationError, KeyError, TypeError) as exc:
        raise CorpusError(f"{folder / INDEX}: is not what an export writes; run the export again") from exc
    _check_receipts(folder, parts)
    files: dict[str, Path] = {}
    for file in (file for part in parts for file in part.files):
        path = folder / file.path
        # The index is a file like any other, and what it says must send nothing from elsewhere.
        if not _OURS.fullmatch(file.path) or path.is_symlink():
            raise CorpusError(f"{folder / INDEX}: names {file.path!r}, which no export to {FORMAT} writes")
        if not path.is_file() or path.stat().st_size != file.num_bytes:
            raise _unfinished(folder, f"{file.path} is not there as a whole")
        files[file.path] = path
    if not files:
        raise CorpusError(f"{folder}: holds no dialogue; there is nothing to publish")
    if not (folder / CARD).is_file():
        raise _unfinished(folder, f"{CARD} is missing")
    return {**files, INDEX: folder / INDEX, CARD: folder / CARD}


def plan_publishing(hub: HubDataset, files: Mapping[str, Path], is_private: bool) -> PublishPlan:
    """Compare an export with the repository; nothing is changed.

    Raises:
        HubError: the hub refuses or cannot be reached, or the repository is public and was to be private.
    """
    state = hub.look()
    if is_private and state is False:
        raise HubError(f"{hub.address}: is public already; make it private there, or leave out --private")
    added = {name: path for name, path in files.items() if not hub.holds(name, path)}
    removed = tuple(sorted(name for name in hub.names - files.keys() if _OURS.fullmatch(name)))
    return PublishPlan(added, removed, len(files) - len(added), state is None)


def push(
    hub: HubDataset,
    plan: PublishPlan,
    is_private: bool,
    on_progress: Callable[[int, Bytes], None] = lambda files, size: None,
) -> None:
    """Do what a plan says.

    Args:
        on_progress: Told how many files of which size are up in all.

    Raises:
        HubError: the hub refuses or cannot be reached; commits that were made stand.
    """
    if plan.is_new:
        hub.create(is_private)
    hub.create_branch()
    if not plan.added and not plan.removed:
        return
    sent = (0, 0)

    def note(num_files: int, num_bytes: Bytes) -> None:
        nonlocal sent
        sent = (sent[0] + num_files, sent[1] + num_bytes)
        on_progress(*sent)

    groups = [dict(group) for group in _batched(plan.added)] or [{}]
    for number, group in enumerate(groups, 1):
        removed = plan.removed if number == len(groups) else ()
        hub.commit(group, removed, f"Publish with anyinstruct ({number} of {len(groups)})", note)


def _batched(added: Mapping[str, Path]) -> list[tuple[tuple[str, Path], ...]]:
    """Split into commits; the card and the index are never torn from each other, since they end the last one."""
    data = [item for item in added.items() if item[0] not in (CARD, INDEX)]
    last = [item for item in added.items() if item[0] in (CARD, INDEX)]
    groups = [tuple(data[start : start + COMMIT_FILES]) for start in range(0, len(data), COMMIT_FILES)]
    if not last:
        return groups
    return [*groups[:-1], (*(groups[-1] if groups else ()), *last)]


def _check_receipts(folder: Path, parts: list[ExportPart]) -> None:
    """Refuse an export that was begun anew and did not end: its receipts are ahead of its index."""
    receipts = sorted((folder / STATE).glob("[0-9]*.json"))
    if not receipts:
        # A copy made without names that begin with a dot: sizes alone speak for it.
        return
    by_shard: dict[int, list[object]] = {}
    for part in parts:
        by_shard.setdefault(part.shard, []).append(part.model_dump(mode="json"))
    for receipt in receipts:
        said = read_json(receipt)
        there = by_shard.pop(int(receipt.stem), [])
        if not isinstance(said, dict) or said.get("parts") != there:
            raise _unfinished(folder, f"shard {int(receipt.stem)} was written since {INDEX}")
    if by_shard:
        raise _unfinished(folder, f"shard {min(by_shard)} has no receipt")


def _unfinished(folder: Path, why: str) -> CorpusError:
    return CorpusError(f"{folder}: is not finished ({why}); give the command of the export again first")
