"""What the encoders of a pipeline read of a text: counted before it is rendered, so that no word is dropped unsaid."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

SHOWN = 300
"""Characters of the dropped words that are noted."""

UNLIMITED = 100_000
"""A tokenizer that states more tokens than this states no limit."""


@dataclass(frozen=True)
class Reading:
    """A text as a pipeline reads it.

    Attributes:
        text: Without the words that an encoder takes for its own signs.
        tokens, limit: Of the encoder that reads the most, its own signs included; 0 where none states a limit.
        dropped: The words that not even that one reads.
        shortened_for: Encoders that read less than all; where others read the rest, nothing is lost.
    """

    text: str
    tokens: int
    limit: int
    dropped: str
    shortened_for: tuple[str, ...]

    def notes(self) -> dict[str, Any]:
        """What is worth keeping of it, for ``Render.notes``."""
        notes: dict[str, Any] = {"tokens": self.tokens, "token_limit": self.limit} if self.limit else {}
        if self.dropped:
            notes["dropped_text"] = self.dropped if len(self.dropped) <= SHOWN else f"{self.dropped[: SHOWN - 1]}…"
        if self.shortened_for:
            notes["shortened_for"] = list(self.shortened_for)
        return notes


class PromptReader:
    """Counts with a pipeline's own tokenizers.

    Args:
        pipe: A pipeline of diffusers.
        sequence: Tokens that its T5, Gemma or Qwen encoder is to read; None for the pipeline's own default.
    """

    def __init__(self, pipe: Any, sequence: int | None) -> None:
        parameter = inspect.signature(pipe.__call__).parameters.get("max_sequence_length")
        stated = sequence or (parameter.default if parameter is not None else None)
        self._tokenizers: list[tuple[str, Any, int]] = []
        for name, part in pipe.components.items():
            if part is None or not name.startswith("tokenizer"):
                continue
            tokenizer = getattr(part, "tokenizer", part)  # some pipelines keep a processor, which holds one
            # CLIP reads by learnt positions, which no setting extends; the others as much as the pipeline asks for.
            is_clip = "CLIP" in type(tokenizer).__name__
            limit = tokenizer.model_max_length if is_clip or stated is None else stated
            if limit < UNLIMITED:
                self._tokenizers.append((name, tokenizer, int(limit)))
        tokens = {token for _, tokenizer, _ in self._tokenizers for token in tokenizer.all_special_tokens}
        # A sign of one character (SD 2.1 pads with "!") is punctuation in a description.
        self._signs = sorted((token for token in tokens if len(token) > 1), key=lambda token: (-len(token), token))

    def read(self, text: str) -> Reading:
        """Count a text.

        A description may hold an encoder's own signs, by chance or by design: ``<|endoftext|>`` would end it there for
        CLIP. They are taken out.
        """
        text = self._without_signs(text)
        counted = [(name, *_count(tokenizer, text, limit)) for name, tokenizer, limit in self._tokenizers]
        if not counted:
            return Reading(text, 0, 0, "", ())
        # The one that reads furthest into the text says what is lost.
        _, tokens, limit, kept = max(counted, key=lambda entry: (entry[3], entry[2]))
        shortened = tuple(name for name, _, _, reach in counted if reach < len(text))
        return Reading(text, tokens, limit, text[kept:].strip(), shortened)

    def _without_signs(self, text: str) -> str:
        for sign in self._signs:
            text = text.replace(sign, " ")  # a space, lest the halves of another sign be joined
        return text


def _count(tokenizer: Any, text: str, limit: int) -> tuple[int, int, int]:
    """Return the tokens of a text, the limit, and how many of its characters lie within."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False)
    offsets = encoded["offset_mapping"]
    own = tokenizer.num_special_tokens_to_add()
    room = max(limit - own, 0)
    kept = len(text) if len(offsets) <= room else offsets[room][0]
    return len(offsets) + own, limit, kept
