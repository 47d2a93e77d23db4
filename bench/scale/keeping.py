"""What measuring a size took, kept beside its corpus, so that a long measurement can be gone on with."""

from __future__ import annotations

import shutil
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from bench.scale.manifests import Shape, write_manifest
from bench.scale.measuring import CommandFailed, Made, make

FILE = "made.json"

_MADE = TypeAdapter(Made)


def make_or_recall(folder: Path, shape: Shape, url: str) -> Made:
    """Make a corpus, or say what it took when it was made; one that was begun and never measured to its end goes.

    Raises:
        CommandFailed: the run failed, or the folder holds a corpus of another shape.
    """
    kept = folder / FILE
    if kept.exists():
        try:
            made = _MADE.validate_json(kept.read_bytes())
        except ValidationError as exc:
            raise CommandFailed(f"{kept}: no measurement of this version; remove {folder}") from exc
        if made.shape != shape:
            raise CommandFailed(f"{kept}: measured {made.shape}, wanted {shape}; name another --folder")
        write_manifest(folder, shape, url)  # the endpoint has another address now
        return made
    shutil.rmtree(folder / "corpus", ignore_errors=True)
    made = make(folder, shape, url)
    kept.write_bytes(_MADE.dump_json(made))
    return made
