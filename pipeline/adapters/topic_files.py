"""Topic files: one topic a line, grouped under the ids of their meta-topics, so that they diff well.

    # A remark, here or behind a topic.
    a topic under no meta-topic
    [night-markets]
    noodles at midnight

Programs that change a file leave every line that they do not mean as it is: remarks, empty lines, order, line ends.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.adapters.files import replacing
from pipeline.adapters.written_files import read_written
from pipeline.values.errors import ManifestError
from pipeline.values.ids import topic_id
from pipeline.values.records import Topic
from pipeline.values.words import say_count, suggest

MAX_CHARACTERS = 200

MAX_TOLD = 50
"""Wrong lines of one file that are told; the others are counted."""

_HEADING = re.compile(r"\[([a-z0-9-]+)\]")


@dataclass(frozen=True)
class Entry:
    """A topic and the number of its line, from 1."""

    number: int
    topic: Topic


@dataclass(frozen=True)
class _Section:
    """Topics of one meta-topic that stand together; ``end`` is the line, from 0, behind its last topic."""

    meta_topic: str
    heading: int
    end: int


@dataclass(frozen=True)
class _Insert:
    """Topics that are to stand together; ``is_section`` where they come with a heading of their own."""

    meta_topic: str
    texts: tuple[str, ...]
    is_section: bool


class TopicFile:
    """A topic file as it stands on disk; changing it makes a new value, and :meth:`write` replaces the file.

    Args:
        path: For error texts, and what :meth:`write` writes to.
        lines: With their line ends.
        meta_topics: Ids that headings may name, in the order in which new sections stand.
    """

    def __init__(self, path: Path, lines: Sequence[str], meta_topics: Collection[str]) -> None:
        self.path = path
        self._lines = tuple(lines)
        self._meta_topics = tuple(meta_topics)
        self.entries, self._sections = self._parse()

    @property
    def topics(self) -> list[Topic]:
        """All topics in the order of their lines; one that stands twice is there twice."""
        return [entry.topic for entry in self.entries]

    @property
    def text(self) -> str:
        """The whole file."""
        return "".join(self._lines)

    def add(self, topics: Iterable[Topic]) -> TopicFile:
        """Put topics at the end of their meta-topics' sections; a section that is missing is made at its place."""
        groups: dict[str, list[str]] = defaultdict(list)
        for topic in topics:
            groups[topic.meta_topic].append(topic.text)
        inserts: dict[int, list[_Insert]] = defaultdict(list)
        for meta in sorted(groups, key=self._rank):
            # The first section has no heading; it is there as soon as a topic stands in it.
            mine = [section for section in self._sections if section.meta_topic == meta and (meta or section.end)]
            at = mine[-1].end if mine else self._place_for(meta)
            inserts[at].append(_Insert(meta, tuple(groups[meta]), is_section=not mine))
        return TopicFile(self.path, self._merge(inserts), self._meta_topics)

    def remove(self, numbers: Collection[int]) -> TopicFile:
        """Leave out lines by number."""
        kept = [line for number, line in enumerate(self._lines, 1) if number not in numbers]
        return TopicFile(self.path, kept, self._meta_topics)

    def write(self) -> None:
        """Replace the file as a whole.

        Raises:
            CorpusError: it cannot be written; what was there is still there.
        """
        with replacing(self.path) as partial:
            partial.write_text(self.text, encoding="utf-8", newline="")

    def _parse(self) -> tuple[tuple[Entry, ...], tuple[_Section, ...]]:
        entries, sections, told = [], [], []
        meta, heading, end = "", 0, 0
        for number, line in enumerate(self._lines, 1):
            text = " ".join(line.partition("#")[0].split())
            if not text:
                continue
            if found := _HEADING.fullmatch(text):
                sections.append(_Section(meta, heading, end))
                meta, heading, end = found.group(1), number - 1, number
                if meta not in self._meta_topics:
                    near = suggest(meta, self._meta_topics)
                    told.append(f"{self.path}:{number}: [{meta}] is no meta-topic of meta_topics.yaml; {near}")
            elif problem := find_topic_problem(text):
                told.append(f"{self.path}:{number}: {problem}")
            else:
                entries.append(Entry(number, make_topic(text, meta, f"{self.path}:{number}")))
                end = number
        if told:
            more = [f"{self.path}: and {say_count(len(told) - MAX_TOLD, 'line')} more"] if len(told) > MAX_TOLD else []
            raise ManifestError("\n".join(told[:MAX_TOLD] + more))
        sections.append(_Section(meta, heading, end))
        return tuple(entries), tuple(sections)

    def _rank(self, meta: str) -> int:
        return self._meta_topics.index(meta) if meta else -1

    def _merge(self, inserts: Mapping[int, Sequence[_Insert]]) -> list[str]:
        newline = "\r\n" if self._lines and self._lines[0].endswith("\r\n") else "\n"
        out: list[str] = []

        def put(line: str) -> None:
            if out and not out[-1].endswith(("\n", "\r")):
                out[-1] += newline
            out.append(line)

        for at in range(len(self._lines) + 1):
            here = sorted(inserts.get(at, ()), key=lambda insert: insert.is_section)
            for insert in here:
                if insert.is_section and out and out[-1].strip():
                    put(newline)
                if insert.is_section and insert.meta_topic:
                    put(f"[{insert.meta_topic}]{newline}")
                for text in insert.texts:
                    put(text + newline)
            if at < len(self._lines):
                if here and here[-1].is_section and self._lines[at].strip():
                    put(newline)
                put(self._lines[at])
        return out

    def _place_for(self, meta: str) -> int:
        """Return the line before which a new section stands: the first section that belongs behind it, or the end."""
        behind = [s for s in self._sections[1:] if self._rank(s.meta_topic) > self._rank(meta)]
        if not behind:
            return len(self._lines)
        at = behind[0].heading
        # Remarks right above a heading belong to it, unless they open the file.
        while at > 0 and self._lines[at - 1].lstrip().startswith("#"):
            at -= 1
        return at or behind[0].heading


