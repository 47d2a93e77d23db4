"""The data card: README.md of a corpus, whose YAML header tells the Hub and ``datasets`` what to load.

Everything in it is read off the ledgers. Free text (descriptions, reason codes, names of models that strangers chose)
is escaped wherever the template prints it, and the header is dumped as YAML, never pasted together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
import yaml

from pipeline.contracts.ledger import FileEntry, Ledger, ShardLedger
from pipeline.values.ids import content_key
from pipeline.values.texts import RULES, UNSTATED
from pipeline.values.words import say_share
from pipeline.work.markdown import Markdown, code_span, escape_markdown, one_line
from pipeline.work.tables import PUBLISHED
from pipeline.work.taking import KEPT, ROWS, count_rejected, sum_rejected

TEMPLATE = "card.md.j2"

HUB_LICENCES = frozenset(
    {
        "agpl-3.0",
        "apache-2.0",
        "bsd-2-clause",
        "bsd-3-clause",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-nc-4.0",
        "cc-by-nc-nd-4.0",
        "cc-by-nc-sa-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "cc0-1.0",
        "creativeml-openrail-m",
        "gpl-2.0",
        "gpl-3.0",
        "lgpl-3.0",
        "mit",
        "openrail",
    }
)
"""Licences that the Hub knows under their SPDX identifier in small letters; all others are ``other`` there."""

_MEANINGS = {str(rule): meaning for rule, meaning in RULES.items()}

SIZE_STEPS = ((1_000, "1K"), (10_000, "10K"), (100_000, "100K"), (1_000_000, "1M"), (10_000_000, "10M"))
"""Steps of the Hub's ``size_categories``."""


def write_card(ledger: Ledger, shards: Sequence[ShardLedger]) -> str:
    """Write the card of a corpus.

    Args:
        ledger: The root ledger; its ``card_sha256`` is not read, since it follows from what is returned here.
        shards: The ledgers of all shards that it names, in any order.
    """
    published = sorted((file for shard in shards for file in shard.files), key=lambda file: file.path)
    by_table = {name: found for name in PUBLISHED if (found := [f for f in published if f.table == name])}
    header = yaml.safe_dump(_header(ledger, by_table), sort_keys=False, allow_unicode=True, width=200)
    return markdown_template(TEMPLATE).render(
        header=Markdown(header),
        ledger=ledger,
        comma=Markdown(", "),
        modalities=_say_modalities(ledger),
        cells=_cells(ledger),
        features=_features(ledger),
        origins=[_origin(ledger, origin) for origin in ledger.origins],
        tables=[_measure(name, found) for name, found in by_table.items()],
        licences=list_licences(ledger),
        license=_hub_licence(ledger),
        prompts_key=content_key(dict(ledger.prompts)),
        drafts=[facts["renderer"] for facts in ledger.renderers.values() if facts.get("is_draft")],
        texts=[
            {"name": name, "rows": found.get(ROWS, 0), "kept": found.get(KEPT, 0), "rejected": count_rejected(found)}
            for name, found in ledger.texts.items()
        ],
        text_rules=[(_MEANINGS.get(rule, ""), rule, count) for rule, count in sum_rejected(ledger.texts).items()],
        spend=[
            (stage, model, sums, is_priced(ledger, stage, model))
            for stage, models in ledger.spend.items()
            for model, sums in models.items()
        ],
        measures=_measures(ledger),
        least_like=ledger.manifest.get("screen", {}).get("near_duplicates"),
        is_sum_right=_is_sum_right(ledger),
    )


def _header(ledger: Ledger, by_table: Mapping[str, Sequence[FileEntry]]) -> dict[str, Any]:
    default = "dialogues" if "dialogues" in by_table else next(iter(by_table), None)
    configs = []
    for name, found in by_table.items():
        config: dict[str, Any] = {"config_name": name}
        if name == default:
            config["default"] = True
        configs.append({**config, "data_files": [{"split": "train", "path": [file.path for file in found]}]})
    header: dict[str, Any] = {
        "pretty_name": one_line(ledger.name),
        "language": [str(ledger.manifest.get("language", "en"))],
        "license": _hub_licence(ledger),
        "tags": ["any-to-any", "synthetic", "instruction-tuning", *_modality_tags(ledger)],
        "size_categories": [size_category(ledger.counts.get("kept", 0))],
    }
    # A corpus of which nothing was kept has no file, and an empty list of configs is an error to the Hub.
    return {**header, "configs": configs} if configs else header


def _modality_tags(ledger: Ledger) -> list[str]:
    names = {"image": "image", "music": "audio", "speech": "audio"}
    return ["text", *dict.fromkeys(names[m] for m in ledger.renderers if m in names)]


def size_category(num_dialogues: int) -> str:
    """Return the Hub's size category of a number of rows."""
    lower = ""
    for limit, name in SIZE_STEPS:
        if num_dialogues < limit:
            return f"{lower}n<{name}"
        lower = f"{name}<"
    return "n>10M"


