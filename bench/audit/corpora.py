"""Corpora with real media for measurements of audits: few pictures, pieces and clips, each time a little changed.

A dialogue has a picture, a piece and two clips. Media are rendered once by the embedded renderers; every dialogue gets
them with a mark of its own, so that no two have the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from pipeline.adapters.audio import encode_audio
from pipeline.adapters.decoding import decode_picture
from pipeline.adapters.images import encode_picture
from pipeline.adapters.model_files import ModelCache
from pipeline.adapters.renderers import piper, storyboard
from pipeline.adapters.renderers.soundfont import SoundfontOptions
from pipeline.adapters.renderers.soundfont.renderer import SoundfontRenderer
from pipeline.adapters.renderers.storyboard import StoryboardOptions
from pipeline.adapters.renderers.storyboard.renderer import StoryboardRenderer
from pipeline.adapters.table_file import write_table
from pipeline.contracts.render import Brief, Render, Renderer
from pipeline.values.ids import asset_id, part_id, sha256_hex, topic_id
from pipeline.values.records import Modality
from pipeline.values.units import Seconds
from pipeline.work.tables import PUBLISHED, TABLE_OF
from tests.support.spoken import Sound, speak

PER_SHARD = 50
"""Few, so that even a small corpus has several."""
SIDE = 384
LENGTH: Seconds = 8.0
SCENES = ("a fox in a forest", "a lighthouse by the sea", "a red bicycle in a city street", "an owl at night")
TUNES = ("calm piano music in C major, at 80 BPM", "cheerful music for string quartet in D minor, at 120 BPM")
LINES = (
    "Could you show me what the harbour looks like in the evening?",
    "I would love to hear something slow for the drive home.",
    "Here is the picture, and a little tune that goes with it.",
    "There you are; I hope that it is what you had in mind.",
)
LAYOUT = (("user", ("speech",)), ("assistant", ("text", "speech", "image", "music")))
"""Kinds of the parts of each turn."""
NOUNS = ("harbour", "garden", "window", "kettle", "mountain", "letter", "bridge", "orchard", "violin", "lantern")
VERBS = ("follows", "mends", "paints", "forgets", "carries", "praises", "borrows", "waters")


@dataclass(frozen=True)
class Stock:
    """What all media are made of.

    Attributes:
        pictures: (SIDE, SIDE, 3) uint8 each, in the order of SCENES.
        pieces: In the order of TUNES.
        clips: In the order of LINES.
    """

    pictures: tuple[npt.NDArray[np.uint8], ...]
    pieces: tuple[Sound, ...]
    clips: tuple[Sound, ...]


def render_stock() -> Stock:
    """Draw, play and speak everything once."""
    ModelCache().ensure((*storyboard.PLUGIN.models(StoryboardOptions()), piper.MODEL))
    painter = StoryboardRenderer(StoryboardOptions(), ModelCache())
    player = SoundfontRenderer(SoundfontOptions())
    drawn = [_render(painter, Modality.IMAGE, scene, {"width": SIDE, "height": SIDE}) for scene in SCENES]
    played = [_render(player, Modality.MUSIC, tune, {"duration": LENGTH}) for tune in TUNES]
    return Stock(
        tuple(np.asarray(decode_picture(data)) for data in drawn),
        tuple(soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True) for data in played),
        tuple(speak(line) for line in LINES),
    )


def _render(renderer: Renderer, modality: Modality, text: str, more: dict[str, Any]) -> bytes:
    (outcome,) = renderer.render([Brief(id="b", modality=modality, text=text, seed=7, **more)])
    if not isinstance(outcome, Render):
        raise RuntimeError(f"{text!r} could not be rendered: {outcome}")
    return outcome.data


def write_corpus(root: Path, num_dialogues: int, stock: Stock) -> None:
    """Write a corpus without a ledger, as a stranger's is."""
    for shard, first in enumerate(range(0, num_dialogues, PER_SHARD)):
        numbers = range(first, min(num_dialogues, first + PER_SHARD))
        tables: dict[str, Iterator[dict[str, Any]]] = {"dialogues": map(_dialogue, numbers)}
        tables |= {table: _assets(numbers, kind, stock) for kind, table in TABLE_OF.items()}
        for table, rows in tables.items():
            (root / table).mkdir(parents=True, exist_ok=True)
            write_table(root / table, f"train-{shard:05d}", PUBLISHED[table], rows)


