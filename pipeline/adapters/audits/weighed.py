"""Audits that run a model of the hub or of a folder through transformers: their options, loading and plug-in.

The rules are those of renderers: safetensors only, no code of a model runs, and errors say what to do. Importing this
imports neither torch nor transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.adapters.audits.plain import find_missing
from pipeline.adapters.hushing import hush
from pipeline.adapters.weights import WeightOptions, Weights, locate, name_source, refuse_pickles
from pipeline.contracts.audit import AuditOptions, Auditor, Comparer, Measure, Subject
from pipeline.contracts.render import Licence, ModelFiles
from pipeline.values.errors import RenderError

WANTED = ("*.json", "*.txt", "*.model", "*.safetensors")
"""Files of a model that are fetched and hashed."""

PACKAGES = ("torch", "transformers", "safetensors")


class WeighedOptions(WeightOptions, AuditOptions):
    """Base of the options of an audit that runs a model.

    Attributes:
        licence: SPDX id of a model that is not known here. Nothing that the model makes is published but numbers.
    """

    def as_published(self) -> dict[str, Any]:
        """All options, the model's folder by its own name: the path to it is this machine's."""
        return {**super().as_published(), "model": name_source(self.model)}


@dataclass
class WeighedAudit:
    """Implements ``AuditPlugin``; run only where it is asked for, since somebody has to choose the weights.

    Attributes:
        takes: Its measures.
        make: Loads the weights; called in the worker.
    """

    name: str
    version: str
    about: Subject
    takes: Sequence[Measure]
    options: type[AuditOptions]
    make: Callable[[Any], Auditor | Comparer]
    compares: bool = False
    is_default: bool = False

    def measures(self, options: AuditOptions) -> Sequence[Measure]:
        """The same whatever the options."""
        return self.takes

    def models(self, options: AuditOptions) -> Sequence[str]:
        """None of the model lock: the options name the weights."""
        return ()

    def licences(self, options: Any) -> Mapping[str, Licence]:
        """The licence of the weights, by their name."""
        return {name_source(options.model): options.effective_licence}

    def missing(self) -> str | None:
        """Name the first Python package that is not installed."""
        return find_missing(PACKAGES, "models")

    def load(self, options: Any, models: ModelFiles) -> Auditor | Comparer:
        """Find and load the weights; a comparer does so at its first sketch, with the same errors.

        Raises:
            ModelFileError: they cannot be had.
            RenderError: they are of another kind, not whole, or pickles.
        """
        return self.make(options)


def load_parts(options: WeightOptions, model: str, *readers: str) -> tuple[Weights, Any, list[Any]]:
    """Load a model and what prepares its input, by the names of transformers' classes.

    Args:
        model: Such as ``AutoModel``.
        readers: Such as ``AutoTokenizer``.

    Returns:
        The weights, the model in float32 and set to evaluate, and the readers in order.

    Raises:
        ModelFileError: the weights cannot be had.
        RenderError: they cannot be loaded; the text says why.
    """
    import torch
    import transformers
    from safetensors import SafetensorError

    weights = locate(options, wanted=WANTED)
    refuse_pickles(weights.folder)
    try:
        with hush("transformers"):
            loaded = [
                getattr(transformers, name).from_pretrained(weights.folder, local_files_only=True) for name in readers
            ]
            network, report = getattr(transformers, model).from_pretrained(
                weights.folder,
                local_files_only=True,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, TypeError) as exc:
        # transformers raises many kinds over a folder that is not whole; the first line says which file or key.
        reason = str(exc).strip().partition("\n")[0][:300]
        raise RenderError(f"model {weights.name}: cannot be loaded: {reason}") from exc
    lacking = sorted(set(report["missing_keys"]) | {str(key) for key in report["mismatched_keys"]})
    if lacking:
        raise RenderError(
            f"model {weights.name}: its files lack {len(lacking)} tensors ({', '.join(lacking[:3])}, …); fetch it again"
        )
    return weights, network.eval(), loaded
