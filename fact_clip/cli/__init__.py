"""The command line. Each command imports what it needs when it runs, so that --help is quick."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from fact_clip import __version__
from fact_clip.cli import compat, data, demo, evaluate, segment, train
from fact_clip.cli.console import answered

COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo.demo,
    "train": train.train,
    "evaluate": evaluate.evaluate,
    "extract": segment.extract,
    "segment": segment.segment,
    "convert": compat.convert,
    "data check": data.check,
    "data convert": data.convert,
    "data holdout": data.holdout,
    "data summary": data.summary,
    "data init": data.init,
}


def make_app() -> typer.Typer:
    """The program with every command of the table."""
    app = typer.Typer(epilog="Start with: fact-clip demo", pretty_exceptions_enable=False, rich_markup_mode=None)
    app.callback()(_program)
    group = typer.Typer(help="Check, convert and describe data sets.")
    app.add_typer(group, name="data")
    for name, command in COMMANDS.items():
        (group if name.startswith("data ") else app).command(name.removeprefix("data "))(command)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give back the exit code: 0, 2 for bad input (one line on stderr), 130 for Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    return answered(lambda: make_app()(args=arguments, prog_name="fact-clip", standalone_mode=False))


def _show_version(asked: bool) -> None:
    if asked:
        print(f"fact-clip {__version__}")
        raise typer.Exit


def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Cut untrimmed videos into actions: train, score and use FACT models."""
