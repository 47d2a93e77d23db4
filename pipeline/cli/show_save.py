"""A dialogue as files that any program opens: its media under their asset ids, and a page that names them in order."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.adapters.files import replacing
from pipeline.adapters.reading import Asset, FoundDialogue
from pipeline.cli.show_dialogue import say_asset, say_cell
from pipeline.values.errors import CorpusError
from pipeline.values.ids import part_id
from pipeline.work.markdown import code_span, escape_markdown

PAGE = "dialogue.md"

EXTENSIONS = frozenset({"avif", "flac", "jpeg", "jpg", "mp3", "ogg", "opus", "png", "wav", "webp"})

_ASSET_ID = re.compile(r"[0-9a-f]{16}-\d{2,}-\d{2,}-a\d+")


def save_dialogue(found: FoundDialogue, folder: Path) -> list[Path]:
    """Write media and page into a folder; return the paths written.

    Raises:
        CorpusError: an asset has a name or a kind that no renderer of ours gives, or the folder holds the page of
            another dialogue. Nothing is written then.
    """
    page = folder / PAGE
    title = f"# Dialogue {found.id}"
    if page.exists() and not page.read_text(encoding="utf-8", errors="replace").startswith(f"{title}\n"):
        raise CorpusError(f"{page}: is there already and is not about {found.id}; name another folder")
    media = {place: (_file_name(asset), asset.data) for place, asset in found.assets.items() if asset.data is not None}
    written = []
    for name, data in media.values():
        with replacing(folder / name) as partial:
            partial.write_bytes(data)
        written.append(folder / name)
    with replacing(page) as partial:
        partial.write_text(_page(title, found, {place: name for place, (name, _) in media.items()}), encoding="utf-8")
    return [*written, page]


def _file_name(asset: Asset) -> str:
    """Return the asset's file name: ids and extensions come out of a file that anybody may have written."""
    if asset.id is None or not _ASSET_ID.fullmatch(asset.id):
        raise CorpusError(f"asset {asset.id!r}: no id of an asset, so nothing was saved; run `anyinstruct verify`")
    if asset.extension not in EXTENSIONS:
        known = ", ".join(sorted(EXTENSIONS))
        raise CorpusError(f"asset {asset.id}: extension {asset.extension!r}; only {known} are saved")
    return f"{asset.id}.{asset.extension}"


def _page(title: str, found: FoundDialogue, names: dict[str, str]) -> str:
    row = found.row
    lines = [title, "", f"- Topic: {escape_markdown(row['topic'])}", f"- Cell: {code_span(row['cell'])}"]
    if row.get("gives"):
        lines.append(f"- Modalities: {escape_markdown(say_cell(row))}")
    if row.get("scenario"):
        lines.append(f"- Scenario: {escape_markdown(row['scenario'])}")
    for index, turn in enumerate(row.get("turns") or ()):
        lines += ["", f"## {index + 1}. {escape_markdown(turn['role'])}"]
        for place, part in enumerate(turn["parts"]):
            part_name = part_id(found.id, index, place)
            lines += ["", escape_markdown(part["text"])]
            if part["kind"] != "text":
                label = escape_markdown(say_asset(part["kind"], found.assets.get(part_name)).strip("[]"))
                mark = "!" if part["kind"] == "image" else ""
                name = names.get(part_name)
                lines += ["", f"{mark}[{label}]({name})" if name else f"({label})"]
    return "\n".join(lines) + "\n"
