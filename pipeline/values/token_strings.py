"""Media as strings of tokens inside text, after AnyGPT, and back.

A medium's codes are an integer array of shape (num_layers, num_frames). In text they stand between two delimiters as
one unit a code, ``<🎶17>``. Layers are interleaved frame by frame and told apart by an offset, layer i counting from
``i * num_codes``, as AnyGPT does it for music (``anygpt/src/m_utils/anything2token.py``); what has one layer has none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pipeline.values.records import Record

Codes = npt.NDArray[np.int32]
"""Of shape (num_layers, num_frames), each in [0, num_codes)."""

Mark = Annotated[str, Field(pattern=r"^\S\S")]
"""A string that words can be kept from holding by a space behind its first character."""

OptionalMark = Annotated[str, Field(pattern=r"^(\S\S|$)")]


class Alphabet(Record):
    """How one kind of media is spelled.

    Attributes:
        unit: Around a code's number, with ``{}`` in its place.
        num_codes: Of one layer.
        num_layers: That stand in the text; a tokenizer may know more, which are stored beside.
    """

    opening: Mark
    closing: Mark
    unit: str = Field(pattern=r"^[^{}\s][^{}]*\{\}[^{}]+$")
    num_codes: int = Field(ge=2)
    num_layers: int = Field(default=1, ge=1)

    @property
    def size(self) -> int:
        """Different units."""
        return self.num_codes * self.num_layers

    def spell(self, codes: Codes) -> str:
        """Return a medium's string.

        Raises:
            ValueError: the array has too few layers, or a code is out of range.
        """
        some = codes[: self.num_layers]
        if some.shape[0] < self.num_layers:
            raise ValueError(f"{codes.shape[0]} layers of codes, {self.num_layers} are spelled")
        if some.size and not (int(some.min()) >= 0 and int(some.max()) < self.num_codes):
            raise ValueError(f"codes from {some.min()} to {some.max()}; they go from 0 to {self.num_codes - 1}")
        offsets = np.arange(self.num_layers, dtype=np.int64)[:, None] * self.num_codes
        before, after = self.unit.split("{}")
        units = (some + offsets).T.ravel()
        return self.opening + "".join(f"{before}{number}{after}" for number in units.tolist()) + self.closing

    def parse(self, text: str) -> Codes:
        """Return the codes of a string that :meth:`spell` made.

        Raises:
            ValueError: it is no such string.
        """
        inside = text.removeprefix(self.opening).removesuffix(self.closing)
        if len(text) != len(inside) + len(self.opening) + len(self.closing):
            raise ValueError(f"does not stand between {self.opening} and {self.closing}")
        before, after = map(re.escape, self.unit.split("{}"))
        if not re.fullmatch(rf"(?:{before}\d+{after})*", inside):
            raise ValueError(f"holds something else than units like {self.unit.format(0)}")
        units = np.array([int(n) for n in re.findall(rf"{before}(\d+){after}", inside)], dtype=np.int64)
        if units.size % self.num_layers:
            raise ValueError(f"{units.size} units are no whole frames of {self.num_layers} layers")
        offsets = np.arange(self.num_layers, dtype=np.int64)[:, None] * self.num_codes
        codes = units.reshape(-1, self.num_layers).T - offsets
        if codes.size and not (int(codes.min()) >= 0 and int(codes.max()) < self.num_codes):
            raise ValueError("a unit stands where another layer's is expected")
        return codes.astype(np.int32)

    def tokens(self) -> Iterator[str]:
        """Yield every string that a language model has to know as one token."""
        yield self.opening
        yield self.closing
        for number in range(self.size):
            yield self.unit.format(number)


ANYGPT: Mapping[str, Alphabet] = {
    "image": Alphabet(opening="<soim>", closing="<eoim>", unit="<👀{}>", num_codes=8192),
    "speech": Alphabet(opening="<sosp>", closing="<eosp>", unit="<🗣️{}>", num_codes=1024),
    "music": Alphabet(opening="<somu>", closing="<eomu>", unit="<🎶{}>", num_codes=2048, num_layers=4),
}
"""As AnyGPT's tokenizer has them: SEED-2, the first layer of SpeechTokenizer, EnCodec with 4 layers."""


class Wording(Record):
    """What stands around messages and inside them.

    Attributes:
        heard, reply: In front of a spoken question's transcript, and of the reply to it.
        instruction: Behind a spoken question; empty for none.
        user, assistant, end_user, end_assistant: Of the chat template.
    """

    heard: OptionalMark = "<-Ins->"
    reply: OptionalMark = "<-Res->"
    instruction: str = ""
    user: OptionalMark = "[Human]: "
    assistant: OptionalMark = "[AnyGPT]: "
    end_user: OptionalMark = "<eoh>"
    end_assistant: OptionalMark = "<eos>"

    def specials(self) -> tuple[str, ...]:
        """Strings that a language model has to know as one token, besides those of media."""
        return tuple(s for s in (self.heard, self.reply, self.end_user, self.end_assistant) if s)


