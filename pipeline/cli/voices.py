"""The ``voices`` commands and their arguments. Kept free of heavy imports, so that ``--help`` answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from pipeline.cli.trying import AsJson, Manifest, Model, Options, Out, Seed, VoicesFile

voices_app = typer.Typer(
    help="List the voices of the voices file, and sample them.", rich_markup_mode=None, invoke_without_command=True
)


@voices_app.callback()
def voices(  # noqa: PLR0913  an option is a parameter
    context: typer.Context,
    renderer: Annotated[
        Optional[str],  # noqa: UP045  typer reads the annotation
        typer.Option(help="Only voices of this renderer.", show_default=False),
    ] = None,
    language: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Only voices that speak it, e.g. en or en-GB.", show_default=False),
    ] = None,
    gender: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Only female or male ones.", show_default=False),
    ] = None,
    licence: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Only voices under this licence, e.g. CC0-1.0.", show_default=False),
    ] = None,
    file: VoicesFile = None,
    manifest: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            help="Only the voices that this manifest chooses, with its renderer's options.", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List voices, with their licences, and whether they can be used here; or sample some."""
    if context.invoked_subcommand is not None:
        return
    from pipeline.cli.voice_commands import list_voices

    asked = {"renderer": renderer, "language": language, "gender": gender, "licence": licence}
    list_voices({key: value for key, value in asked.items() if value is not None}, file, manifest, as_json)


@voices_app.command()
def sample(  # noqa: PLR0913  an option is a parameter
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Voices, by name.", show_default=False)],
    text: Annotated[str, typer.Option(help="What each of them says.", show_default=False)],
    model: Model = None,
    option: Options = None,
    rate: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="1.1 is ten percent faster.", show_default=False),
    ] = None,
    file: VoicesFile = None,
    manifest: Manifest = None,
    seed: Seed = None,
    out: Out = Path("tries"),
    as_json: AsJson = False,
) -> None:
    """Render a line with each voice. Exit code 1 where one failed."""
    from pipeline.cli.trial import Asked
    from pipeline.cli.voice_commands import sample_voices

    choices = {"model": model, "option": option, "rate": rate, "file": file}
    raise typer.Exit(sample_voices(names, text, Asked("speech", choices, manifest, seed), out, as_json))
