"""One dialogue as a person reads it: what it is about, who says and shows what, and what the media are."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from pipeline.adapters.reading import Asset, FoundDialogue
from pipeline.cli.plain import plain
from pipeline.cli.thumbnails import Graphics, show_thumbnail
from pipeline.contracts.storage import Row
from pipeline.values.ids import part_id
from pipeline.values.languages import ENGLISH, LANGUAGES
from pipeline.values.pictures import Kinds, name_picture
from pipeline.values.records import Modality

WHOLE = sys.maxsize
"""Words of a dialogue are never cut."""

ROLE_STYLES = {"user": "bold cyan", "assistant": "bold green"}


def print_dialogue(found: FoundDialogue, graphics: Graphics, console: Console) -> None:
    """Print header and turns."""
    print_header(found, console)
    turns = found.row.get("turns") or ()
    kinds = [[str(part["kind"]) for part in turn["parts"]] for turn in turns]
    for index, turn in enumerate(turns):
        console.print()
        role = str(turn["role"])
        console.print(Text(plain(role).plain, ROLE_STYLES.get(role, "bold")))
        for place, part in enumerate(turn["parts"]):
            asset = found.assets.get(part_id(found.id, index, place))
            _print_part(part, asset, graphics, console)
            if part.get("edits"):
                _print_indented(Text.assemble((say_edit(kinds, part["edits"], asset), "dim")), console)


def print_header(found: FoundDialogue, console: Console) -> None:
    """Print what the dialogue is about, where it belongs and where it ended."""
    row = found.row
    lines = {
        "Dialogue": f"{found.id} ({found.state}, shard {found.shard})",
        "Lost": f"{row['stage']}: {row['code']}: {row['message']}" if row.get("code") else "",
        "Topic": row["topic"],
        "Meta-topic": row["meta_topic"],
        "Language": _name_language(row.get("language")),
        "Cell": f"{row['cell']}: {say_cell(row)}" if row.get("gives") else row["cell"],
        "Scenario": row.get("scenario") or "",
    }
    if row.get("gives") and not row.get("turns") and not row.get("code"):
        lines["Turns"] = "not written yet"
    for name, value in lines.items():
        if value:
            line = Text.assemble((f"{name:<12}", "bold"), plain(value, WHOLE))
            console.print(line, soft_wrap=not console.is_terminal)


def _name_language(tag: str | None) -> str:
    """Name a language where it is to be told: nothing for English, nor for a row that states none."""
    if tag is None or tag == ENGLISH:
        return ""
    return LANGUAGES[tag].name if tag in LANGUAGES else tag


def say_cell(row: Row) -> str:
    """Return e.g. ``text, image → text, 2 rounds``."""
    rounds = row["num_rounds"]
    what = f"{', '.join(row['gives'])} → {', '.join(row['answers'])}"
    return f"{what}, {rounds} round{'s' if rounds != 1 else ''}"


def say_asset(kind: str, asset: Asset | None) -> str:
    """Return e.g. ``[image 512x512 webp 38 kB, draft]`` or ``[speech 2.4 s, 24 kHz, flac 61 kB, voice bell]``."""
    if asset is None:
        return f"[{kind}, not rendered]"
    facts = asset.facts
    if asset.data is None:
        return f"[{kind}, failed: {facts.get('code')}: {facts.get('message')}]"
    size = f"{asset.extension} {say_bytes(len(asset.data))}"
    if asset.modality is Modality.IMAGE:
        said = [f"{kind} {facts['width']}x{facts['height']} {size}"]
    else:
        channels = {1: "mono", 2: "stereo"}.get(facts["channels"], f"{facts['channels']} channels")
        rate = f"{facts['sample_rate'] / 1000:g} kHz {channels}"
        said = [f"{kind} {facts['duration']:.1f} s", rate, size]
    if facts.get("voice"):
        # What was imported may name a voice without its rate.
        rate_told = f" at rate {facts['rate']:g}" if facts.get("rate") is not None else ""
        said.append(f"voice {facts['voice']}{rate_told}")
    if facts.get("emotion"):
        said.append(f"emotion {facts['emotion']}")
    if facts.get("is_draft"):
        said.append("draft")
    return f"[{', '.join(said)}]"


def say_edit(kinds: Kinds, place: str, asset: Asset | None) -> str:
    """Return e.g. ``edits the picture of turn 2``, and whether that was only told in words."""
    said = f"edits {name_picture(kinds, place) or f'a picture that is not there, {plain(place).plain}'}"
    is_from_words = asset is not None and asset.data is not None and not asset.facts.get("edited_from")
    return f"{said}, made from its description alone" if is_from_words else said


def say_bytes(count: int) -> str:
    """Return a size in the unit that a person would use, 1 kB being 1,000 bytes."""
    for unit, size in (("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            amount = count / size
            return f"{amount:.0f} {unit}" if amount >= 10 else f"{amount:.1f} {unit}"
    return f"{count} B"


def _print_part(part: Mapping[str, Any], asset: Asset | None, graphics: Graphics, console: Console) -> None:
    kind, words = str(part["kind"]), plain(part["text"], WHOLE)
    if kind == Modality.TEXT:
        _print_indented(words, console)
        return
    facts = (plain(say_asset(kind, asset), WHOLE).plain, "dim")
    if kind != Modality.SPEECH:
        _print_indented(Text.assemble(facts, " ", words), console)
        if kind == Modality.IMAGE and asset is not None and asset.data is not None:
            show_thumbnail(asset.data, graphics, console)
        return
    _print_indented(words, console)
    if part.get("spoken") and part["spoken"] != part["text"]:
        _print_indented(Text.assemble(("spoken: ", "dim"), plain(part["spoken"], WHOLE)), console)
    _print_indented(Text.assemble(facts), console)


def _print_indented(text: Text, console: Console) -> None:
    if console.is_terminal:
        console.print(Padding(text, (0, 0, 0, 2)))
    else:
        # A pipe has no width: one line each, whole, for whatever reads it.
        console.print(Text.assemble("  ", text), soft_wrap=True)
