"""Which of a corpus's files a command needs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.adapters.table_file import read_table

Choice = Callable[[str], bool]
"""Tells of a file's name in a corpus whether it is wanted."""

PLAN = "work/plan.parquet"

_SHARD = re.compile(r"^(?:work/shards/(\d+)/|[a-z]+/(?:train|shard)-(\d+)-)")


def everything(name: str) -> bool:
    """Choose all of a corpus."""
    return True


def only_state(name: str) -> bool:
    """Choose what tells how far a corpus is, people's verdicts included: no media, no journals."""
    return name.endswith((".json", ".md")) or name in (PLAN, "work/events.jsonl") or name.startswith("reviews/")


def only_published(name: str) -> bool:
    """Choose what is published, its readings, and what tells how far it is."""
    return not name.startswith("work/") or only_state(name)


def only_words(name: str) -> bool:
    """Choose what lists the dialogues that are published, and what tells how far the corpus is."""
    return name.startswith("dialogues/") or only_state(name)


def of_dialogue(root: Path, prefix: str) -> Choice:
    """Choose what shows the dialogue whose id begins so: the files of its shard, by the plan.

    Args:
        root: The corpus folder with at least what :func:`only_state` chooses.
        prefix: Of the id, or the id of a part or an asset.
    """
    asked = prefix.strip().casefold().partition("-")[0]
    try:
        plan = read_table(root / PLAN, ["id", "shard"])
    except (OSError, pa.ArrowException):
        return everything  # a corpus without its work folder, or one that `verify` has something to say about
    shards = set(plan.filter(pc.starts_with(plan["id"], asked))["shard"].to_pylist())

    def is_wanted(name: str) -> bool:
        found = _SHARD.match(name)
        is_mine = found is not None and int(found[1] or found[2]) in shards
        return is_mine or only_words(name) or name.startswith("work/topics/")  # its topic may have been generated

    return is_wanted