def list_licences(ledger: Ledger) -> list[tuple[str, str, str]]:
    """Return what the licence of each model and data file is: where it was used, its name, its licence."""
    writer = ledger.writer
    terms = str(writer.get("licence") or "by its provider's terms")
    rows = [("words", str(model), terms) for model in writer.get("models", {})]
    texts = ledger.manifest.get("texts") or {}
    for source in (*texts.get("files", ()), *texts.get("hub", ())):
        name = source.get("path") or f"{source.get('id')}, {source.get('split')}"
        rows.append(("words", str(name), str(source.get("licence", UNSTATED))))
    for origin in ledger.origins:
        stated = {str(name): str(licence) for name, licence in origin.get("licences", {}).items()}
        if stated or "imported" in origin:
            rows += [("imported", name, licence) for name, licence in (stated or {origin["folder"]: UNSTATED}).items()]
    for modality, facts in ledger.renderers.items():
        rows += [(modality, str(name), str(licence)) for name, licence in facts.get("licences", {}).items()]
    return rows


def _hub_licence(ledger: Ledger) -> str:
    named = {licence.casefold() for _, _, licence in list_licences(ledger)}
    only = named.pop() if len(named) == 1 else "other"
    return only if only in HUB_LICENCES else "other"


def _say_modalities(ledger: Ledger) -> str:
    names = ["text", *ledger.renderers]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _cells(ledger: Ledger) -> list[dict[str, Any]]:
    """Return the modality matrix, wanted against kept; shares of what was kept sum to 1."""
    mix = {cell["name"]: cell for cell in ledger.manifest.get("mix", ())}
    kept = sum(numbers.get("kept", 0) for numbers in ledger.matrix.values())
    return [
        {
            "name": name,
            "gives": ", ".join(mix.get(name, {}).get("gives", ())),
            "answers": ", ".join(mix.get(name, {}).get("answers", ())),
            "wanted": numbers.get("share", 0.0),
            "planned": numbers.get("planned", 0),
            "kept": numbers.get("kept", 0),
            "got": numbers.get("kept", 0) / kept if kept else 0.0,
        }
        for name, numbers in ledger.matrix.items()
    ]


def _origin(ledger: Ledger, origin: Mapping[str, Any]) -> dict[str, Any]:
    """Return a line about what a corpus was imported or merged from."""
    is_import = "imported" in origin
    return {
        "name": origin["imported"] if is_import else origin["corpus"],
        "how": f"imported from the layout {origin['layout']}" if is_import else "merged",
        "key": origin["sha256"],
        "kept": ledger.counts.get("kept", 0) if is_import else origin["kept"],
        "same": origin.get("same", 0),
        "renamed": origin.get("renamed", 0),
    }


def _features(ledger: Ledger) -> list[dict[str, Any]]:
    """Return what dialogues were asked to have in them; shares are of a cell's dialogues."""
    rows = []
    for name, numbers in ledger.features.items():
        cell, _, feature = name.partition("/")
        total, kept = ledger.matrix.get(cell, {}).get("kept", 0), numbers.get("kept", 0)
        shares = {"wanted": numbers.get("share", 0.0), "got": kept / total if total else 0.0}
        rows.append({"cell": cell, "feature": feature, "planned": numbers.get("planned", 0), "kept": kept, **shares})
    return rows


def _measures(ledger: Ledger) -> list[dict[str, Any]]:
    """Return what audits have taken, with the limits that held."""
    limits = ledger.manifest.get("screen", {}).get("limits", {})
    rows = []
    for audit in ledger.audits:
        for measure in audit["measures"]:
            sign = "at least" if measure["better"] == "higher" else "at most"
            has_limit = measure["limit"] is not None
            rows.append(
                {
                    "audit": audit["name"],
                    "version": audit["version"],
                    "measure": measure["name"],
                    "bound": f"{sign} {measure['limit']:g} {measure['unit']}".strip() if has_limit else "",
                    "rejects": measure["name"] in limits,
                }
            )
    return rows


def _measure(name: str, found: Sequence[FileEntry]) -> dict[str, Any]:
    return {
        "name": name,
        "num_rows": sum(file.num_rows for file in found),
        "num_files": len(found),
        "megabytes": sum(file.num_bytes for file in found) / 1e6,
    }


def is_priced(ledger: Ledger, stage: str, model: str) -> bool:
    """Whether what calls of a stage cost was known: by the writer's prices, or by those of a remote renderer."""
    if stage in ledger.renderers:
        return "price_usd" in ledger.renderers[stage]
    return model in ledger.writer.get("price_usd_per_million", {})


def _is_sum_right(ledger: Ledger) -> bool:
    counts = ledger.counts
    lost = counts.get("rejected", 0) + counts.get("failed", 0)
    return counts.get("planned", 0) == counts.get("kept", 0) + lost and lost == sum(ledger.reasons.values())


def _finalize(value: Any) -> Any:
    """Escape whatever the template prints, unless it is a number or was made by a filter here."""
    return value if isinstance(value, (Markdown, int)) else escape_markdown(str(value))


@cache
def markdown_template(name: str) -> jinja2.Template:
    """Return a template of this folder, in which free text shows letter by letter."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, not HTML: _finalize does it
    )
    environment.filters["code"] = code_span
    environment.filters["count"] = lambda number: Markdown(f"{number:,.0f}")
    environment.filters["percent"] = lambda share: Markdown(say_share(share))
    environment.filters["decimals"] = lambda number, places: Markdown(f"{number:,.{places}f}")
    return environment.from_string(files(__package__).joinpath(name).read_text(encoding="utf-8"))
