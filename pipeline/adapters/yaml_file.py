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
MAX_DEPTH = 100
"""Deepest nesting; the parser written in C recurses without looking at its stack."""

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # about ten times faster where it is
_OPENING = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)

T = TypeVar("T")


def load_yaml(path: Path, kind: type[T]) -> T:
    """Read a YAML file into a model, or into a container of models such as ``tuple[Topic, ...]``.

    Raises:
        ManifestError: the file cannot be read, is not YAML, uses aliases or tags, says a key twice, or says something
            that the model does not allow. The text names file, line, key, value and what is allowed.
    """
    text = _read(path)
    try:
        _check_tokens(path, text)
        root, data = _parse(path, text)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ManifestError(f"{where}: not YAML: {getattr(exc, 'problem', None) or exc}") from exc
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as exc:
        lines = [_describe(path, root, error) for error in exc.errors(include_url=False)]
        raise ManifestError("\n".join(dict.fromkeys(lines))) from exc


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ManifestError(f"{path}: over {MAX_BYTES // 2**20} MiB, which no file of this kind should be")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else f"not UTF-8 ({exc.reason} at byte {exc.start})"
        raise ManifestError(f"{path}: cannot be read: {reason}") from exc


def _check_tokens(path: Path, text: str) -> None:
    """Refuse what is dangerous to parse. An alias can blow up a small file to gigabytes; nothing here needs tags."""
    if found := yaml.reader.Reader.NON_PRINTABLE.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise ManifestError(f"{path}:{line}: holds {found[0]!r}, which may not stand in YAML")
    depth = 0
    for token in yaml.scan(text, Loader=_Loader):
        where = f"{path}:{token.start_mark.line + 1}"
        if isinstance(token, yaml.AliasToken):
            raise ManifestError(f"{where}: aliases (*{token.value}) are not allowed")
        if isinstance(token, yaml.TagToken):
            raise ManifestError(
                f"{where}: tags ({''.join(filter(None, token.value))}) are not allowed; quote the value"
            )
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > MAX_DEPTH:
            raise ManifestError(f"{where}: nested more than {MAX_DEPTH} levels deep")


def _parse(path: Path, text: str) -> tuple[yaml.Node | None, Any]:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None, None
        waiting = [root]
        while waiting:
            waiting += _check_node(path, waiting.pop(), loader)
        return root, loader.construct_document(root)
    finally:
        loader.dispose()


def _check_node(path: Path, node: yaml.Node, loader: yaml.SafeLoader) -> list[yaml.Node]:
    """Refuse keys that stand twice, of which YAML would keep the last, and scalars without a value; return children."""
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.value in lines:
                raise ManifestError(f"{path}:{line}: {key.value}: stands in line {lines[key.value]} already")
            if isinstance(key, yaml.ScalarNode):
                lines[key.value] = line
        return [child for pair in node.value for child in pair]
    try:
        loader.construct_object(node)
    except ValueError as exc:  # a date such as 2024-13-45, a number of five thousand digits
        raise ManifestError(f"{path}:{node.start_mark.line + 1}: {node.value[:80]!r} is no value: {exc}") from exc
    return []


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