@dataclass(frozen=True)
class TokenPart:
    """A part of a dialogue: its words, or its codes."""

    role: str
    turn: int
    kind: str
    text: str
    codes: Codes | None = None


class Speller:
    """Writes dialogues as messages with token strings, and finds the media in such messages again."""

    def __init__(self, alphabets: Mapping[str, Alphabet], wording: Wording) -> None:
        self._alphabets = alphabets
        self._wording = wording
        marks = {s for a in alphabets.values() for s in (a.opening, a.closing)} | set(wording.specials())
        # Words that name a role would pass for the beginning of another turn.
        roles = {s.strip() for s in (wording.user, wording.assistant)} - {""}
        units = [re.escape(a.unit).replace(r"\{\}", r"\d+") for a in alphabets.values()]
        self._tokens = re.compile("|".join([*map(re.escape, sorted(marks, key=len, reverse=True)), *units]))
        self._reserved = re.compile("|".join([*map(re.escape, sorted(marks | roles)), *units]))
        spans = [rf"{re.escape(a.opening)}.*?{re.escape(a.closing)}" for a in alphabets.values()]
        self._media = re.compile("|".join(spans), re.DOTALL)

    def clean(self, text: str) -> str:
        """Return text in which nothing reads as a token: a space goes behind the first character of what would."""
        while (cleaned := self._reserved.sub(lambda found: f"{found.group()[0]} {found.group()[1:]}", text)) != text:
            text = cleaned
        return text

    def messages(self, parts: Sequence[TokenPart]) -> list[dict[str, str]]:
        """Return a message a turn, roles as they are."""
        turns: dict[int, list[TokenPart]] = {}
        for part in parts:
            turns.setdefault(part.turn, []).append(part)
        found = []
        heard = ""
        for some in turns.values():
            role = some[0].role
            message = " ".join(word for word in map(self._spell, some) if word)
            if role == "assistant" and heard:
                message = f"{self._wording.heard} {heard}\n {self._wording.reply} {message}"
            spoken = [self.clean(part.text) for part in some if part.kind == "speech" and part.codes is not None]
            heard = " ".join(spoken) if role == "user" else ""
            if heard and self._wording.instruction:
                message = f"{message} {self._wording.instruction}"
            found.append({"role": role, "message": message})
        return found

    def _spell(self, part: TokenPart) -> str:
        words = self.clean(part.text)
        if part.codes is None:
            return words
        units = self._alphabets[part.kind].spell(part.codes)
        # What is said stands before the sound of it: a model speaks what it has written.
        return f"{words} {units}" if part.kind == "speech" and part.role == "assistant" else units

    def find_media(self, message: str) -> list[tuple[str, Codes]]:
        """Return the media of a message in order, by kind.

        Raises:
            ValueError: what stands between delimiters is none.
        """
        by_opening = {alphabet.opening: kind for kind, alphabet in self._alphabets.items()}
        found = []
        for span in self._media.findall(message):
            kind = next(kind for opening, kind in by_opening.items() if span.startswith(opening))
            found.append((kind, self._alphabets[kind].parse(span)))
        return found

    def chat(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Return a dialogue in the chat template."""
        w = self._wording
        around = {"user": (w.user, f" {w.end_user}\n"), "assistant": (w.assistant, f"{w.end_assistant}\n")}
        texts = [around[m["role"]][0] + m["message"] + around[m["role"]][1] for m in messages]
        return "".join(texts).removesuffix("\n")

    def count(self, text: str, count_words: Callable[[str], int]) -> int:
        """Return the length of a text in tokens.

        Args:
            count_words: Of what stands between tokens of our own.
        """
        return sum(1 if is_token else count_words(piece) for piece, is_token in self.split(text))

    def split(self, text: str) -> Iterator[tuple[str, bool]]:
        """Yield the pieces of a text in order, and whether each is a token of our own; the others are words."""
        end = 0
        for found in self._tokens.finditer(text):
            if found.start() > end:
                yield text[end : found.start()], False
            yield found.group(), True
            end = found.end()
        if end < len(text):
            yield text[end:], False

    def vocabulary(self) -> list[str]:
        """Return all tokens to add to a language model, each once."""
        media = [token for alphabet in self._alphabets.values() for token in alphabet.tokens()]
        return list(dict.fromkeys([*self._wording.specials(), *media]))
