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

from pipeline.adapters.complaints import word_errors
from pipeline.adapters.prompt_files import PromptFolder, shipped_book
from pipeline.adapters.shipped import shipped
from pipeline.adapters.topic_files import make_topic, read_topics
from pipeline.adapters.voices import load_voices
from pipeline.adapters.yaml_file import Document, Refused, read_document
from pipeline.contracts.remote import RemotePlugin, WantsKey
from pipeline.contracts.render import (
    EditsPictures,
    ReadsLanguages,
    RendererOptions,
    RendererPlugin,
    Voice,
    idle_options,
)
from pipeline.execution.checking import find_problems
from pipeline.execution.gathering import check_unmade
from pipeline.execution.prices import find_missing_key, find_prices
from pipeline.values.errors import ManifestError
from pipeline.values.ids import content_key
from pipeline.values.manifest import Manifest
from pipeline.values.records import Modality, Topic
from pipeline.values.units import USD
from pipeline.values.words import suggest
from pipeline.values.writer import Price
from pipeline.work.casting import Casting, cast
from pipeline.work.features import EDIT
from pipeline.work.voice_languages import in_language

ENTRY_POINTS = "anyinstruct.renderers"

_PRICE_EXAMPLES = {
    Modality.IMAGE: "e.g. {picture: 0.02} in US dollars",
    Modality.MUSIC: "in US dollars",
    Modality.SPEECH: "e.g. {minute: 0.015} or {million_characters: 15} in US dollars",
}


@dataclass(frozen=True)
class Project:
    """A checked manifest.

    Attributes:
        path: The manifest's file; what it names is relative to its folder.
        corpus: The corpus folder.
        address: Ray address in place of the manifest's; written nowhere.
    """

    path: Path
    manifest: Manifest
    corpus: Path
    address: str | None = None

    @property
    def ray_address(self) -> str | None:
        """Ray address of a cluster; None starts Ray on this machine."""
        return self.address or self.manifest.execution.address

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to workers bare: they resolve for themselves, and Ray keeps small arguments inline.

        Those of other nodes stand in another folder.
        """
        return Project, (self.path.absolute(), self.manifest, self.corpus.absolute())

    @cached_property
    def book(self) -> PromptFolder:
        """The prompts folder."""
        return PromptFolder(self.beside(self.manifest.prompts)) if self.manifest.prompts else shipped_book()

    @cached_property
    def voices(self) -> Mapping[str, Voice]:
        """All voices of the voices file, by name."""
        speech = self.manifest.render.speech
        own = speech.voices_file if speech else None
        return load_voices(self.beside(own) if own else shipped("manifests", "voices.yaml"))

    @cached_property
    def casting(self) -> Casting | None:
        """The voices that the manifest chooses."""
        speech = self.manifest.render.speech
        if speech is None or Modality.SPEECH not in self.manifest.media:
            return None
        return in_language(cast(speech, self.voices, self.manifest.seed), self.manifest.language)

    @cached_property
    def prices(self) -> dict[str, Price]:
        """Prices by model."""
        return find_prices(self.manifest.writer)

    @property
    def unpriced(self) -> list[str]:
        """Models whose spend cannot be told, because nobody stated their price."""
        return [entry.model for entry in self.manifest.writer.blend if entry.model not in self.prices]

    @property
    def missing_key(self) -> str | None:
        """Say which key the endpoint wants and the environment lacks, or None; servers of one's own want none."""
        return find_missing_key(self.manifest.writer)

    @property
    def missing_media_keys(self) -> dict[Modality, str]:
        """By modality, which key its renderer's endpoint wants and the environment lacks."""
        return {
            modality: f"render.{modality}.options.{problem}"
            for modality, remote in self.remote_plugins().items()
            if isinstance(remote, WantsKey) and (problem := remote.missing_key(self.options(modality)))
        }

    @property
    def unpriced_media(self) -> dict[Modality, str]:
        """Models of remote renderers whose spend cannot be told, because nobody stated their price."""
        return {
            modality: remote.model(self.options(modality))
            for modality, remote in self.remote_plugins().items()
            if remote.price(self.options(modality)) is None
        }

    def remote_plugins(self) -> dict[Modality, RemotePlugin]:
        """Renderers that call an endpoint, of the media in use."""
        plugins = {modality: self.plugin(modality) for modality in self.manifest.media}
        return {modality: plugin for modality, plugin in plugins.items() if isinstance(plugin, RemotePlugin)}

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
        kind = self.plugin(modality).options
        try:
            return kind.model_validate(choice.options)
        except ValidationError as exc:
            where = f"render.{modality}.options"
            told = [
                f"{where}.{one}" if one.keys else f"{where}: {one}" for one in word_errors(kind, choice.options, exc)
            ]
            raise ManifestError("\n".join(told)) from exc

    def find_missing(self, modality: Modality) -> str | None:
        """Say which package or system part the renderer of a modality lacks for this corpus, or None."""
        plugin, language = self.plugin(modality), self.manifest.language
        if (problem := plugin.missing()) or not isinstance(plugin, ReadsLanguages):
            return problem
        return plugin.missing_for(self.options(modality), language)

    def renderer_key(self, modality: Modality) -> str:
        """Fingerprint of a renderer: name, version, model files, and the options that change what comes out."""
        plugin, options = self.plugin(modality), self.options(modality)
        chosen = options.model_dump(mode="json", exclude=idle_options(plugin.options))
        return content_key(plugin.name, plugin.version, chosen, list(plugin.models(options)))

    def edits_pictures(self) -> bool:
        """Whether some dialogues are asked to say which picture changes which."""
        return any(cell.features.get(EDIT) for cell in self.manifest.mix)

    def edit_key(self, modality: Modality) -> str | None:
        """Fingerprint of how a renderer changes pictures that are there; None for one that cannot."""
        plugin = self.plugin(modality)
        if not isinstance(plugin, EditsPictures):
            return None
        stated = plugin.describe_edits(self.options(modality))
        return None if stated is None else content_key(dict(stated))

    def model_names(self) -> list[str]:
        """Locked models that this manifest needs, writer's first."""
        writer = self.manifest.writer
        names = [entry.model for entry in writer.blend] if writer.engine == "embedded" else []
        for modality in self.manifest.media:
            names += self.plugin(modality).models(self.options(modality))
        if self.manifest.screen.limits:
            from pipeline.execution.limit_screen import choose_for_limits

            names += [name for audit in choose_for_limits(self.manifest.screen) for name in audit.models]
        return list(dict.fromkeys(names))

    def written_topics(self) -> list[Topic]:
        """Topics that people wrote: those in the manifest, then those in its files."""
        topics = [
            make_topic(" ".join(text.split()), "", f"{self.path}: topics.list") for text in self.manifest.topics.list
        ]
        for name in self.manifest.topics.files:
            topics += self.topics_in(name)
        return topics

    def topics_in(self, name: str) -> list[Topic]:
        """Topics of a file that the manifest names, as it was when it was first asked for."""
        if name not in self._topic_files:
            self._topic_files[name] = read_topics(self.beside(name), self.book.meta_topics)
        return self._topic_files[name]

    @cached_property
    def _topic_files(self) -> dict[str, list[Topic]]:
        return {}

    def check(self) -> None:
        """Resolve everything that the manifest names, so that nothing is found wrong after money was spent.

        Raises:
            ManifestError: what is wrong, where, and what is allowed.
        """
        if problems := find_problems(self):
            raise ManifestError(self.locate("\n".join(problems)))

    def locate(self, text: str) -> str:
        """Put the manifest's file and the lines of its keys in front of what a check says; see ``ManifestError``."""
        try:
            return read_document(self.path).locate(text)
        except ManifestError:
            return text  # made in memory, or gone meanwhile

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
                f"writer: nobody stated what {', '.join(self.unpriced)} costs, so no budget can be kept: state "
                "writer.price in US dollars per million tokens"
            )
        for modality, model in self.unpriced_media.items():
            raise ManifestError(
                f"render.{modality}: nobody stated what {model} costs, so no budget can be kept: state "
                f"options.price, {_PRICE_EXAMPLES[modality]}"
            )

    def beside(self, name: str) -> Path:
        """Return the path of a file that the manifest names; a relative one counts from the manifest's folder."""
        return (self.path.parent / name).resolve()


