"""What the ledger says of a corpus's origin: models, prices, versions, what was spent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.contracts.ledger import Ledger
from pipeline.values.ids import canonical_json, sha256_hex
from pipeline.work.card import is_priced, list_licences
from pipeline.work.report_figures import Origin, RendererFigures, SpendFigures


def describe_spend(ledger: Ledger) -> tuple[SpendFigures, ...]:
    """Return calls, tokens and dollars by stage and model."""
    return tuple(
        SpendFigures(
            stage=stage,
            model=model,
            calls=int(sums.get("calls", 0)),
            prompt_tokens=int(sums.get("prompt_tokens", 0)),
            completion_tokens=int(sums.get("completion_tokens", 0)),
            usd=float(sums.get("usd", 0.0)) if is_priced(ledger, stage, model) else None,
        )
        for stage, models in ledger.spend.items()
        for model, sums in models.items()
    )


def describe_renderers(ledger: Ledger) -> tuple[RendererFigures, ...]:
    """Return what rendered each modality, and on what."""
    return tuple(
        RendererFigures(
            modality=modality,
            renderer=str(facts.get("renderer", "")),
            version=str(facts.get("version", "")),
            is_draft=bool(facts.get("is_draft", False)),
            made=int(facts.get("made", 0)),
            failed=int(facts.get("failed", 0)),
            seconds=float(facts.get("seconds", 0.0)),
            made_by="; ".join(_say(stated) for stated in facts.get("made_by", ())),
        )
        for modality, facts in ledger.renderers.items()
    )


def describe_origin(ledger: Ledger, ledger_sha256: str) -> Origin:
    """Return what the corpus can be traced by."""
    writer = ledger.writer
    revisions = [(str(name), str(digest)) for name, digest in dict(writer.get("sha256", {})).items()]
    for modality, facts in ledger.renderers.items():
        options = facts.get("options", {})
        revisions += [(f"{modality}: {n}", str(options[n])) for n in ("model", "revision") if options.get(n)]
    return Origin(
        manifest_sha256=sha256_hex(canonical_json(ledger.manifest)),
        ledger_sha256=ledger_sha256,
        generator=ledger.generator,
        seed=int(ledger.manifest.get("seed", 0)),
        versions=ledger.versions,
        prompts=ledger.prompts,
        models=tuple(list_licences(ledger)),
        revisions=tuple(revisions),
        prices=tuple(
            (str(model), _say(price)) for model, price in dict(writer.get("price_usd_per_million", {})).items()
        ),
    )


def _say(facts: Any) -> str:
    if not isinstance(facts, Mapping):
        return str(facts)
    return ", ".join(f"{name} {value}" for name, value in facts.items() if value is not None)
