"""The prompts folder: templates, demonstrations, requirements and meta-topics, read once and checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import Field, model_validator

from pipeline.adapters.shipped import shipped
from pipeline.adapters.yaml_file import load_yaml
from pipeline.values.errors import ManifestError
from pipeline.values.ids import content_key, sha256_hex
from pipeline.values.pictures import name_pictures
from pipeline.values.records import Demonstration, MetaTopic, Modality, Part, Record, Requirement, Turn


class _WrittenPart(Part):
    edits: str | None = None
    """By its name, such as ``the picture of turn 2``; the demonstration as a whole turns it into a place."""

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        """``{text: …}`` is how people write a part; ``{kind: text, text: …}`` is how it is kept."""
        kinds = [key for key in value if key != "edits"] if isinstance(value, dict) else []
        if len(kinds) != 1:
            raise ValueError("a part is one key out of text, speech, image and music, and its words")
        kind, text = kinds[0], value[kinds[0]]
        if kind not in set(Modality):
            raise ValueError(f"{kind!r} is no modality; allowed are text, speech, image and music")
        if "edits" in value and kind != Modality.IMAGE:
            raise ValueError(f"edits stands beside an image, not beside {kind}")
        spoken = text if kind == Modality.SPEECH else None
        return {"kind": kind, "text": text, "spoken": spoken, "edits": value.get("edits")}


class _WrittenTurn(Turn):
    parts: tuple[_WrittenPart, ...] = Field(min_length=1)


class _WrittenDemonstration(Demonstration):
    turns: tuple[_WrittenTurn, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> _WrittenDemonstration:
        if [turn.role for turn in self.turns] != ["user", "assistant"] * (len(self.turns) // 2):
            raise ValueError("turns begin with the user, alternate, and end with the assistant")
        for key, role, stated in (("gives", "user", self.gives), ("answers", "assistant", self.answers)):
            held = {part.kind for turn in self.turns if turn.role == role for part in turn.parts}
            if held != set(stated):
                names = ", ".join(kind for kind in Modality if kind in held)
                raise ValueError(f"{key} is not what the {role}'s turns hold: {names}")
        self.finish()
        return self

    def finish(self) -> Demonstration:
        """Return it as it is kept, with places in the stead of the pictures' names.

        Raises:
            ValueError: a picture edits one that is not there, or the user's does.
        """
        kinds = [[part.kind for part in turn.parts] for turn in self.turns]
        kept = self.model_dump()
        for index, turn in enumerate(kept["turns"]):
            places = name_pictures(kinds, index)
            for part in turn["parts"]:
                if (name := part["edits"]) is None:
                    continue
                if turn["role"] != "assistant":
                    raise ValueError(f"turn {index + 1}: edits {name!r}: only the assistant's pictures change others")
                if name not in places:
                    known = ", ".join(places) or "none"
                    raise ValueError(f"turn {index + 1}: edits {name!r}: no earlier picture; there are: {known}")
                part["edits"] = places[name]
        return Demonstration.model_validate(kept)


class _When(Record):
    gives: tuple[Modality, ...] = ()
    answers: tuple[Modality, ...] = ()


class _WrittenRequirement(Record):
    id: str
    when: _When = _When()
    min_rounds: int = 1
    feature: str | None = None
    text: str


class TemplateFolder:
    """The templates of a prompts folder, each read when it is filled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = ImmutableSandboxedEnvironment(
            loader=jinja2.FileSystemLoader(folder / "templates"),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=False,
        )

    def text(self, template: str, **values: Any) -> str:
        """Fill a template; values are never evaluated.

        Raises:
            ManifestError: the template is missing, is wrong, or asks for a value that its stage does not give.
        """
        try:
            return self._environment.get_template(f"{template}.j2").render(values).strip()
        except jinja2.TemplateError as exc:
            line = f":{exc.lineno}" if isinstance(exc, jinja2.TemplateSyntaxError) else ""
            path = self.folder / "templates" / f"{template}.j2"
            reason = "there is no such template" if isinstance(exc, jinja2.TemplateNotFound) else exc.message
            raise ManifestError(f"{path}{line}: {reason}") from exc
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError) as exc:
            # What its expressions come to: a sum of a number and a word, no UTF-8, …
            path = self.folder / "templates" / f"{template}.j2"
            raise ManifestError(f"{path}: cannot be filled: {exc}") from exc

    def key(self, *templates: str) -> str:
        """Hash of the named template files."""
        paths = [self.folder / "templates" / f"{name}.j2" for name in templates]
        try:
            return content_key(*[sha256_hex(path.read_bytes()) for path in paths])
        except OSError as exc:
            raise ManifestError(f"{exc.filename}: cannot be read: {exc.strerror}") from exc


class PromptFolder(TemplateFolder):
    """Implements ``PromptBook`` over a folder; any wrong file is named with its line."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.meta_topics = _by_id(folder, load_yaml(folder / "meta_topics.yaml", tuple[MetaTopic, ...]))
        self.demonstrations = _by_id(folder, _read_demonstrations(folder / "demonstrations"))
        self.requirements = _by_id(folder, _read_requirements(folder / "requirements.yaml"))


@cache
def shipped_book() -> PromptFolder:
    """The shipped prompts folder, read once in a process: parsing it takes a good tenth of a second."""
    return PromptFolder(shipped("prompts"))


def _read_demonstrations(folder: Path) -> list[Demonstration]:
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise ManifestError(f"{folder}: holds no .yaml file with demonstrations")
    written = [item for path in paths for item in load_yaml(path, tuple[_WrittenDemonstration, ...])]
    return [item.finish() for item in written]


def _read_requirements(path: Path) -> list[Requirement]:
    return [
        Requirement(
            id=item.id,
            gives=item.when.gives,
            answers=item.when.answers,
            min_rounds=item.min_rounds,
            feature=item.feature,
            text=item.text,
        )
        for item in load_yaml(path, tuple[_WrittenRequirement, ...])
    ]


R = TypeVar("R", MetaTopic, Demonstration, Requirement)


def _by_id(folder: Path, items: Iterable[R]) -> Mapping[str, R]:
    found: dict[str, R] = {}
    for item in items:
        if item.id in found:
            raise ManifestError(f"{folder}: the id {item.id!r} of a {type(item).__name__.lower()} stands twice")
        found[item.id] = item
    return found
