"""YAML that people write, read into closed models, with errors that point at the line."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from pipeline.adapters.complaints import Complaint, Keys, word_errors
from pipeline.adapters.written_files import read_written
from pipeline.values.errors import ManifestError

MAX_DEPTH = 100
"""Deepest nesting; the parser written in C recurses without looking at its stack."""

MAX_BITS = 1024
"""Of a whole number; Python writes none of more than 4,300 digits out, so that no error could name it."""

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # about ten times faster where it is
_OPENING = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)

T = TypeVar("T")


class Document:
    """A YAML file as it was read, with the lines of its keys.

    Attributes:
        data: What it says, as plain values.
    """

    def __init__(self, path: Path, root: yaml.Node | None, data: Any) -> None:
        self.path = path
        self.data = data
        self._root = root

    def validate(self, kind: type[T]) -> T:
        """Return what the file says as a model.

        Raises:
            Refused: names everything that the model does not allow.
        """
        try:
            return TypeAdapter(kind).validate_python(self.data)
        except ValidationError as exc:
            complaints = word_errors(kind, self.data, exc)
            raise Refused("\n".join(map(self._say, complaints)), [one.keys for one in complaints]) from exc

    def point(self, keys: Keys, text: str) -> str:
        """Return a text with file, line and key in front; the line of what is not there is that of what it is in."""
        return f"{self.path}:{self._find_line(keys)}: {'.'.join(map(str, keys)) or 'the file'}: {text}"

    def locate(self, text: str) -> str:
        """Put file and line in front of every line of a text that begins with a key of this file; see ManifestError."""
        return "\n".join(map(self._locate_line, text.removeprefix(f"{self.path}: ").split("\n")))

    def without(self, keys: Collection[Keys]) -> Any:
        """Return what the file says but for some keys."""
        data = deepcopy(self.data)
        # From the end, so that an entry that is taken out of a list moves none that is still to be found.
        for path in sorted(keys, key=lambda path: [str(key).zfill(9) for key in path], reverse=True):
            holder = data
            for key in path[:-1]:
                holder = holder[key]
            if path and isinstance(holder, dict):
                holder.pop(path[-1], None)
            elif path and isinstance(holder, list) and isinstance(path[-1], int) and path[-1] < len(holder):
                del holder[path[-1]]
        return data

    def _say(self, complaint: Complaint) -> str:
        if complaint.keys:
            return self.point(complaint.keys, complaint.text)
        # What a model as a whole refuses may name its key itself.
        located = self.locate(complaint.text)
        return located if located != complaint.text else self.point((), complaint.text)

    def _locate_line(self, line: str) -> str:
        dotted, colon, text = line.partition(": ")
        keys = tuple(int(key) if key.isdecimal() else key for key in dotted.split("."))
        if not colon or not isinstance(self.data, dict) or keys[0] not in self.data:
            return line
        return self.point(keys, text)

    def _find_line(self, keys: Keys) -> int:
        node = self._root
        line = node.start_mark.line + 1 if node is not None else 1
        for key in keys:
            if isinstance(node, yaml.MappingNode):
                found = next(((k, v) for k, v in node.value if k.value == str(key)), None)
                if found is None:
                    break
                line, node = found[0].start_mark.line + 1, found[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
                node = node.value[key]
                line = node.start_mark.line + 1
            else:
                break
        return line


class Refused(ManifestError):
    """A file says what its model does not allow; the text has a line for everything.

    Attributes:
        keys: Where each of them is.
    """

    def __init__(self, text: str, keys: Sequence[Keys] = ()) -> None:
        super().__init__(text)
        self.keys = tuple(keys)


def load_yaml(path: Path, kind: type[T]) -> T:
    """Read a YAML file into a model, or into a container of models such as ``tuple[Topic, ...]``.

    Raises:
        ManifestError: the file cannot be read, is not YAML, uses aliases or tags, says a key twice, or says something
            that the model does not allow. The text names file, line, key, value and what is allowed.
    """
    return read_document(path).validate(kind)


def read_document(path: Path) -> Document:
    """Read a YAML file as it is.

    Raises:
        ManifestError: the file cannot be read, is not YAML, uses aliases or tags, or says a key twice.
    """
    text = _read(path)
    try:
        _check_tokens(path, text)
        root, data = _parse(path, text)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ManifestError(f"{where}: not YAML: {getattr(exc, 'problem', None) or exc}") from exc
    return Document(path, root, data)


def _read(path: Path) -> str:
    try:
        return read_written(path).decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ManifestError(f"{path}: cannot be read: not UTF-8 ({exc.reason} at byte {exc.start})") from exc


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
            if not isinstance(key, yaml.ScalarNode):
                raise ManifestError(f"{path}:{line}: a key must be text, and a list or a section stands there")
            if key.value in lines:
                raise ManifestError(f"{path}:{line}: {key.value}: stands in line {lines[key.value]} already")
            lines[key.value] = line
        return [child for pair in node.value for child in pair]
    try:
        value = loader.construct_object(node)
        # Hexadecimal, say, which Python reads at any length.
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise ValueError("it is far too large a number")
    except (ValueError, OverflowError) as exc:  # a date such as 2024-13-45, a number of five thousand digits
        raise ManifestError(f"{path}:{node.start_mark.line + 1}: {node.value[:80]!r} is no value: {exc}") from exc
    return []
