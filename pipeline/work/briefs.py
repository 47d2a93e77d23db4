"""Briefs: what each part of a dialogue asks of a renderer, with every random choice drawn from its id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.contracts.render import Brief, Voice
from pipeline.contracts.storage import Row
from pipeline.values.errors import ManifestError
from pipeline.values.ids import content_key, derive_random, derive_seed, part_id
from pipeline.values.manifest import Manifest
from pipeline.values.pictures import is_earlier_picture, read_place
from pipeline.values.records import Modality, Role
from pipeline.values.render_sections import SpeechSection
from pipeline.work.casting import Casting
from pipeline.work.orders import Order


@dataclass(frozen=True)
class PlacedBrief:
    """A brief with its place in the corpus.

    Attributes:
        text: The words as written, or the description; the brief has the spoken form.
        source: Record id of the picture that it changes, where the renderer can.
    """

    brief: Brief
    dialogue_id: str
    turn: int
    part: int
    role: Role
    text: str
    source: str | None = None


def order_renders(
    modality: Modality,
    dialogues: Sequence[Row],
    manifest: Manifest,
    renderer_key: str,
    casting: Casting | None,
    edit_key: str | None = None,
) -> list[Order[PlacedBrief]]:
    """State what each asset of a modality is made from, over the dialogue rows of a shard that are ok.

    Args:
        edit_key: Fingerprint of how the renderer changes pictures; None for one that cannot, which then makes each from
            its own words.
    """
    orders: dict[str, Order[PlacedBrief]] = {}
    speakers = _Speakers(manifest, casting)
    for row, turn, part in _places(modality, dialogues):
        dialogue, role, content = row["record_id"], row["turns"][turn]["role"], row["turns"][turn]["parts"][part]
        name = part_id(dialogue, turn, part)
        speaker = speakers.find(role, dialogue) if modality is Modality.SPEECH else None
        brief = _brief(name, content, manifest, speaker)
        inputs = {"renderer": renderer_key, "brief": key_brief(brief)}
        if speaker is not None:
            inputs["voice"] = speaker.key
        source = _source(row, turn, content) if edit_key is not None else None
        if source is not None and edit_key is not None:
            inputs["source"] = key_source(orders[source], edit_key)
        orders[name] = Order(name, inputs, PlacedBrief(brief, dialogue, turn, part, role, content["text"], source))
    return list(orders.values())


def key_brief(brief: Brief) -> str:
    """Hash over a brief, seed and attempt included; the voice has a hash of its own."""
    return content_key(brief.model_dump(mode="json", exclude={"voice", "rate", "emotion"}))


def key_source(source: Order[PlacedBrief], edit_key: str) -> str:
    """Hash over the picture that another one starts from, and over how it is changed."""
    return content_key(source.input_key, edit_key)


def _places(modality: Modality, dialogues: Sequence[Row]) -> Iterator[tuple[Row, int, int]]:
    """Yield dialogue, turn and part, in their order, of all parts of a modality."""
    for row in dialogues:
        for index, turn in enumerate(row["turns"]):
            yield from ((row, index, place) for place, part in enumerate(turn["parts"]) if part["kind"] == modality)


def _source(row: Row, turn: int, part: Row) -> str | None:
    """Return the id of the picture that a part changes; None where it names none that stands before it."""
    place = part.get("edits")
    if place is None or part["kind"] != Modality.IMAGE:
        return None
    kinds = [[other["kind"] for other in said["parts"]] for said in row["turns"]]
    if not is_earlier_picture(kinds, turn, place):
        return None
    return part_id(row["record_id"], *read_place(place))


def _brief(name: str, content: Mapping[str, str], manifest: Manifest, speaker: _Speaker | None) -> Brief:
    kind, rendering = Modality(content["kind"]), manifest.render
    about: dict[str, Any] = {"id": name, "modality": kind, "seed": derive_seed(manifest.seed, name, kind)}
    if kind is Modality.IMAGE and rendering.image is not None:
        return Brief(**about, text=content["text"], width=rendering.image.width, height=rendering.image.height)
    if kind is Modality.MUSIC and rendering.music is not None:
        seconds = derive_random(manifest.seed, name, "duration").uniform(*rendering.music.seconds)
        return Brief(**about, text=content["text"], duration=round(seconds, 1))
    if speaker is None:
        raise _unstated(kind)
    manner: dict[str, Any] = {"voice": speaker.voice, "rate": speaker.rate, "emotion": speaker.emotion}
    return Brief(**about, text=content["spoken"], **manner)


@dataclass(frozen=True)
class _Speaker:
    """Who speaks in a dialogue, and how.

    Attributes:
        key: Hash over all of it.
    """

    voice: Voice
    rate: float
    emotion: str | None
    key: str


class _Speakers:
    """Finds the speakers of dialogues; each once, for a hundred voices are ranked for it."""

    def __init__(self, manifest: Manifest, casting: Casting | None) -> None:
        self._manifest = manifest
        self._casting = casting
        self._found: dict[tuple[Role, str], _Speaker] = {}

    def find(self, role: Role, dialogue: str) -> _Speaker:
        """Return who speaks in a role of a dialogue."""
        # The assistant is one character, whatever the dialogue.
        place = (role, dialogue if role == "user" else "")
        if place not in self._found:
            self._found[place] = self._cast(role, dialogue)
        return self._found[place]

    def _cast(self, role: Role, dialogue: str) -> _Speaker:
        section = self._manifest.render.speech
        if section is None or self._casting is None:
            raise _unstated(Modality.SPEECH)
        voice = self._casting.voice_of(role, dialogue)
        rate, emotion = _manner(section, self._manifest.seed, role, dialogue)
        manner = [rate] if emotion is None else [rate, emotion]
        return _Speaker(voice, rate, emotion, content_key(voice.model_dump(mode="json"), *manner))


def _unstated(kind: Modality) -> ManifestError:
    return ManifestError(f"render.{kind}: the corpus has {kind} parts and the manifest says nothing of them")


def _manner(speech: SpeechSection, corpus_seed: int, role: str, dialogue: str) -> tuple[float, str | None]:
    """Pace and emotion of a dialogue's speaker. The assistant is one character and keeps its own; users differ."""
    if role != "user":
        return 1.0, None
    rate = round(derive_random(corpus_seed, dialogue, "rate").uniform(*speech.rate), 3)
    emotions = speech.emotions
    return rate, derive_random(corpus_seed, dialogue, "emotion").choice(emotions) if emotions else None
