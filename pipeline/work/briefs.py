"""Briefs: what each part of a dialogue asks of a renderer, with every random choice drawn from its id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.contracts.render import Brief, Voice
from pipeline.contracts.storage import Row
from pipeline.values.errors import ManifestError
from pipeline.values.ids import content_key, derive_random, derive_seed, part_id, rank_by_hash
from pipeline.values.manifest import Manifest, SpeechSection
from pipeline.values.records import Modality, Role
from pipeline.work.orders import Order


@dataclass(frozen=True)
class PlacedBrief:
    """A brief with its place in the corpus.

    Attributes:
        text: The words as written, or the description; the brief has the spoken form.
    """

    brief: Brief
    dialogue_id: str
    turn: int
    part: int
    role: Role
    text: str


@dataclass(frozen=True)
class Casting:
    """The voices of a corpus, by the manifest."""

    pool: Mapping[str, Voice]
    assistant: Voice

    def voice_of(self, role: Role, dialogue: str) -> Voice:
        """The user keeps one voice through a dialogue, drawn by its id; replacing a voice moves only its dialogues."""
        return self.assistant if role == "assistant" else self.pool[rank_by_hash(list(self.pool), dialogue)[0]]


def cast(section: SpeechSection, voices: Mapping[str, Voice]) -> Casting:
    """Resolve names and ``language:…`` sets of the manifest.

    Raises:
        ManifestError: a voice is unknown or spoken by another renderer, or a set is empty.
    """
    pool: dict[str, Voice] = {}
    for entry in section.voices.user:
        if entry.startswith("language:"):
            tag = entry.removeprefix("language:").casefold()
            found = [
                voice
                for voice in voices.values()
                if voice.renderer == section.renderer
                and any(f"{spoken.casefold()}-".startswith(f"{tag}-") for spoken in voice.languages)
            ]
            if not found:
                raise ManifestError(f"render.speech.voices.user: {section.renderer} has no voice for {entry!r}")
            pool.update({voice.name: voice for voice in found})
        else:
            pool[entry] = _find_voice(entry, section.renderer, voices, "user")
    return Casting(pool, _find_voice(section.voices.assistant, section.renderer, voices, "assistant"))


def _find_voice(name: str, renderer: str, voices: Mapping[str, Voice], role: str) -> Voice:
    voice = voices.get(name)
    if voice is None or voice.renderer != renderer:
        known = ", ".join(sorted(v.name for v in voices.values() if v.renderer == renderer)[:8])
        raise ManifestError(
            f"render.speech.voices.{role}: {name!r} is no voice of {renderer}, which has {known or 'none listed'}, …"
        )
    return voice


def order_renders(
    modality: Modality, dialogues: Sequence[Row], manifest: Manifest, renderer_key: str, casting: Casting | None
) -> list[Order[PlacedBrief]]:
    """State what each asset of a modality is made from, over the dialogue rows of a shard that are ok."""
    orders = []
    for row in dialogues:
        for turn_index, turn in enumerate(row["turns"]):
            for part_index, part in enumerate(turn["parts"]):
                if part["kind"] != modality:
                    continue
                name = part_id(row["record_id"], turn_index, part_index)
                brief = _brief(name, row["record_id"], turn["role"], part, manifest, casting)
                placed = PlacedBrief(brief, row["record_id"], turn_index, part_index, turn["role"], part["text"])
                orders.append(Order(brief.id, _inputs(brief, renderer_key), placed))
    return orders


def _inputs(brief: Brief, renderer_key: str) -> dict[str, str]:
    inputs = {
        "renderer": renderer_key,
        "brief": content_key(brief.model_dump(mode="json", exclude={"voice", "rate"})),
    }
    if brief.voice is not None:
        inputs["voice"] = content_key(brief.voice.model_dump(mode="json"), brief.rate)
    return inputs


def _brief(
    name: str,
    dialogue: str,
    role: Role,
    content: Mapping[str, str],
    manifest: Manifest,
    casting: Casting | None,
) -> Brief:
    kind = Modality(content["kind"])
    brief = Brief(id=name, modality=kind, text=content["text"], seed=derive_seed(manifest.seed, name, kind))
    rendering = manifest.render
    if kind is Modality.IMAGE and rendering.image is not None:
        return brief.model_copy(update={"width": rendering.image.width, "height": rendering.image.height})
    if kind is Modality.MUSIC and rendering.music is not None:
        seconds = derive_random(manifest.seed, name, "duration").uniform(*rendering.music.seconds)
        return brief.model_copy(update={"duration": round(seconds, 1)})
    if rendering.speech is None or casting is None:
        raise ManifestError(f"render.{kind}: the corpus has {kind} parts and the manifest says nothing of them")
    # The assistant is one character and keeps its pace; every user has a pace of their own.
    rate = derive_random(manifest.seed, dialogue, "rate").uniform(*rendering.speech.rate) if role == "user" else 1.0
    update = {"text": content["spoken"], "voice": casting.voice_of(role, dialogue), "rate": round(rate, 3)}
    return brief.model_copy(update=update)
