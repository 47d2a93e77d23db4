"""``anyinstruct failures``: what failed and what was rejected, why, and what to do about it."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from pipeline.adapters.losses import Losses, LossGroup, read_losses
from pipeline.cli.plain import plain
from pipeline.values.errors import CorpusError
from pipeline.values.words import say_count, suggest

MAX_SHOWN = 200
"""Characters of a message on a terminal; ``--json`` has more of it."""

RECURRING = frozenset(
    {
        "bad_brief",
        "bad_source",
        "content_filter",
        "long_prompt",
        "moderation",
        "text_too_long",
        "too_long",
        "unknown_voice",
        "unpaintable",
        "unsafe",
        "unspeakable",
        "unsupported_language",
        "wrong_modality",
    }
)
"""Codes of what lies in the words or in the manifest, so that the same again seldom ends otherwise."""

_REJECTED = {
    "duplicate": "says what another dialogue says; nothing is to be done",
    "near_duplicate": "is much like another dialogue; screen.min_similarity says from where on",
    "below_limit": "falls short of a limit: `anyinstruct repair MANIFEST` has another attempt at its media",
}


def print_failures(source: Path, reason: str | None, as_json: bool) -> None:
    """Print losses by stage and reason.

    Args:
        source: Corpus folder, or a manifest, whose own corpus is meant.
        reason: A stage, a code or ``stage/code`` to keep to.

    Raises:
        CorpusError: there is no corpus, it is damaged, or nothing was lost for that reason.
    """
    root = _find_corpus(source)
    losses = read_losses(root)
    if reason is not None:
        chosen = [group for group in losses.groups if group.matches(reason)]
        if not chosen and losses.groups:
            known = {f"{group.stage}/{group.code}" for group in losses.groups}
            raise CorpusError(f"{root}: nothing was lost for {reason!r}; {suggest(reason, known)}")
        losses = Losses(losses.is_published, chosen)
    if as_json:
        print(json.dumps(_as_json(root, losses), ensure_ascii=True, indent=1))
    else:
        _print(root, losses)


def advise(group: LossGroup) -> str:
    """Say in one line what can be done about a group of losses."""
    if group.state == "rejected":
        told = "a person rejected it: `anyinstruct review CORPUS` takes that back"
        return _REJECTED.get(group.code, told if group.stage == "review" else "the manifest's screen says so")
    if group.stage == "topics":
        return "the topics that did come are used; change topics.generate in the manifest to have others"
    if group.stage == "import":
        return "the row is like this in its source: mend it there, and import into a new folder"
    if group.code == "source_failed":
        return "the picture that it changes is missing: it is made once that one is taken again"
    again = f"`anyinstruct run MANIFEST --retry-failed {group.stage}/{group.code}` takes these again"
    if group.code in RECURRING:
        return f"lies in the words or the manifest, so change those; {again}, and it may well end the same"
    return again


def _find_corpus(source: Path) -> Path:
    if not source.is_file():
        return source
    from pipeline.execution.project import load_project

    return load_project(source, None).corpus


def _as_json(root: Path, losses: Losses) -> dict[str, object]:
    return {
        "corpus": str(root),
        "is_published": losses.is_published,
        "failed": losses.count("failed"),
        "rejected": losses.count("rejected"),
        "groups": [
            {
                "state": group.state,
                "stage": group.stage,
                "code": group.code,
                "count": group.count,
                "advice": advise(group),
                "examples": [{"id": example.id, "message": example.message} for example in group.examples],
            }
            for group in losses.groups
        ],
    }


def _print(root: Path, losses: Losses) -> None:
    console = Console(highlight=False)
    if not losses.groups:
        console.print(plain(f"{root}: nothing failed and nothing was rejected.", 1000), soft_wrap=True)
        return
    noun = "dialogue" if losses.is_published else "record"
    told = [f"{say_count(losses.count(state), noun)} {state}" for state in ("failed", "rejected")]
    rest = "" if losses.is_published else "; nothing is published yet, so these are rows of the stages"
    console.print(plain(f"{root}: {', '.join(told)}{rest}", 1000), soft_wrap=True)
    for group in losses.groups:
        console.print()
        console.print(plain(f"{group.state} {group.stage}/{group.code}: {group.count:,}"), soft_wrap=True)
        for example in group.examples:
            console.print("  ", plain(f"{example.id}: {example.message}", MAX_SHOWN), sep="", soft_wrap=True)
        console.print("  What to do: ", plain(advise(group), 1000), sep="", soft_wrap=True)
