"""``anyinstruct try`` and its arguments. Kept free of heavy imports, so that ``--help`` answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

Options = Annotated[
    Optional[list[str]],  # noqa: UP045  typer reads the annotation
    typer.Option("--option", help="key=value of the renderer's own; may be repeated.", show_default=False),
]
Model = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Hub id or folder, for a renderer that takes one.", show_default=False),
]
Manifest = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="Take this manifest's section as it stands, instead of the choices above.", show_default=False),
]
VoicesFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--file", help="Voices file, instead of the shipped one.", show_default=False),
]
Out = Annotated[Path, typer.Option(help="Folder for the files; none that is there is overwritten.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, for machines.")]
Seed = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(
        min=0, max=2**63 - 1, help="Seeds of the single files follow from it; 0 unless stated.", show_default=False
    ),
]
RendererName = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Renderer; unless stated, one that fits the model or runs anywhere.", show_default=False),
]
Size = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Of pictures, e.g. 512 or 768x512.", show_default=False),
]
Duration = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(help="Of music.", show_default=False),
]
Voices = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(help="Voice or set of voices, e.g. 4 of language:en; may be repeated.", show_default=False),
]
Language = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Take the first voice that speaks it, e.g. en-GB.", show_default=False),
]
Rate = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(help="Of speech; 1.1 is ten percent faster.", show_default=False),
]
Emotion = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Words for how to speak, where the model can be told.", show_default=False),
]


def try_(  # noqa: PLR0913  an option is a parameter
    modality: Annotated[str, typer.Argument(help="image, music or speech.", show_default=False)],
    texts: Annotated[
        list[str], typer.Argument(metavar="TEXT", help="Descriptions, or words to speak.", show_default=False)
    ],
    renderer: RendererName = None,
    model: Model = None,
    option: Options = None,
    size: Size = None,
    seconds: Duration = None,
    voice: Voices = None,
    voices_file: VoicesFile = None,
    language: Language = None,
    rate: Rate = None,
    emotion: Emotion = None,
    manifest: Manifest = None,
    n: Annotated[int, typer.Option("--n", min=1, max=1000, help="Files for each text, each with another seed.")] = 1,
    seed: Seed = None,
    out: Out = Path("tries"),
    as_json: AsJson = False,
) -> None:
    """Render texts outside a corpus, and say how long it took and how much memory. Exit code 1 where one failed."""
    from pipeline.cli.trial import Asked, try_out

    asked = Asked(
        modality=modality,
        choices={
            "renderer": renderer,
            "model": model,
            "option": option,
            "size": size,
            "seconds": seconds,
            "voice": voice,
            "file": voices_file,
            "language": language,
            "rate": rate,
            "emotion": emotion,
        },
        manifest=manifest,
        seed=seed,
    )
    raise typer.Exit(try_out(asked, texts, n, out, as_json))
