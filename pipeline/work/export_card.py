"""The README.md of an export: what it is, how it is read, and what each split holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from pipeline.contracts.export import ExportPart, ExportSummary
from pipeline.work.card import markdown_template, size_category
from pipeline.work.markdown import Markdown, one_line


def write_export_card(
    summary: ExportSummary, name: str, about: str, usage: str, configs: Sequence[Mapping[str, Any]]
) -> str:
    """Write the card.

    Args:
        name, about, usage: Of the export's plug-in.
        configs: What the header tells the Hub to load; without any there is no header.
    """
    num_dialogues = sum(part.num_dialogues for part in summary.parts)
    return markdown_template("export_card.md.j2").render(
        header=Markdown(_header(summary, num_dialogues, configs)) if configs else "",
        summary=summary,
        name=name,
        about=about,
        usage=Markdown(usage),
        num_dialogues=num_dialogues,
        rows=[_row(split, parts) for split, parts in summary.splits.items()],
    )


def _header(summary: ExportSummary, num_dialogues: int, configs: Sequence[Mapping[str, Any]]) -> str:
    header = {
        "pretty_name": one_line(summary.corpus),
        "tags": ["any-to-any", "synthetic", "instruction-tuning"],
        "size_categories": [size_category(num_dialogues)],
        "configs": [dict(config) for config in configs],
    }
    return yaml.safe_dump(header, sort_keys=False, allow_unicode=True, width=200)


def _row(split: str, parts: Sequence[ExportPart]) -> dict[str, Any]:
    media = {kind: sum(part.num_media.get(kind, 0) for part in parts) for kind in ("image", "music", "speech")}
    files = [file for part in parts for file in part.files]
    return {
        "split": split,
        "dialogues": sum(part.num_dialogues for part in parts),
        **media,
        "files": len(files),
        "bytes": sum(file.num_bytes for file in files),
    }