def _name(number: int) -> str:
    return sha256_hex(f"dialogue {number}")[:16]


def _text(number: int, turn: int, kind: str) -> str:
    if kind == "text":
        # Words of its own, so that dialogues are no copies of each other.
        rng = Random(f"words {number}")
        said = [f"the {rng.choice(NOUNS)} {rng.choice(VERBS)} the {rng.choice(NOUNS)}" for _ in range(8)]
        return ". ".join(sentence.capitalize() for sentence in said) + "."
    if kind == "image":
        return SCENES[number % len(SCENES)]
    return TUNES[number % len(TUNES)] if kind == "music" else LINES[2 * turn + number % 2]


def _dialogue(number: int) -> dict[str, Any]:
    turns = [
        {
            "role": role,
            "parts": [
                {
                    "kind": kind,
                    "text": _text(number, turn, kind),
                    "asset": None if kind == "text" else _asset(number, turn, part),
                }
                for part, kind in enumerate(kinds)
            ],
        }
        for turn, (role, kinds) in enumerate(LAYOUT)
    ]
    topic = f"made-up topic {number // 5}"
    return {
        "id": _name(number),
        "topic": topic,
        "topic_id": topic_id(topic),
        "meta_topic": f"meta {number % 50}",
        "language": "en",
        "cell": "talk",
        "gives": ["speech"],
        "answers": ["speech", "image", "music"],
        "num_rounds": 1,
        "scenario": f"Scene {number}.",
        "turns": turns,
    }


def _asset(number: int, turn: int, part: int) -> str:
    return asset_id(part_id(_name(number), turn, part), 0)


def _assets(numbers: range, wanted: str, stock: Stock) -> Iterator[dict[str, Any]]:
    for number in numbers:
        for turn, (role, kinds) in enumerate(LAYOUT):
            for part, kind in enumerate(kinds):
                if kind == wanted:
                    name = _asset(number, turn, part)
                    about = {"id": name, "dialogue_id": _name(number), "turn": turn, "part": part, "role": role}
                    place = part_id(_name(number), turn, part)
                    yield about | {"part_id": place} | _medium(number, turn, kind, name, stock)


def _medium(number: int, turn: int, kind: str, name: str, stock: Stock) -> dict[str, Any]:
    text = _text(number, turn, kind)
    rng = Random(f"{number} {turn}")
    if kind == "image":
        data = _mark_picture(stock.pictures[number % len(SCENES)], rng)
        sizes = {"width": SIDE, "height": SIDE, "description": text}
        return sizes | {"image": {"bytes": data, "path": name}, "sha256": sha256_hex(data)}
    samples, rate = stock.pieces[number % len(TUNES)] if kind == "music" else stock.clips[2 * turn + number % 2]
    data = encode_audio(samples * np.float32(rng.uniform(0.8, 0.95)), rate)
    stated = (
        {"description": text} if kind == "music" else {"transcript": text, "spoken": text, "voice": "joe", "rate": 1.0}
    )
    sound = {"duration": len(samples) / rate, "sample_rate": rate, "channels": samples.shape[1]}
    return stated | sound | {"audio": {"bytes": data, "path": name}, "sha256": sha256_hex(data)}


def _mark_picture(picture: npt.NDArray[np.uint8], rng: Random) -> bytes:
    marked = picture.copy()
    x, y = (rng.randrange(SIDE - 24) for _ in range(2))
    marked[y : y + 24, x : x + 24] = [rng.randrange(256) for _ in range(3)]
    return encode_picture(marked, "png", 100)
