"""A manifest with everything that it names, resolved and checked: what driver and workers both start from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.adapters.prompt_files import PromptFolder
from pipeline.adapters.shipped import shipped
from pipeline.adapters.topic_files import make_topic, read_topics
from pipeline.adapters.voices import load_voices
from pipeline.adapters.yaml_file import load_yaml
from pipeline.contracts.render import RendererOptions, RendererPlugin, Voice
from pipeline.values.errors import ManifestError
from pipeline.values.ids import content_key
from pipeline.values.manifest import Manifest, Price
from pipeline.values.records import Modality, Topic
from pipeline.values.units import USD
from pipeline.work.asking import FREE
from pipeline.work.briefs import Casting, cast
from pipeline.work.topics import chosen_meta_topics

BATCH_SHARE = 0.5
"""Of the list price that a call in a batch costs, at all providers of the Batch API that are known."""

ENTRY_POINTS = "anyinstruct.renderers"


@dataclass(frozen=True)
class Project:
    """A checked manifest.

    Attributes:
        path: The manifest's file; what it names is relative to its folder.
        corpus: The corpus folder.
    """

    path: Path
    manifest: Manifest
    corpus: Path

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to workers bare: they resolve for themselves, and Ray keeps small arguments inline."""
        return Project, (self.path, self.manifest, self.corpus)

    @cached_property
    def book(self) -> PromptFolder:
        """The prompts folder."""
        return PromptFolder(self._beside(self.manifest.prompts) if self.manifest.prompts else shipped("prompts"))

    @cached_property
    def voices(self) -> Mapping[str, Voice]:
        """All voices of the voices file, by name."""
        speech = self.manifest.render.speech
        own = speech.voices_file if speech else None
        return load_voices(self._beside(own) if own else shipped("manifests", "voices.yaml"))

    @cached_property
    def casting(self) -> Casting | None:
        """The voices that the manifest chooses."""
        speech = self.manifest.render.speech
        return cast(speech, self.voices) if speech and Modality.SPEECH in self.manifest.media else None

    @cached_property
    def prices(self) -> dict[str, Price]:
        """Prices by model: the manifest's own, else the shipped list's, else nothing for an embedded model."""
        writer = self.manifest.writer
        listed = load_prices()
        own = {entry.model: entry.price or writer.price for entry in writer.blend}
        if writer.engine == "embedded":
            return {model: price or FREE for model, price in own.items()}
        share = BATCH_SHARE if writer.mode == "batch" else 1.0
        return {model: found.times(share) for model, price in own.items() if (found := price or listed.get(model))}

    @property
    def unpriced(self) -> list[str]:
        """Models whose spend cannot be told, because nobody stated their price."""
        return [entry.model for entry in self.manifest.writer.blend if entry.model not in self.prices]

    def plugin(self, modality: Modality) -> RendererPlugin:
        """The renderer that the manifest names for a modality."""
        choice = self.manifest.render.section(modality)
        if choice is None:
            raise ManifestError(f"{self.path}: render.{modality} is missing")
        return find_renderer(choice.renderer, modality)

    def options(self, modality: Modality) -> RendererOptions:
        """The renderer's own options, checked by its plug-in.

        Raises:
            ManifestError: names the key, its value and what is allowed.
        """
        choice = self.manifest.render.section(modality)
        if choice is None:
            raise ManifestError(f"{self.path}: render.{modality} is missing")
        try:
            return self.plugin(modality).options.model_validate(choice.options)
        except ValidationError as exc:
            error = exc.errors(include_url=False)[0]
            key = ".".join(str(step) for step in error["loc"])
            known = ", ".join(self.plugin(modality).options.model_fields)
            raise ManifestError(
                f"{self.path}: render.{modality}.options.{key}: {error['msg']} (is {error.get('input')!r}); "
                f"{choice.renderer} knows {known or 'no options'}"
            ) from exc

    def renderer_key(self, modality: Modality) -> str:
        """Fingerprint of a renderer: name, version, model files, and the options that change what comes out."""
        plugin, options = self.plugin(modality), self.options(modality)
        idle = {
            name
            for name, field in plugin.options.model_fields.items()
            if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("changes_output") is False
        }
        chosen = options.model_dump(mode="json", exclude=idle)
        return content_key(plugin.name, plugin.version, chosen, list(plugin.models(options)))

    def model_names(self) -> list[str]:
        """Locked models that this manifest needs, writer's first."""
        writer = self.manifest.writer
        names = [entry.model for entry in writer.blend] if writer.engine == "embedded" else []
        for modality in self.manifest.media:
            names += self.plugin(modality).models(self.options(modality))
        return list(dict.fromkeys(names))

    def written_topics(self) -> list[Topic]:
        """Topics that people wrote: those in the manifest, then those in its files."""
        topics = [
            make_topic(" ".join(text.split()), "", f"{self.path}: topics.list") for text in self.manifest.topics.list
        ]
        for name in self.manifest.topics.files:
            topics += read_topics(self._beside(name), self.book.meta_topics)
        return topics

    def check(self) -> None:
        """Resolve everything that the manifest names, so that nothing is found wrong after money was spent.

        Raises:
            ManifestError: what is wrong, where, and what is allowed.
        """
        self.written_topics()
        if self.manifest.topics.generate is not None:
            chosen_meta_topics(self.manifest.topics.generate, self.book)
        for modality in self.manifest.media:
            plugin, options = self.plugin(modality), self.options(modality)
            if self.manifest.intended_use == "commercial" and not plugin.is_commercial_use_allowed(options):
                licences = ", ".join(f"{name}: {licence}" for name, licence in plugin.licences(options).items())
                raise ManifestError(
                    f"{self.path}: render.{modality}: {plugin.name} uses models that forbid commercial use "
                    f"({licences}); choose another, or state intended_use: research"
                )
        self.casting  # noqa: B018  resolves the voices
        self.check_budget(self.manifest.budget)

    def check_budget(self, budget: USD | None) -> None:
        """Refuse a budget that cannot be kept.

        Raises:
            ManifestError: it is no amount, or nobody stated what a model costs.
        """
        if budget is None:
            return
        if not math.isfinite(budget):
            raise ManifestError(f"{self.path}: budget {budget}: is no amount of money; leave it out for none")
        if self.unpriced:
            raise ManifestError(
                f"{self.path}: nobody stated what {', '.join(self.unpriced)} costs, so no budget can be kept: state "
                "writer.price in US dollars per million tokens"
            )

    def _beside(self, name: str) -> Path:
        return (self.path.parent / name).resolve()


