"""Constrained answers: a GBNF grammar as an automaton that says which text may follow.

Why not the engine's own grammar: it looks at the whole vocabulary for every token, 0.1 to 0.4 s of a core inside a
string of bounded length (Qwen 2.5, 151,936 tokens), and it ends the process where a token does not fit. Here a
token is sampled first and checked afterwards, which takes microseconds, and what is forced is never sampled at all.

The grammar itself comes from the engine's converter of JSON schemas. States are built when first met and kept, so
that a grammar costs nothing for requests that share a schema.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

MAX_CODE_POINT = 0x10FFFF
RULE = re.compile(r"\s*([A-Za-z0-9-]+)\s*::=(.*)")
REPEAT = re.compile(r"\{(\d*)(,?)(\d*)\}")
ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}

OVERRIDES = {
    # Compact JSON: white space between its marks would cost a sampled token each time.
    "space": "",
    # Characters stand for themselves, so that no answer holds half a surrogate pair or a hidden control character.
    "char": r'[^"\\\x7F\x00-\x1F] | "\\" ["\\n]',
}
"""Rules of the converter that are replaced; both make the language smaller, never larger."""


@dataclass(frozen=True)
class Chars:
    """One character out of inclusive, sorted code point ranges."""

    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Ref:
    """A rule by name."""

    name: str


@dataclass(frozen=True)
class Series:
    """Everything in order."""

    items: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    """One of several."""

    options: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    """At least ``low`` and at most ``high`` times; None is no bound."""

    item: Node
    low: int
    high: int | None


Node = Chars | Ref | Series | Choice | Repeat
Stack = tuple[int, "Stack"] | None
"""What is still to be matched: a node's number and the rest; None when all is matched."""


@dataclass(eq=False)
class State:
    """A point in a grammar.

    Attributes:
        is_complete: The text so far is a whole answer.
        stacks: All ways to go on; each begins with a :class:`Chars`.
        follow: Next states by character class, as far as they were asked for; None is a dead end.
    """

    is_complete: bool
    stacks: tuple[tuple[int, Stack], ...]
    follow: dict[int, State | None] = field(default_factory=dict)


class Grammar:
    """The automaton of one grammar.

    Args:
        gbnf: Rules as llama.cpp writes them, one a line, beginning with ``root``.

    Raises:
        ValueError: the text is no such grammar; names the rule.
    """

    def __init__(self, gbnf: str) -> None:
        texts = dict(_split_rules(gbnf))
        texts.update({name: text for name, text in OVERRIDES.items() if name in texts})
        self._rules = {name: _Parser(name, text).parse() for name, text in texts.items()}
        self._numbers: dict[Node, int] = {}
        self._nodes: list[Node] = []
        self._states: dict[frozenset[Stack], State] = {}
        self._bounds = sorted({0, *_bounds(self._rules.values())})
        if "root" not in self._rules:
            raise ValueError("grammar: there is no rule named root")
        self.start = self._state({(self._number(Ref("root")), None)})

    def step(self, state: State, character: str) -> State | None:
        """Return the state after one more character, or None where it may not stand."""
        group = bisect_right(self._bounds, ord(character)) - 1
        if group not in state.follow:
            state.follow[group] = self._step_group(state, group)
        return state.follow[group]

    def walk(self, state: State, text: str) -> State | None:
        """Return the state after a text, or None where it does not fit."""
        current: State | None = state
        for character in text:
            if current is None:
                return None
            current = self.step(current, character)
        return current

    def ranges(self, state: State) -> list[tuple[int, int]]:
        """Code point ranges out of which the next character must come; empty at the end of the answer."""
        tops = (self._nodes[number] for number, _ in state.stacks)
        return sorted({pair for node in tops if isinstance(node, Chars) for pair in node.ranges})

    def forced(self, state: State) -> tuple[str, State]:
        """Return the text that must follow, as far as there is but one, and the state after it."""
        text: list[str] = []
        while not state.is_complete:
            ranges = self.ranges(state)
            if len(ranges) != 1 or ranges[0][0] != ranges[0][1]:
                break
            character = chr(ranges[0][0])
            following = self.step(state, character)
            if following is None:
                break
            text.append(character)
            state = following
        return "".join(text), state

    def _step_group(self, state: State, group: int) -> State | None:
        code = self._bounds[group]
        rests: set[Stack] = set()
        for number, rest in state.stacks:
            node = self._nodes[number]
            if isinstance(node, Chars) and any(low <= code <= high for low, high in node.ranges):
                rests.add(rest)
        return self._state(rests) if rests else None

    def _state(self, stacks: Iterable[Stack]) -> State:
        """Follow everything that matches no character by itself, and return the one state that this comes to."""
        seen: set[Stack] = set()
        ends: set[Stack] = set()
        pending = list(stacks)
        while pending:
            stack = pending.pop()
            if stack in seen:
                continue
            seen.add(stack)
            if stack is None or isinstance(self._nodes[stack[0]], Chars):
                ends.add(stack)
            else:
                pending.extend(self._unfold(self._nodes[stack[0]], stack[1]))
        key = frozenset(ends)
        if key not in self._states:
            tops = tuple(stack for stack in ends if stack is not None)
            self._states[key] = State(is_complete=None in ends, stacks=tops)
        return self._states[key]

    def _unfold(self, node: Node, rest: Stack) -> Iterator[Stack]:
        if isinstance(node, Ref):
            if node.name not in self._rules:
                raise ValueError(f"grammar: there is no rule named {node.name}")
            yield (self._number(self._rules[node.name]), rest)
        elif isinstance(node, Choice):
            yield from ((self._number(option), rest) for option in node.options)
        elif isinstance(node, Series):
            for item in reversed(node.items):
                rest = (self._number(item), rest)
            yield rest
        elif isinstance(node, Repeat):
            if node.low == 0:
                yield rest
            if node.high != 0:
                fewer = Repeat(node.item, max(node.low - 1, 0), None if node.high is None else node.high - 1)
                yield (self._number(node.item), (self._number(fewer), rest))

    def _number(self, node: Node) -> int:
        """Number a node, so that stacks hash in the time of a few integers."""
        if node not in self._numbers:
            self._numbers[node] = len(self._nodes)
            self._nodes.append(node)
        return self._numbers[node]


