"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

ManifestFile = Annotated[Path, typer.Argument(help="Corpus manifest, a YAML file.", show_default=False)]
CorpusFolder = Annotated[
    Path, typer.Argument(help="Corpus folder, e.g. corpora/demo, or s3://bucket/demo.", show_default=False)
]
Where = Annotated[
    Optional[Path],  # noqa: UP045  typer reads the annotation
    typer.Option(
        "--corpus",
        help="Corpus folder or s3:// address, instead of corpora/<name of the manifest>.",
        show_default=False,
    ),
]
Limit = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(min=1, help="Work on the first N dialogues of the plan only; the rest goes on from there."),
]
RayAddress = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Ray address of a cluster; left out, Ray starts on this machine.", show_default=False),
]
