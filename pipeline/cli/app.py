"""The command line.

Kept free of heavy imports, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import typer

from pipeline.cli.exchanging import export, import_, merge, publish, round_trip, take_down
from pipeline.cli.looking import audit, diff, doctor, failures, report, review, show, status, verify
from pipeline.cli.making import gc, plan, repair, run, screen
from pipeline.cli.topics import topics_app
from pipeline.cli.trying import try_
from pipeline.cli.voices import voices_app
from pipeline.values.errors import AnyInstructError

app = typer.Typer(
    name="anyinstruct",
    help="Makes any-to-any multimodal instruction data: topics in, dialogues with rendered media out, as Parquet.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(topics_app, name="topics")
app.add_typer(voices_app, name="voices")

COMMANDS: dict[str, Callable[..., None]] = {
    "try": try_,
    "plan": plan,
    "run": run,
    "status": status,
    "failures": failures,
    "show": show,
    "verify": verify,
    "audit": audit,
    "screen": screen,
    "repair": repair,
    "review": review,
    "report": report,
    "diff": diff,
    "export": export,
    "publish": publish,
    "round-trip": round_trip,
    "gc": gc,
    "import": import_,
    "merge": merge,
    "take-down": take_down,
    "doctor": doctor,
}
"""By name, in the order that ``--help`` lists them."""

for _name, _command in COMMANDS.items():
    app.command(_name)(_command)


def main() -> None:
    """Run the command line; an expected error is one message on standard error and exit code 1."""
    try:
        app()
    except AnyInstructError as exc:
        print(f"error: {_clean(str(exc))}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output left (``| head``): that is no error, and Python must not complain on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _clean(text: str) -> str:
    """Error texts quote files that strangers wrote: no control character of theirs reaches the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "�" for c in text)


if __name__ == "__main__":
    main()
