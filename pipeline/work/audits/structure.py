"""Whether a dialogue holds together: its turns, its references to media, and the media's length and size.

Faults are counted, and the detail names each. What a stranger's row does not state (``gives``, an asset's
``duration``) is not held against it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from pipeline.contracts.audit import AssetFacts, AuditItem, AuditOptions, Reading, Readings, ShardAssets
from pipeline.contracts.plain_audit import OneByOne, PlainAudit, count_measure
from pipeline.values.languages import count_words
from pipeline.values.pictures import is_earlier_picture, write_place
from pipeline.values.records import MEDIA, Modality
from pipeline.values.slots import in_order

ROLES = ("user", "assistant")
NUM_SHOWN = 5
"""Faults that a detail names."""

Turns = Sequence[Mapping[str, Any]]


class StructureOptions(AuditOptions):
    """Bounds of what media can be.

    Attributes:
        most_words_a_second: Of one clip of speech; the quickest talkers reach 5, an auctioneer 8.
        most_seconds_a_word: Of one clip, its first ``lead_seconds`` apart; a slow story-teller needs 1.
        lead_seconds: Pauses before and after the words, which weigh in short clips.
        least_pixels: Of either side of a picture.
        least_music_seconds, most_music_seconds: Of a piece of music.
    """

    reads_assets: ClassVar[bool] = True

    most_words_a_second: float = Field(8.0, gt=0)
    most_seconds_a_word: float = Field(2.0, gt=0)
    lead_seconds: float = Field(2.0, ge=0)
    least_pixels: int = Field(16, ge=1)
    least_music_seconds: float = Field(0.25, ge=0)
    most_music_seconds: float = Field(600.0, gt=0)


MEASURES = (
    count_measure("schema_faults", "Turns out of order, unknown roles and modalities, empty turns and parts."),
    count_measure("reference_faults", "Media parts without an asset that is theirs alone, and edits of no picture."),
    count_measure("media_faults", "Assets that are named and are not there, or cannot be decoded."),
    count_measure("size_faults", "Assets whose length or size cannot be right for what they are to be."),
    count_measure("modality_faults", "Modalities that the row states and its turns lack, or the other way round."),
)


def read_structure(item: AuditItem, options: StructureOptions) -> Readings:
    """Return all counts; those about media are left open where the media are not made yet."""
    turns = _turns(item.row)
    assets = item.look_up() if item.look_up is not None else None
    found: dict[str, Iterator[str] | None] = {
        "schema_faults": find_schema_faults(item.row),
        "reference_faults": None if assets is None else find_reference_faults(item.id, turns, assets),
        "media_faults": None if assets is None else _find_media_faults(turns, assets),
        "size_faults": None if assets is None else _find_size_faults(turns, assets, options),
        "modality_faults": find_modality_faults(item.row),
    }
    return {f"dialogue.{name}": _count(faults) for name, faults in found.items()}


def find_schema_faults(row: Mapping[str, Any]) -> Iterator[str]:
    """Say what is wrong with roles, parts and their number."""
    turns = _turns(row)
    if not turns:
        yield "no turns"
    if not isinstance(row.get("turns"), list) or len(turns) != len(row["turns"]):
        yield "turns that are no turns"
    for index, turn in enumerate(turns):
        if turn.get("role") != ROLES[index % 2]:
            yield f"turn {index} is by {turn.get('role')!r:.40}, not by the {ROLES[index % 2]}"
        if not turn.get("parts"):
            yield f"turn {index} has no part"
        for place, part in _parts(index, turn):
            if part.get("kind") not in list(Modality):
                yield f"part {place} is of the unknown modality {part.get('kind')!r:.40}"
            if not isinstance(part.get("text"), str) or not part["text"].strip():
                yield f"part {place} has no words"
    if len(turns) % 2:
        yield "the last turn is not the assistant's"
    rounds = row.get("num_rounds")
    if isinstance(rounds, int) and 2 * rounds != len(turns):
        yield f"num_rounds is {rounds}, and there are {len(turns)} turns"


def find_modality_faults(row: Mapping[str, Any]) -> Iterator[str]:
    """Compare ``gives`` and ``answers`` with what the turns hold."""
    for role, column in zip(ROLES, ("gives", "answers"), strict=True):
        stated = row.get(column)
        if not isinstance(stated, list):
            continue
        kinds = [part.get("kind") for turn in _turns(row) if turn.get("role") == role for _, part in _parts(0, turn)]
        held = {str(kind) for kind in in_order([Modality(kind) for kind in kinds if kind in list(Modality)])}
        for kind in sorted(held.symmetric_difference(map(str, stated))):
            yield f"{column} {'lacks' if kind in held else 'states'} {kind!r:.40}"


def find_reference_faults(dialogue: str, turns: Turns, assets: ShardAssets) -> Iterator[str]:
    """Say which media parts name no asset of their own, and which edits lead nowhere."""
    named = Counter(name for _, part in _all_parts(turns) if (name := _asset(part)) is not None)
    kinds = [[str(part.get("kind")) for _, part in _parts(0, turn)] for turn in turns]
    for index, turn in enumerate(turns):
        for place, part in _parts(index, turn):
            name, kind = _asset(part), part.get("kind")
            if kind in MEDIA and name is None:
                yield f"{kind} part {place} names no asset"
            if kind not in MEDIA and name is not None:
                yield f"part {place} is {kind!r:.40} and names the asset {name!r:.60}"
            if name is not None and named[name] > 1:
                yield f"part {place} names the asset {name!r:.60}, which another part names too"
            if kind in MEDIA and name in assets.by_id:
                yield from _find_misplacement(dialogue, place, part, assets.by_id[name])
            edits = part.get("edits")
            if edits is not None and (kind != Modality.IMAGE or not is_earlier_picture(kinds, index, edits)):
                yield f"part {place} edits {edits!r:.40}, which is no earlier picture"
    for name, times in Counter(assets.names_of(dialogue)).items():
        if name not in named:
            yield f"no part names the asset {name!r:.60}"
        if times > 1:
            yield f"the asset {name!r:.60} stands {times} times"


def _find_misplacement(dialogue: str, place: str, part: Mapping[str, Any], facts: AssetFacts) -> Iterator[str]:
    name, owner = facts.row["id"], facts.row["dialogue_id"]
    if facts.subject != part["kind"]:
        yield f"part {place} is {part['kind']}, and its asset {name!r:.60} is {facts.subject}"
    if owner != dialogue:
        yield f"part {place} names the asset {name!r:.60} of the dialogue {owner!r:.60}"
    words = facts.row.get("transcript" if facts.subject == "speech" else "description")
    if words is not None and words != part.get("text"):
        yield f"part {place} and its asset {name!r:.60} have different words"


def _find_media_faults(turns: Turns, assets: ShardAssets) -> Iterator[str]:
    for place, part in _all_parts(turns):
        name = _asset(part)
        if part.get("kind") not in MEDIA or name is None:
            continue
        if name not in assets.by_id:
            yield f"part {place} names the asset {name!r:.60}, which is not there"
        elif problem := assets.by_id[name].problem:
            yield f"part {place}: {problem}"


def _find_size_faults(turns: Turns, assets: ShardAssets, options: StructureOptions) -> Iterator[str]:
    for place, part in _all_parts(turns):
        facts = assets.by_id.get(_asset(part) or "")
        if facts is not None and not facts.problem:
            for fault in _CHECKS[facts.subject](facts.row, options):
                yield f"part {place}: {fault}"


def _check_picture(row: Mapping[str, Any], options: StructureOptions) -> Iterator[str]:
    for side in ("width", "height"):
        pixels = row.get(side)
        if isinstance(pixels, int) and pixels < options.least_pixels:
            yield f"a {side} of {pixels} px, at least {options.least_pixels} are sound"


def _check_music(row: Mapping[str, Any], options: StructureOptions) -> Iterator[str]:
    seconds, low, high = row.get("duration"), options.least_music_seconds, options.most_music_seconds
    if isinstance(seconds, (int, float)) and not low <= seconds <= high:
        yield f"{seconds:.2f} s of music, {low:g} to {high:g} s are sound"


def _check_speech(row: Mapping[str, Any], options: StructureOptions) -> Iterator[str]:
    seconds, words = row.get("duration"), count_words(str(row.get("spoken") or row.get("transcript") or ""))
    if not isinstance(seconds, (int, float)) or not words:
        return
    if words > options.most_words_a_second * seconds:
        yield f"{words:g} words in {seconds:.2f} s, over {options.most_words_a_second:g} a second"
    if seconds > options.lead_seconds + options.most_seconds_a_word * words:
        yield f"{seconds:.2f} s for {words:g} words, over {options.most_seconds_a_word:g} s each"


_CHECKS: Mapping[str, Callable[[Mapping[str, Any], StructureOptions], Iterator[str]]] = {
    "image": _check_picture,
    "music": _check_music,
    "speech": _check_speech,
}


def _count(faults: Iterator[str] | None) -> Reading:
    if faults is None:
        return Reading(value=None, detail="its media are not made yet")
    found = list(faults)
    more = f"; and {len(found) - NUM_SHOWN} more" if len(found) > NUM_SHOWN else ""
    return Reading(value=float(len(found)), detail="; ".join(found[:NUM_SHOWN]) + more)


def _turns(row: Mapping[str, Any]) -> Turns:
    turns = row.get("turns")
    return [turn for turn in turns if isinstance(turn, Mapping)] if isinstance(turns, list) else []


def _parts(turn_index: int, turn: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    parts = turn.get("parts")
    listed = [part for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []
    return [(write_place(turn_index, index), part) for index, part in enumerate(listed)]


def _asset(part: Mapping[str, Any]) -> str | None:
    name = part.get("asset")
    return None if name is None else str(name)


def _all_parts(turns: Turns) -> list[tuple[str, Mapping[str, Any]]]:
    return [pair for index, turn in enumerate(turns) for pair in _parts(index, turn)]


def _open(options: StructureOptions) -> OneByOne:
    return OneByOne(lambda item: read_structure(item, options))


PLUGIN = PlainAudit("structure", "1", MEASURES, _open, StructureOptions)
