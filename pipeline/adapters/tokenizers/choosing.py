"""Which tokenizer is used for which kind of media, as a person states it, and its weights loaded once a process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict, model_serializer, model_validator

from pipeline.adapters.weights import is_folder, locate_source, name_source
from pipeline.contracts.plugins import choose_plugin, known_plugins
from pipeline.contracts.render import idle_options
from pipeline.contracts.tokenizer import ENTRY_POINTS, Tokenizer, TokenizerPlugin
from pipeline.values.errors import ManifestError
from pipeline.values.ids import content_key

_HASHED = ("*.json", "*.safetensors")
"""Files of a folder that change codes."""


class TokenizerChoice(BaseModel):
    """A tokenizer and its options; ``encodec:facebook/encodec_32khz`` is short for its name and ``model``."""

    model_config = ConfigDict(frozen=True, extra="allow")

    tokenizer: str

    @model_validator(mode="before")
    @classmethod
    def _read_short(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        name, colon, model = value.partition(":")
        if not (colon and model):
            raise ValueError(f"{value!r}: write TOKENIZER:MODEL, MODEL being a hub id or a folder, or words")
        return {"tokenizer": name, "model": model}

    @model_serializer
    def _as_mapping(self) -> dict[str, Any]:
        return {"tokenizer": self.tokenizer, **self.others}

    @property
    def others(self) -> dict[str, Any]:
        """The tokenizer's own options."""
        return dict(self.model_extra or {})

    def as_published(self) -> dict[str, Any]:
        """Return it with a folder by its own name: the path to it is this machine's."""
        model = self.others.get("model")
        shown = {"model": name_source(model)} if isinstance(model, str) and is_folder(model) else {}
        return {"tokenizer": self.tokenizer, **self.others, **shown}

    @property
    def identity(self) -> str:
        """Hash over what its codes depend on: tokenizer, options, and the files of weights that lie in a folder.

        A model of the hub counts by its name and the revision stated.

        Raises:
            ManifestError: there is no such tokenizer, or an option is wrong.
            ModelFileError: there is no such folder, or no weights in it.
        """
        plugin, checked = _choose(self.tokenizer, self.others)
        options = checked.model_dump(mode="json", exclude=idle_options(plugin.options))
        model = options.get("model")
        if isinstance(model, str) and is_folder(model):
            # Where the folder lies changes no code, what lies in it does.
            options["model"] = locate_source(model, None, wanted=_HASHED).revision
        return content_key(plugin.name, plugin.version, options)

    def check(self, kind: str) -> None:
        """Check it without loading anything.

        Raises:
            ManifestError: there is no such tokenizer, it takes no such media, or an option is wrong.
        """
        plugin, _ = _choose(self.tokenizer, self.others)
        if kind not in plugin.kinds:
            fitting = ", ".join(name for name, some in known_tokenizers().items() if kind in some.kinds)
            raise ManifestError(f"tokenizer {self.tokenizer}: does not take {kind}; there are {fitting}")

    def open(self) -> Tokenizer:
        """Load it, or return it where this process has it already."""
        return _open(self.tokenizer, json.dumps(self.others, sort_keys=True))


def known_tokenizers() -> Mapping[str, TokenizerPlugin]:
    """Return all installed tokenizers by name."""
    return known_plugins(ENTRY_POINTS)


def _choose(name: str, options: Mapping[str, Any]) -> tuple[TokenizerPlugin, Any]:
    return choose_plugin("tokenizer", known_tokenizers(), name, options)


@lru_cache(maxsize=3)
def _open(name: str, options: str) -> Tokenizer:
    plugin, checked = _choose(name, json.loads(options))
    return plugin.open(checked)
