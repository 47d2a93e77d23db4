"""The shapes of text-only instruction data, told row by row: Alpaca, ShareGPT and messages.

- Alpaca: ``instruction``, ``input`` and ``output``; also with ``system``, and with ``history`` in pairs.
- ShareGPT: ``conversations``, a list of turns with ``from`` and ``value``.
- messages: a list of turns with ``role`` and ``content``, which may be a list of parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.values.records import Role
from pipeline.values.texts import NotTaken, Rule
from pipeline.work.published_shapes import MAX_TURNS, ROLES

ALPACA, SHAREGPT, MESSAGES = "alpaca", "sharegpt", "messages"

_LISTS = ("messages", "conversations", "conversation")
_SYSTEM = frozenset({"system", "developer"})
_TOOLS = frozenset({"tool", "tools", "function", "function_call", "observation", "ipython", "environment"})
_CALLS = ("tool_calls", "function_call")

Said = tuple[Role, str]


@dataclass(frozen=True)
class Shaped:
    """A row whose shape is known.

    Attributes:
        shape: ``alpaca``, ``sharegpt`` or ``messages``.
        turns: Role and words as they stand there, lines and all; system messages are left out.
    """

    shape: str
    turns: tuple[Said, ...]
    has_system: bool = False


def read_shape(value: Any) -> Shaped:
    """Tell a row's shape and read its turns.

    Raises:
        NotTaken: it has none of the shapes, or holds something other than words.
    """
    if not isinstance(value, Mapping):
        raise NotTaken(Rule.UNKNOWN_SHAPE, f"is no object ({type(value).__name__})")
    listed = next((value[name] for name in _LISTS if isinstance(value.get(name), list)), None)
    if listed is not None:
        return _read_list(listed)
    if isinstance(value.get("instruction"), str) and "output" in value:
        return _read_alpaca(value)
    keys = ", ".join(repr(str(key)[:40]) for key in list(value)[:6]) or "no keys"
    raise NotTaken(Rule.UNKNOWN_SHAPE, f"is neither Alpaca, ShareGPT nor messages: has {keys}")


def _read_alpaca(value: Mapping[str, Any]) -> Shaped:
    turns: list[Said] = []
    for pair in value.get("history") or ():
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise NotTaken(Rule.UNKNOWN_SHAPE, "its history is no list of pairs")
        turns += [("user", _text(pair[0])), ("assistant", _text(pair[1]))]
    asked = [_text(value["instruction"]), _text(value.get("input") or "")]
    turns += [("user", "\n".join(filter(str.strip, asked))), ("assistant", _text(value["output"]))]
    return Shaped(ALPACA, tuple(turns), has_system=bool(str(value.get("system") or "").strip()))


def _read_list(listed: list[Any]) -> Shaped:
    if len(listed) > MAX_TURNS:
        raise NotTaken(Rule.ROUNDS, f"has {len(listed):,} turns")
    turns, shape, has_system = [], MESSAGES, False
    for name, said in _keyed(listed):
        shape = SHAREGPT if "value" in said else shape
        known = name.strip().casefold() if isinstance(name, str) else ""
        if known in _SYSTEM:
            has_system = True
        elif known in _TOOLS or any(said.get(key) for key in _CALLS):
            raise NotTaken(Rule.NOT_WORDS, "a turn calls a tool, or is its answer")
        elif known in ROLES:
            turns.append((ROLES[known], _text(said.get("value", said.get("content")))))
        else:
            is_there = repr(name[:40]) if isinstance(name, str) else type(name).__name__
            raise NotTaken(Rule.UNKNOWN_SHAPE, f"a turn's role is {is_there}")
    return Shaped(shape, tuple(turns), has_system)


def _keyed(listed: list[Any]) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    for turn in listed:
        if not isinstance(turn, Mapping):
            raise NotTaken(Rule.UNKNOWN_SHAPE, f"a turn is no object ({type(turn).__name__})")
        # In a table both columns are there, and those of the other shape hold nothing.
        filled = {key: value for key, value in turn.items() if value is not None}
        yield filled.get("from", filled.get("role")), filled


def _text(value: Any) -> str:
    """Return the words of a turn; content in parts must be text alone."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(part, Mapping) and part.get("type") == "text" for part in value):
        return "\n".join(str(part.get("text") or "") for part in value)
    raise NotTaken(Rule.NOT_WORDS, f"a turn holds something other than words ({type(value).__name__})")
