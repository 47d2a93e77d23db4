"""Verdicts of people, beside a corpus: ``reviews/<reviewer>.jsonl``, one line a verdict, appended and flushed.

The last line about a dialogue counts. A kill can cut the last line of a file; it is left out and counted, and the next
verdict begins on a line of its own.

Whoever acts on verdicts asks :func:`rejected`: a dialogue is rejected where more reviewers reject it than accept it, so
a tie keeps it, and one reviewer alone decides where nobody else has judged.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from pipeline.adapters.files import replacing, sync_folder
from pipeline.contracts.review import Decision, Verdict
from pipeline.values.errors import AnyInstructError, CorpusError
from pipeline.values.ids import encode_json

FOLDER = "reviews"
CODE = "review"
"""Reason code of what people reject."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
"""Lower case alone: file systems that fold case would make one file of two reviewers."""


def check_reviewer(name: str) -> str:
    """Return a reviewer's name, which names a file.

    Raises:
        AnyInstructError: it is no such name.
    """
    if not _NAME.fullmatch(name):
        raise AnyInstructError(
            f"--reviewer {name!r}: a reviewer's name has 1 to 40 of the characters a-z, 0-9, - and _, "
            "and begins with a letter or a digit"
        )
    return name


class VerdictFile:
    """One reviewer's verdicts. Other processes may append meanwhile: every look reads what has come since."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._latest: dict[str, Verdict] = {}
        self.num_damaged = 0

    def latest(self) -> Mapping[str, Verdict]:
        """Return the verdicts that hold, by dialogue. Those taken back are left out.

        Raises:
            CorpusError: the file cannot be read.
        """
        try:
            with _open(self.path, os.O_RDONLY) as handle:
                size = os.fstat(handle).st_size
                if size < self._offset:
                    self._forget()
                if size > self._offset:
                    self._take(os.pread(handle, size - self._offset, self._offset))
        except FileNotFoundError:
            self._forget()
        except OSError as exc:
            raise CorpusError(f"{self.path}: cannot be read: {exc.strerror}; mend the file or its folder") from exc
        return self._latest

    def append(self, verdict: Verdict) -> None:
        """Write a verdict through to the disk.

        Raises:
            CorpusError: it could not be written, and does not hold.
        """
        line = encode_json(verdict.model_dump(mode="json")) + b"\n"
        folder = self.path.parent
        try:
            is_new = not self.path.exists()
            folder.mkdir(exist_ok=True)
            with _open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT) as handle:
                fcntl.flock(handle, fcntl.LOCK_EX)
                size = os.fstat(handle).st_size
                if size and os.pread(handle, 1, size - 1) != b"\n":
                    line = b"\n" + line
                written = os.write(handle, line)
                os.fsync(handle)
            if is_new:
                sync_folder(folder)
                sync_folder(folder.parent)
        except OSError as exc:
            raise CorpusError(f"{self.path}: the verdict was not saved: {exc.strerror}") from exc
        if written != len(line):
            raise CorpusError(f"{self.path}: the verdict was not saved: the disk is full")

    def _forget(self) -> None:
        self._offset, self._latest, self.num_damaged = 0, {}, 0

    def _take(self, data: bytes) -> None:
        *lines, tail = data.split(b"\n")
        for line in lines:
            if line and not self._read(line):
                self.num_damaged += 1
        self._offset += len(data) - len(tail)
        # What has no end yet may have been cut: it counts where it is whole, and is looked at again next time.
        if tail:
            self._read(tail)

    def _read(self, line: bytes) -> bool:
        try:
            verdict = Verdict.model_validate_json(line)
        except ValidationError:
            return False
        self._latest.pop(verdict.dialogue_id, None)
        if verdict.decision is not None:
            self._latest[verdict.dialogue_id] = verdict
        return True


class VerdictBook:
    """All reviewers' verdicts on a corpus.

    Raises:
        CorpusError: ``reviews`` is a link, which could lead writing out of the corpus.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / FOLDER
        if self._folder.is_symlink():
            raise CorpusError(f"{self._folder}: is a link; put the folder itself there")
        self._files: dict[str, VerdictFile] = {}

    def reviewers(self) -> list[str]:
        """Return the names of all who have judged."""
        return sorted(path.stem for path in self._folder.glob("*.jsonl") if _NAME.fullmatch(path.stem))

    def file(self, reviewer: str) -> VerdictFile:
        """Return one reviewer's file, which need not be there yet."""
        if reviewer not in self._files:
            self._files[reviewer] = VerdictFile(self._folder / f"{check_reviewer(reviewer)}.jsonl")
        return self._files[reviewer]

    def by_reviewer(self) -> dict[str, Mapping[str, Verdict]]:
        """Return the verdicts that hold, by reviewer and dialogue."""
        return {name: self.file(name).latest() for name in self.reviewers()}

    def by_dialogue(self) -> dict[str, dict[str, Verdict]]:
        """Return the verdicts that hold, by dialogue and reviewer."""
        found: dict[str, dict[str, Verdict]] = {}
        for reviewer, verdicts in self.by_reviewer().items():
            for dialogue, verdict in verdicts.items():
                found.setdefault(dialogue, {})[reviewer] = verdict
        return found

    @property
    def num_damaged(self) -> int:
        """Lines that cannot be read, in the files that were looked at."""
        return sum(file.num_damaged for file in self._files.values())


