"""The voices file: who may speak, by which renderer, in which language, under which licence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import Field, field_validator, model_validator

from pipeline.adapters.files import sha256_file
from pipeline.adapters.yaml_file import load_yaml
from pipeline.contracts.render import Voice
from pipeline.values.errors import ManifestError
from pipeline.values.ids import content_key
from pipeline.values.paths import FilePath
from pipeline.values.records import Record

RECORDINGS = (".flac", ".mp3", ".ogg", ".wav")
"""Endings of files that count as recordings of a voice; libsndfile reads them all."""

_TAG = re.compile(r"[a-z]{2,3}(?:-[A-Z][a-z]{3})?(?:-(?:[A-Z]{2}|\d{3}))?(?:-[a-z0-9]{5,8})*")


class WrittenVoice(Record):
    """A voice as a person writes it; ``speaker`` may be left out where it equals the name."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    renderer: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]{0,63}$",
        description="1 to 64 lower-case letters, digits and hyphens, the first a letter or digit",
    )
    speaker: str | None = Field(default=None, min_length=1)
    languages: tuple[str, ...] = Field(min_length=1)
    gender: Literal["female", "male"] | None = None
    age: str | None = Field(default=None, min_length=1, max_length=64)
    reference: FilePath | None = None
    licence: str = Field(min_length=1)

    @field_validator("languages")
    @classmethod
    def _are_tags(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [tag for tag in tags if not _TAG.fullmatch(tag)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no BCP 47 tag such as en-US, fr-FR or ja")
        return tags

    @field_validator("reference")
    @classmethod
    def _stays_here(cls, reference: str | None) -> str | None:
        if reference is not None and (PurePosixPath(reference).is_absolute() or ".." in PurePosixPath(reference).parts):
            raise ValueError(f"{reference!r} must be a path inside the folder of the voices file")
        return reference

    def to_voice(self, folder: Path) -> Voice:
        """Return the voice with its speaker filled in and its recordings found.

        Args:
            folder: That of the voices file; the reference is relative to it.

        Raises:
            ManifestError: there is no recording at the reference, or it lies outside the folder.
        """
        try:
            recordings = [sha256_file(path) for path in self._find_recordings(folder)]
        except OSError as exc:
            raise ManifestError(f"voice {self.name!r}: {exc.filename}: cannot be read: {exc.strerror}") from exc
        return Voice(
            name=self.name,
            renderer=self.renderer,
            speaker=self.speaker or self.name,
            languages=self.languages,
            gender=self.gender,
            age=self.age,
            reference=(folder / self.reference).resolve() if self.reference else None,
            reference_sha256=content_key(recordings) if recordings else None,
            licence=self.licence,
        )

    def _find_recordings(self, folder: Path) -> Sequence[Path]:
        if self.reference is None:
            return ()
        place = folder / self.reference
        recordings = find_recordings(place)
        if not recordings:
            raise ManifestError(
                f"voice {self.name!r}: no recording at {place}; reference is a file, or a folder of files, that end "
                f"in {', '.join(RECORDINGS)}"
            )
        # The words of the path stay inside, as was checked; a link could still lead out.
        outside = [path for path in recordings if not path.resolve().is_relative_to(folder.resolve())]
        if outside:
            raise ManifestError(f"voice {self.name!r}: {outside[0]} leads out of {folder}; put the recording there")
        return recordings


class VoicesFile(Record):
    """The whole file: one list, every name once."""

    voices: tuple[WrittenVoice, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> VoicesFile:
        names = [voice.name for voice in self.voices]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"voice {twice[0]!r} stands here {names.count(twice[0])} times; a name stands for one voice"
            )
        return self


def load_voices(path: Path) -> Mapping[str, Voice]:
    """Read a voices file into voices by name, in the order of the file.

    Raises:
        ManifestError: the file cannot be read or is wrong; the text names file, line, key and value.
    """
    return {voice.name: voice.to_voice(path.parent) for voice in load_yaml(path, VoicesFile).voices}


def find_recordings(reference: Path) -> Sequence[Path]:
    """Return a voice's recordings: the file itself, or those of a folder by name; none where there is neither."""
    found = sorted(reference.iterdir()) if reference.is_dir() else [reference]
    return [path for path in found if path.suffix.lower() in RECORDINGS and path.is_file()]
