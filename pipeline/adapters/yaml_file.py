"""YAML that people write, read into closed models, with errors that point at the line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from pipeline.values.errors import ManifestError

MAX_BYTES = 32 * 2**20

T = TypeVar("T")


def load_yaml(path: Path, kind: type[T]) -> T:
    """Read a YAML file into a model, or into a container of models such as ``tuple[Topic, ...]``.

    Raises:
        ManifestError: the file cannot be read, is not YAML, uses aliases, or says something that the model does not
            allow. The text names file, line, key, value and what is allowed.
    """
    text = _read(path)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ManifestError(f"{where}: not YAML: {getattr(exc, 'problem', None) or exc}") from exc
    except RecursionError as exc:
        raise ManifestError(f"{path}: nested too deeply to be read") from exc
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as exc:
        lines = [_describe(path, root, error) for error in exc.errors(include_url=False)]
        raise ManifestError("\n".join(dict.fromkeys(lines))) from exc


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ManifestError(f"{path}: over {MAX_BYTES // 2**20} MiB, which no file of this kind should be")
        text = path.read_text(encoding="utf-8")
        # An alias can blow up a small file to gigabytes, and nothing here needs one.
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            if isinstance(token, yaml.AliasToken):
                raise ManifestError(f"{path}:{token.start_mark.line + 1}: aliases (*{token.value}) are not allowed")
    except yaml.YAMLError:
        return text  # reported with its line by the parser proper
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else f"not UTF-8 ({exc.reason} at byte {exc.start})"
        raise ManifestError(f"{path}: cannot be read: {reason}") from exc
    return text


def _describe(path: Path, root: yaml.Node | None, error: ErrorDetails) -> str:
    line, keys = _locate(root, error["loc"])
    key = ".".join(str(k) for k in keys) or "the file"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return f"{path}:{line}: {key}: no such key here; check its spelling and its indentation"
    if error["type"] == "missing":
        return f"{path}:{line}: {'.'.join(map(str, error['loc']))}: is missing"
    value = error.get("input")
    shown = "" if isinstance(value, (dict, list, tuple, BaseModel)) else f" (is {value!r:.80})"
    return f"{path}:{line}: {key}: {message}{shown}"


def _locate(root: yaml.Node | None, loc: Sequence[int | str]) -> tuple[int, list[int | str]]:
    """Follow pydantic's location through the YAML nodes as far as it goes; return the line and the keys passed."""
    node, keys = root, []
    line = (root.start_mark.line + 1) if root is not None else 1
    for step in loc:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(step)), None)
            if found is None:
                continue  # pydantic also names union members, which are no keys of the file
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            continue
        keys.append(step)
    return line, keys