def erase_verdicts(root: Path, dialogues: Collection[str]) -> None:
    """Take all verdicts on some dialogues out of the files, notes and all; lines that cannot be read go with them.

    Raises:
        CorpusError: a file cannot be read or written, or is a link.
    """
    book = VerdictBook(root)
    for path in (book.file(name).path for name in book.reviewers()):
        try:
            with _open(path, os.O_RDWR) as handle:
                fcntl.flock(handle, fcntl.LOCK_EX)
                lines = [line for line in path.read_bytes().split(b"\n") if line]
                kept = [line for line in lines if _is_about_another(line, dialogues)]
                if kept != lines:
                    with replacing(path) as partial:
                        partial.write_bytes(b"".join(line + b"\n" for line in kept))
        except OSError as exc:
            raise CorpusError(f"{path}: cannot be rewritten: {exc.strerror}; mend the file or its folder") from exc


def _is_about_another(line: bytes, dialogues: Collection[str]) -> bool:
    try:
        return Verdict.model_validate_json(line).dialogue_id not in dialogues
    except ValidationError:
        return False


def find_agreed(verdicts: Mapping[str, Verdict]) -> Decision | None:
    """Return what most reviewers of a dialogue say; None for a tie, and where nobody has judged."""
    counts = Counter(verdict.decision for verdict in verdicts.values())
    if counts["accept"] == counts["reject"]:
        return None
    return "reject" if counts["reject"] > counts["accept"] else "accept"


def rejected(root: Path) -> dict[str, tuple[str, str]]:
    """Return reason code and message of every dialogue that most of its reviewers reject.

    Messages say how many and why. Neither names nor notes stand in them, since they are published with the corpus.

    Raises:
        CorpusError: a file of verdicts cannot be read.
    """
    return {
        dialogue: (CODE, _say_why(verdicts))
        for dialogue, verdicts in VerdictBook(root).by_dialogue().items()
        if find_agreed(verdicts) == "reject"
    }


def _say_why(verdicts: Mapping[str, Verdict]) -> str:
    against = [verdict for verdict in verdicts.values() if verdict.decision == "reject"]
    reasons = Counter(str(reason) for verdict in against for reason in dict.fromkeys(verdict.reasons))
    named = ", ".join(sorted(reasons, key=lambda reason: (-reasons[reason], reason)))
    reviewers = "reviewer" if len(verdicts) == 1 else "reviewers"
    return f"rejected by {len(against)} of {len(verdicts)} {reviewers}" + (f": {named}" if named else "")


@contextmanager
def _open(path: Path, flags: int) -> Iterator[int]:
    """Hold a file open, and never one behind a link: a stranger's corpus may link anywhere."""
    handle = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        yield handle
    finally:
        os.close(handle)