def load_project(path: Path, corpus: Path | None = None) -> Project:
    """Read and check a manifest.

    Raises:
        ManifestError: anything in it, or in what it names, is wrong.
        CorpusError: the corpus is one that no manifest makes.
    """
    if path.is_dir():
        check_unmade(path)
        made = " that this corpus was made from" if (path / "ledger.json").exists() else ""
        raise ManifestError(f"{path}: is a folder; name the manifest{made}, a YAML file")
    document = read_document(path)
    try:
        manifest = document.validate(Manifest)
    except Refused as exc:
        raise ManifestError("\n".join([str(exc), *_look_at_the_rest(document, exc)])) from exc
    project = Project(path, manifest, corpus or Path("corpora") / manifest.name)
    check_unmade(project.corpus)
    project.check()
    return project


def _look_at_the_rest(document: Document, refused: Refused) -> list[str]:
    """Check what stands beside the keys that were refused, so that a person meets all errors of a file at once.

    What might follow from one of those keys is left out: all in the same part of a section, and about topics where a
    key of the whole file may have been to name the prompts.
    """
    try:
        manifest = Manifest.model_validate(document.without(refused.keys))
    except ValidationError:
        return []
    parts = {keys[:2] for keys in refused.keys}
    found = []
    for line in find_problems(Project(document.path, manifest, Path())):
        keys = tuple(line.partition(": ")[0].split("."))
        is_doubtful = keys[:2] in parts and keys[2:] != ("renderer",)
        is_doubtful |= keys[0] == "topics" and any(len(part) == 1 for part in parts)
        if not is_doubtful and keys[0] in Manifest.model_fields:
            found.append(document.locate(line))
    return found


def find_renderer(name: str, modality: Modality | None = None) -> RendererPlugin:
    """Return a registered renderer.

    Raises:
        ManifestError: there is none of that name, or it makes another modality.
    """
    where = f"render.{modality}.renderer: " if modality is not None else ""
    try:
        plugin = _load_renderer(name)
    except ManifestError as exc:
        raise ManifestError(f"{where}{exc}") from exc
    if modality is not None and plugin.modality != modality:
        raise ManifestError(f"{where}{name} makes {plugin.modality}, not {modality}")
    return plugin


@cache
def _load_renderer(name: str) -> RendererPlugin:
    """Look a renderer up among all installed packages, which takes a tenth of a second."""
    known = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if name not in known:
        raise ManifestError(f"no renderer called {name!r} is installed; {suggest(name, known)}")
    try:
        plugin: RendererPlugin = known[name].load()
    except (ImportError, AttributeError) as exc:
        raise ManifestError(f"renderer {name!r} cannot be loaded ({exc}); install its package again") from exc
    return plugin