def load_project(path: Path, corpus: Path | None = None) -> Project:
    """Read and check a manifest.

    Raises:
        ManifestError: anything in it, or in what it names, is wrong.
    """
    manifest = load_yaml(path, Manifest)
    project = Project(path, manifest, corpus or Path("corpora") / manifest.name)
    project.check()
    return project


def find_renderer(name: str, modality: Modality | None = None) -> RendererPlugin:
    """Return a registered renderer.

    Raises:
        ManifestError: there is none of that name, or it makes another modality.
    """
    plugin = _load_renderer(name)
    if modality is not None and plugin.modality != modality:
        raise ManifestError(f"render.{modality}: {name} makes {plugin.modality}, not {modality}")
    return plugin


@cache
def _load_renderer(name: str) -> RendererPlugin:
    """Look a renderer up among all installed packages, which takes a tenth of a second."""
    known = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if name not in known:
        raise ManifestError(f"renderer {name!r} is not installed; there are {', '.join(sorted(known))}")
    try:
        plugin: RendererPlugin = known[name].load()
    except (ImportError, AttributeError) as exc:
        raise ManifestError(f"renderer {name!r} cannot be loaded ({exc}); install its package again") from exc
    return plugin


def load_prices() -> dict[str, Price]:
    """Return the reviewed price list, by model name."""
    data: dict[str, Any] = load_yaml(shipped("manifests", "prices.yaml"), dict[str, Any])
    return {name: Price.model_validate(price) for name, price in data["models"].items()}
