"""A model's tokens as bytes, and the way from chat messages to tokens.

The engine's own detokeniser strips leading spaces and replaces the halves of characters that tokens end in, so token
bytes are read from the vocabulary once.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from pipeline.adapters.llm.grammar import Grammar, State
from pipeline.contracts.chat import Message
from pipeline.values.errors import EndpointError

BPE = 2
"""llama.cpp's number for byte-level byte pair encoding, the kind of vocabulary that GPT-2 introduced."""

MOST_CANDIDATES = 6000
"""Where more tokens than this begin fittingly, banning the misfits one by one is cheaper than checking them all."""


@dataclass(frozen=True)
class Place:
    """Where an answer stands in its grammar: the state, and the first bytes of a character that is not whole yet."""

    state: State
    pending: bytes = b""


class Vocabulary:
    """Tokens of one loaded model.

    Args:
        model: A ``cyllama.llama.llama_cpp.LlamaModel``.

    Raises:
        EndpointError: the model's kind of vocabulary or chat template is not supported.
    """

    def __init__(self, model: Any, name: str) -> None:
        self._model = model
        self._name = name
        self._vocab = model.get_vocab()
        if self._vocab.vocab_type != BPE:
            raise EndpointError(
                f"{name}: its vocabulary is not byte-level BPE; use a model of the lock, or an endpoint"
            )
        self._template = model.get_default_chat_template() or "chatml"
        self._bytes = self._read_bytes()
        self._by_first: dict[int, list[int]] = {}
        for token, data in enumerate(self._bytes):
            if data:
                self._by_first.setdefault(data[0], []).append(token)
        self._fitting: WeakKeyDictionary[State, tuple[int, ...] | None] = WeakKeyDictionary()

    def _read_bytes(self) -> list[bytes]:
        table = _byte_table()
        result = []
        for token in range(self._vocab.n_vocab):
            text = self._vocab.get_text(token)
            is_text = not self._vocab.is_control(token) and all(c in table for c in text)
            result.append(bytes(table[c] for c in text) if is_text else b"")
        return result

    @property
    def size(self) -> int:
        """Number of tokens."""
        return len(self._bytes)

    def ends_answer(self, token: int) -> bool:
        """True for the tokens by which a model says that it has finished."""
        return bool(self._vocab.is_eog(token))

    def data(self, tokens: Sequence[int]) -> bytes:
        """Bytes that tokens stand for; control tokens stand for none."""
        return b"".join(self._bytes[token] for token in tokens)

    def tokens(self, text: str, *, with_control: bool = False) -> list[int]:
        """Tokenise; names of control tokens count as plain text unless asked for."""
        # A copy: the engine hands out lists from a pool of its own.
        return list(self._vocab.tokenize(text, False, with_control))

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Lay messages out by the model's own chat template, ready for the assistant's answer.

        Message texts are tokenised as plain text: one that spells ``<|im_end|>`` ends nothing.
        """
        from cyllama.llama.llama_cpp import LlamaChatMessage

        marks = [f"\ue000{index}\ue001" for index in range(len(messages))]
        shells = [LlamaChatMessage(m.role, mark) for m, mark in zip(messages, marks, strict=True)]
        try:
            layout = self._model.chat_apply_template(self._template, shells, True)
        except RuntimeError as exc:
            raise EndpointError(f"{self._name}: its chat template is not known to the engine: {exc}") from exc
        tokens = [self._vocab.token_bos()] if self._vocab.get_add_bos() else []
        for message, mark in zip(messages, marks, strict=True):
            before, _, layout = layout.partition(mark)
            tokens += self.tokens(before, with_control=True) + self.tokens(message.content)
        return tokens + self.tokens(layout, with_control=True)

    def advance(self, grammar: Grammar, place: Place, token: int) -> Place | None:
        """Return the place after a token, or None where the grammar does not allow it there."""
        data = self._bytes[token]
        if not data:
            return None
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            text = decoder.decode(place.pending + data)
        except UnicodeDecodeError:
            return None
        state = grammar.walk(place.state, text)
        pending = decoder.getstate()[0]
        # Half a character is taken on trust where the grammar allows wide ones; the other half is checked again.
        if state is None or (pending and grammar.step(state, "\u4e2d") is None):
            return None
        return Place(state, pending)

    def fitting(self, grammar: Grammar, place: Place) -> tuple[int, ...] | None:
        """Return all tokens that may follow, or None where they are too many to be listed."""
        if place.pending:
            return None
        if place.state not in self._fitting:
            self._fitting[place.state] = self._list_fitting(grammar, place)
        return self._fitting[place.state]

    def closing(self, grammar: Grammar, place: Place) -> tuple[int, ...]:
        """Return the tokens that end a string here, or where it may not end yet, the shortest that carry it on."""
        enders = self._by_first.get(ord('"'), [])
        shortest = [token for token, data in enumerate(self._bytes) if len(data) == 1]
        for candidates in (enders, shortest):
            if found := tuple(t for t in candidates if self.advance(grammar, place, t) is not None):
                return found
        return ()

    def _list_fitting(self, grammar: Grammar, place: Place) -> tuple[int, ...] | None:
        ranges = grammar.ranges(place.state)
        if any(high >= 0x80 for _, high in ranges):
            return None
        firsts = {code for low, high in ranges for code in range(low, high + 1)}
        candidates = [token for first in sorted(firsts) for token in self._by_first.get(first, ())]
        if len(candidates) > MOST_CANDIDATES:
            return None
        return tuple(token for token in candidates if self.advance(grammar, place, token) is not None)


def _byte_table() -> dict[str, int]:
    """Map the characters that GPT-2's byte-level encoding writes bytes as back to the bytes.

    Printable Latin-1 stands for itself; the other 68 bytes are U+0100 and up, in order.
    """
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(plain)]
    return {chr(byte): byte for byte in plain} | {chr(0x100 + index): byte for index, byte in enumerate(others)}
