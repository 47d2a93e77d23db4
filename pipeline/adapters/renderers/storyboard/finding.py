"""Finds a picture for a noun that the vocabulary lacks: by emoji label, by keyword, then by meaning."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.adapters.renderers.storyboard.icons import IconSet
from pipeline.adapters.renderers.storyboard.vocabulary import IRREGULAR, At, Thing
from pipeline.values.errors import ModelFileError

if TYPE_CHECKING:
    import numpy as np

# Emoji groups of Unicode that show things: animals and nature, food, travel, activities, objects. Faces, people,
# symbols and flags stay out: the vocabulary knows the people, and a symbol in a scene puzzles more than it shows.
GROUPS: dict[int, tuple[str, At, float]] = {
    3: ("animal", "ground", 0.5),
    4: ("food", "table", 0.16),
    5: ("building", "far", 4.0),
    6: ("toy", "table", 0.4),
    7: ("object", "table", 0.3),
}
# Cosine of MiniLM sentence embeddings; below it the nearest emoji is mostly a wrong one (read off 70 nouns).
MIN_COSINE = 0.66
# Signs, screens and scenes with a frame of their own, which look wrong inside a picture.
UNFIT = ("button", "sign", "symbol", "face", "clock", "sunrise", "sunset", "cityscape", "night", "railway-track",
         "national-park", "desert", "camping", "milky-way", "foggy", "motorway", "keycap", "moon", "globe",
         "hot-springs", "fireworks", "sparkler", "thermometer", "droplet", "cyclone", "comet")  # fmt: skip


class Finder:
    """Looks nouns up in the emoji keywords; the sentence model is loaded when the first noun needs it."""

    def __init__(
        self, icons: IconSet, known: Iterable[Thing], keywords: Path, labels: Path, model: Path | None
    ) -> None:
        """Read both keyword lists.

        Args:
            icons: Only what they hold can be found.
            known: Things of the vocabulary, whose kind and size are better than those of an emoji group.
            keywords: The list of emojilib.
            labels: The list of emojibase-data.
            model: None where meanings are not to be compared.
        """
        sized = {thing.picture: thing for thing in known}
        self._model_path = model
        self._things: list[Thing] = []
        self._names: dict[str, Thing] = {}
        self._keywords: dict[str, Thing] = {}
        self._texts: list[str] = []
        self._known: dict[str, Thing | None] = {}
        more = _load(keywords, "emoji-en-US.json")
        for entry in _load(labels, "data.json"):
            name = entry["label"].casefold().replace(" ", "-").replace(":", "").replace("’", "")
            kind = GROUPS.get(entry.get("group", -1))
            if kind is None or name not in icons or any(word in name for word in UNFIT):
                continue
            thing = sized.get(name) or Thing(picture=name, kind=kind[0], at=kind[1], size=kind[2])
            # A keyword counts where both lists have it: each alone is full of associations (dark: sunglasses).
            agreed = set(entry.get("tags", ())) & set(more.get(entry["emoji"], ()))
            self._take(thing, entry["label"].casefold(), sorted(agreed))

    def _take(self, thing: Thing, label: str, keywords: list[str]) -> None:
        self._things.append(thing)
        self._texts.append(label)
        self._names.setdefault(label, thing)
        for keyword in keywords:
            self._keywords.setdefault(str(keyword).casefold().replace("_", " "), thing)

    def __call__(self, noun: str) -> Thing | None:
        """Return what shows a noun best, or None; the same answer each time."""
        if noun not in self._known:
            self._known[noun] = self._look_up(noun)
        return self._known[noun]

    def _look_up(self, noun: str) -> Thing | None:
        stems = [noun, IRREGULAR.get(noun, ""), noun.removesuffix("s"), noun.removesuffix("es")]
        for index in (self._names, self._keywords):
            for stem in stems:
                if stem in index:
                    return index[stem]
        return self._nearest(noun) if self._model_path is not None else None

    def _nearest(self, noun: str) -> Thing | None:
        scores = self._vectors @ self._embed([f"a {noun}"])[0]
        best = int(scores.argmax())
        return self._things[best] if float(scores[best]) >= MIN_COSINE else None

    @cached_property
    def _vectors(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """(num_things, 384) unit vectors of the emoji labels."""
        return self._embed([f"a {text}" for text in self._texts])

    @cached_property
    def _embed(self) -> Callable[[list[str]], np.ndarray[Any, np.dtype[np.float32]]]:
        from pipeline.adapters.embedding import SentenceModel

        if self._model_path is None:
            raise ModelFileError("the sentence model was left out of this renderer's options")
        return SentenceModel(self._model_path).embed


def _load(path: Path, name: str) -> Any:
    file = path / name if path.is_dir() else path
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ModelFileError(f"{file}: cannot be read as JSON ({exc}); fetch it again") from exc