def _split_rules(gbnf: str) -> Iterator[tuple[str, str]]:
    for line in gbnf.splitlines():
        if not line.strip():
            continue
        match = RULE.fullmatch(line)
        if match is None:
            raise ValueError(f"grammar: not a rule: {line!r:.80}")
        yield match[1], match[2]


def _bounds(nodes: Iterable[Node]) -> Iterator[int]:
    """Yield the code points at which membership of some class changes: between two of them all characters are alike."""
    for node in nodes:
        if isinstance(node, Chars):
            for low, high in node.ranges:
                yield from (low, high + 1)
        elif isinstance(node, Repeat):
            yield from _bounds((node.item,))
        elif isinstance(node, (Series, Choice)):
            yield from _bounds(node.items if isinstance(node, Series) else node.options)


class _Parser:
    """Reads the right side of one rule."""

    def __init__(self, rule: str, text: str) -> None:
        self._rule = rule
        self._text = text
        self._at = 0

    def parse(self) -> Node:
        node = self._choice()
        if self._at != len(self._text):
            raise self._error("unexpected text")
        return node

    def _error(self, what: str) -> ValueError:
        return ValueError(f"grammar: rule {self._rule}: {what} at {self._text[self._at :]!r:.40}")

    def _peek(self) -> str:
        while self._at < len(self._text) and self._text[self._at] in " \t":
            self._at += 1
        return self._text[self._at : self._at + 1]

    def _choice(self) -> Node:
        options = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            options.append(self._sequence())
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def _sequence(self) -> Node:
        items: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            items.append(self._repeated(self._item()))
        return items[0] if len(items) == 1 else Series(tuple(items))

    def _item(self) -> Node:
        first = self._peek()
        if first == '"':
            return self._literal()
        if first == "[":
            return self._class()
        if first == "(":
            self._at += 1
            node = self._choice()
            if self._peek() != ")":
                raise self._error("a closing parenthesis is missing")
            self._at += 1
            return node
        if first == ".":
            self._at += 1
            return Chars(((0, MAX_CODE_POINT),))
        name = re.compile(r"[A-Za-z0-9-]+").match(self._text, self._at)
        if name is None:
            raise self._error("unexpected text")
        self._at = name.end()
        return Ref(name[0])

    def _repeated(self, node: Node) -> Node:
        mark = self._text[self._at : self._at + 1]
        if mark in ("*", "+", "?") and mark:
            self._at += 1
            return Repeat(node, 1 if mark == "+" else 0, 1 if mark == "?" else None)
        match = REPEAT.match(self._text, self._at)
        if match is None:
            return node
        self._at = match.end()
        low = int(match[1] or 0)
        high = (int(match[3]) if match[3] else None) if match[2] else low
        return Repeat(node, low, high)

    def _literal(self) -> Node:
        self._at += 1
        items: list[Node] = []
        while self._text[self._at : self._at + 1] != '"':
            code = self._code_point()
            items.append(Chars(((code, code),)))
        self._at += 1
        return Series(tuple(items))

    def _class(self) -> Node:
        self._at += 1
        negated = self._text[self._at : self._at + 1] == "^"
        self._at += negated
        ranges: list[tuple[int, int]] = []
        while self._text[self._at : self._at + 1] != "]":
            low = high = self._code_point()
            if self._text[self._at : self._at + 1] == "-" and self._text[self._at + 1 : self._at + 2] != "]":
                self._at += 1
                high = self._code_point()
            ranges.append((low, high))
        self._at += 1
        return Chars(_complement(ranges) if negated else tuple(sorted(ranges)))

    def _code_point(self) -> int:
        if self._at >= len(self._text):
            raise self._error("a quote or bracket is not closed")
        character = self._text[self._at]
        self._at += 1
        if character != "\\":
            return ord(character)
        mark = self._text[self._at : self._at + 1]
        self._at += 1
        if digits := {"x": 2, "u": 4, "U": 8}.get(mark):
            self._at += digits
            return int(self._text[self._at - digits : self._at], 16)
        return ord(ESCAPES.get(mark) or mark or "\\")


def _complement(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return all code points outside of the ranges."""
    result: list[tuple[int, int]] = []
    start = 0
    for low, high in sorted(ranges):
        if low > start:
            result.append((start, low - 1))
        start = max(start, high + 1)
    if start <= MAX_CODE_POINT:
        result.append((start, MAX_CODE_POINT))
    return tuple(result)
