"""What a closed model refuses, in words of ours: the key, what must stand there instead, and what stands there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from pipeline.values.words import say_count, suggest

Keys = tuple[int | str, ...]

_MUST = "must be "

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "tuple": "a list, such as [a, b]",
    "list": "a list, such as [a, b]",
    "dict": "keys with their values, such as name: value",
    "model": "keys with their values, such as name: value",
    "literal": "{expected}",
    "enum": "{expected}",
    "finite": "a finite number",
    "greater": "over {gt}",
    "less": "under {lt}",
}
"""By the first word of the library's code of an error; what follows it only says how the value was come by."""

_BOUNDS = {"greater_than_equal": "{ge} or more", "less_than_equal": "{le} or less"}


@dataclass(frozen=True)
class Complaint:
    """One thing that is wrong.

    Attributes:
        keys: From the top of the file down, as they stand there; for a key that is missing, itself included.
    """

    keys: Keys
    text: str

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.keys))}: {self.text}" if self.keys else self.text


@dataclass(frozen=True)
class _Found:
    """A complaint that is not put together yet; several about one value are those of a choice of kinds."""

    keys: Keys
    is_choice: bool
    text: str
    shown: str


def word_errors(kind: Any, data: Any, error: ValidationError) -> list[Complaint]:
    """Word all errors of a validation.

    Args:
        kind: The model, or container of models, that refused.
        data: What was validated, in which the keys are found.
    """
    found = [_word(kind, data, details) for details in error.errors(include_url=False)]
    # Where either this or that may stand and a list has a wrong entry, the entry alone is at fault.
    deeper = {one.keys[:length] for one in found if one.is_choice for length in range(len(one.keys))}
    groups: dict[Keys | int, list[_Found]] = {}
    for index, one in enumerate(found):
        if not (one.is_choice and one.keys in deeper):
            groups.setdefault(one.keys if one.is_choice else index, []).append(one)
    return list(dict.fromkeys(_join(group) for group in groups.values()))


def _join(group: Sequence[_Found]) -> Complaint:
    texts = list(dict.fromkeys(one.text for one in group))
    return Complaint(
        group[0].keys, ", or ".join([texts[0], *(t.removeprefix(_MUST) for t in texts[1:])]) + group[0].shown
    )


def _word(kind: Any, data: Any, details: ErrorDetails) -> _Found:
    code, loc, value = details["type"], details["loc"], details.get("input")
    keys = _find_keys(data, loc)
    is_choice = len(keys) < len(loc)
    if code == "missing":
        return _Found((*keys, loc[-1]), False, "is missing", "")
    if code in ("extra_forbidden", "invalid_key"):
        above = _find_keys(data, loc[:-1])
        near = suggest(str(loc[-1]), _names_at(kind, above))
        return _Found((*above, loc[-1]), False, f"no such key here; {near}", "")
    if code == "value_error":  # ours, which names its value where that may be shown
        return _Found(keys, is_choice, str(details["ctx"]["error"]), "")
    shown = "" if isinstance(value, (dict, list, tuple, BaseModel)) else f" (is {value!r:.80})"
    return _Found(keys, is_choice, _say(code, details, _field_at(kind, keys)), shown)


def _say(code: str, details: ErrorDetails, field: FieldInfo | None) -> str:
    facts: Mapping[str, Any] = details.get("ctx", {})
    if code.endswith(("too_short", "too_long")):
        bound, number = (
            ("least", facts.get("min_length")) if code.endswith("short") else ("most", facts.get("max_length"))
        )
        what = ("character", "characters") if code.startswith("string") else ("entry", "entries")
        return f"must have at {bound} {say_count(number or 0, *what)}"
    if code == "string_pattern_mismatch":
        return _MUST + (field.description if field and field.description else f"of the form {facts['pattern']}")
    words = _BOUNDS.get(code) or _KINDS.get(code.partition("_")[0])
    return _MUST + words.format(**facts) if words else details["msg"]


def _find_keys(data: Any, loc: Sequence[int | str]) -> Keys:
    """Follow the library's location through the data; it also names members of a choice, which are no keys."""
    keys: list[int | str] = []
    for step in loc:
        is_entry = isinstance(data, (list, tuple)) and isinstance(step, int) and step < len(data)
        if is_entry or (isinstance(data, dict) and step in data):
            data = data[step]
            keys.append(step)
    return tuple(keys)


def _names_at(kind: Any, keys: Keys) -> Iterable[str]:
    """Names of the fields that may stand under keys."""
    return [name for model in _models_at(kind, keys) for name in model.model_fields]


def _field_at(kind: Any, keys: Keys) -> FieldInfo | None:
    names = [key for key in keys if isinstance(key, str)]
    if not names:
        return None
    fields = [model.model_fields.get(names[-1]) for model in _models_at(kind, tuple(names[:-1]))]
    return next((field for field in fields if field is not None), None)


def _models_at(kind: Any, keys: Keys) -> list[type[BaseModel]]:
    models = _models_in(kind)
    for key in keys:
        if isinstance(key, str):
            fields = [model.model_fields[key] for model in models if key in model.model_fields]
            models = [model for field in fields for model in _models_in(field.annotation)]
    return models


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]