def read_topic_file(path: Path, meta_topics: Collection[str]) -> TopicFile:
    """Read a topic file so that it can be changed.

    Lines are topics; ``[meta-topic-id]`` heads those that follow; empty lines and lines from ``#`` on are skipped.

    Raises:
        ManifestError: it cannot be read; or it names unknown meta-topics, or lines are too long or not printable: the
            text has a line for each of them.
    """
    data = read_written(path)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise ManifestError(f"{path}:{line}: is no UTF-8 text ({exc.reason}); save the file as UTF-8") from exc
    return TopicFile(path, text.splitlines(keepends=True), meta_topics)


def read_topics(path: Path, meta_topics: Collection[str]) -> list[Topic]:
    """Read the topics of a file; see :func:`read_topic_file`."""
    return read_topic_file(path, meta_topics).topics


def make_topic(text: str, meta_topic: str, where: str) -> Topic:
    """Make a topic out of a line that a person wrote.

    Raises:
        ManifestError: it is empty, too long or holds control characters; names ``where``.
    """
    if problem := find_topic_problem(text):
        raise ManifestError(f"{where}: {problem}")
    return Topic(id=topic_id(text), text=text, meta_topic=meta_topic)


def find_topic_problem(text: str) -> str | None:
    """Say why a text is no topic, or None."""
    if not 0 < len(text) <= MAX_CHARACTERS or not text.isprintable():
        return f"a topic is 1 to {MAX_CHARACTERS} printable characters (is {text[:60]!r})"
    return None


def make_line_topic(text: str, meta_topic: str, where: str) -> Topic:
    """Make a topic that is to stand on a line of a file.

    Raises:
        ManifestError: no topic, or read back from a file it would be another one.
    """
    topic = make_topic(" ".join(text.split()), meta_topic, where)
    if "#" in topic.text or _HEADING.fullmatch(topic.text):
        raise ManifestError(f"{where}: {topic.text[:60]!r} would be read as a remark or a heading in a topic file")
    return topic
