"""Manifests of any size: the published recipe's mix, media that take no time, an endpoint that answers at once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import yaml

from bench.scale.endpoint import vocabulary
from pipeline.adapters.shipped import shipped

PUBLISHED = 108_000
"""Dialogues of AnyInstruct-108k; its 20,000 topics make 5.4 a topic."""

TOPICS_PER_DIALOGUE = 20_000 / PUBLISHED
DIALOGUES_PER_TOPIC = 6
VOICES = 108
WORDS_PER_TOPIC = 5
RECIPE = "anyinstruct-108k.yaml"


@dataclass(frozen=True)
class Shape:
    """What a corpus of a measurement is like.

    Attributes:
        has_media: False leaves nothing but typed text.
        per_shard: Dialogues of a shard.
    """

    num_dialogues: int
    has_media: bool = True
    per_shard: int = 512

    @property
    def num_topics(self) -> int:
        """As many as the published set has for so many dialogues."""
        return math.ceil(self.num_dialogues * TOPICS_PER_DIALOGUE)


def write_manifest(folder: Path, shape: Shape, url: str) -> Path:
    """Write a manifest with its topics and voices; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    write_topics(folder, shape.num_topics)
    recipe = yaml.safe_load(shipped("manifests", RECIPE).read_text(encoding="utf-8"))
    text = {"name": "text", "gives": ["text"], "answers": ["text"], "rounds": [2, 3]}
    size = {"dialogues_per_topic": DIALOGUES_PER_TOPIC, "dialogues_per_shard": shape.per_shard}
    manifest = {
        "schema_version": 1,
        "name": "scale",
        "seed": 108,
        "topics": {"files": ["topics.txt"]},
        "size": {**size, "max_dialogues": shape.num_dialogues, "replace_losses": False},
        "mix": recipe["mix"] if shape.has_media else [text],
        "writer": {
            "engine": "openai",
            "model": "bench",
            "base_url": url,
            "price": {"input": 0, "output": 0},
            "structured": "json_schema",
            "in_flight": 64,
        },
        **(_describe_media(folder) if shape.has_media else {}),
    }
    path = folder / "manifest.yaml"
    path.write_text(yaml.safe_dump(manifest, sort_keys=False), encoding="utf-8")
    return path


def grow(folder: Path, num_topics: int, num_more: int) -> None:
    """Add topics to a manifest that was written, and dialogues about each of them."""
    write_topics(folder, num_topics + num_more)
    path = folder / "manifest.yaml"
    manifest = yaml.safe_load(path.read_text(encoding="utf-8"))
    manifest["size"]["max_dialogues"] += num_more * DIALOGUES_PER_TOPIC
    path.write_text(yaml.safe_dump(manifest, sort_keys=False), encoding="utf-8")


def write_topics(folder: Path, count: int) -> None:
    """Write a topic file; fewer topics are the first lines of more."""
    (folder / "topics.txt").write_text("".join(f"{topic}\n" for topic in _make_topics(count)), encoding="utf-8")


def _make_topics(count: int) -> Iterator[str]:
    random, words, known = Random(108), vocabulary(), set[str]()
    while len(known) < count:
        topic = " ".join(random.choices(words, k=WORDS_PER_TOPIC))
        if topic not in known:
            known.add(topic)
            yield topic


def _describe_media(folder: Path) -> dict[str, Any]:
    voices = [
        {
            "name": f"voice-{n}",
            "renderer": "minimal-speech",
            "speaker": f"{n}",
            "languages": ["en"],
            "licence": "CC0-1.0",
        }
        for n in range(VOICES)
    ]
    (folder / "voices.yaml").write_text(yaml.safe_dump({"voices": voices}), encoding="utf-8")
    return {
        "render": {
            "image": {"renderer": "minimal-image", "width": 64, "height": 64},
            "music": {"renderer": "minimal-music", "seconds": [0.3, 0.4]},
            "speech": {
                "renderer": "minimal-speech",
                "voices_file": "voices.yaml",
                "voices": {"user": ["language:en"], "assistant": "voice-0"},
            },
        }
    }
