"""Topic files: one topic a line, grouped under the ids of their meta-topics, so that they diff well."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from pipeline.values.errors import ManifestError
from pipeline.values.ids import topic_id
from pipeline.values.records import Topic

MAX_CHARACTERS = 200
_HEADING = re.compile(r"\[([a-z0-9-]+)\]")


def read_topics(path: Path, meta_topics: Collection[str]) -> list[Topic]:
    """Read a topic file.

    Lines are topics; ``[meta-topic-id]`` heads those that follow; empty lines and lines from ``#`` on are skipped.

    Raises:
        ManifestError: it cannot be read, names an unknown meta-topic, or a line is too long or not printable.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise ManifestError(f"{path}: cannot be read as UTF-8 text: {exc}") from exc
    topics, meta = [], ""
    for number, line in enumerate(lines, 1):
        text = " ".join(line.partition("#")[0].split())
        if not text:
            continue
        if heading := _HEADING.fullmatch(text):
            meta = heading.group(1)
            if meta not in meta_topics:
                raise ManifestError(f"{path}:{number}: [{meta}] is no meta-topic of meta_topics.yaml")
            continue
        topics.append(make_topic(text, meta, f"{path}:{number}"))
    return topics


def make_topic(text: str, meta_topic: str, where: str) -> Topic:
    """Make a topic out of a line that a person wrote.

    Raises:
        ManifestError: it is empty, too long or holds control characters; names ``where``.
    """
    if not 0 < len(text) <= MAX_CHARACTERS or not text.isprintable():
        raise ManifestError(f"{where}: a topic is 1 to {MAX_CHARACTERS} printable characters (is {text[:60]!r})")
    return Topic(id=topic_id(text), text=text, meta_topic=meta_topic)
