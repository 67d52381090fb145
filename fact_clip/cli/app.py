"""fact-clip app."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fact_clip.cli.console import Device, KeepGoing
from fact_clip.cli.segment import (
    Actions,
    ActionsFile,
    Encoder,
    Rate,
    TrainingFreeFlag,
    Window,
    Wording,
    check_rules_of_run,
    given_actions,
)
from fact_clip.core.errors import CommandOption, InputError

if TYPE_CHECKING:
    from fact_clip.inference.sources import SegmentsMany


def app(
    *,
    run: Annotated[Path | None, typer.Option(help="Run folder of a trained model.")] = None,
    training_free: TrainingFreeFlag = False,
    actions: Actions = None,
    actions_file: ActionsFile = None,
    encoder: Encoder = None,
    fps: Rate = None,
    device: Device = "auto",
    prompts: Wording = "ensemble",
    window: Window = None,
    keep_going: KeepGoing = False,
    training_set: Annotated[
        Path | None, typer.Option(help="Folder in the common layout that corrected videos may be added to.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; other than the default, others can reach it.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8000,
    max_megabytes: Annotated[float, typer.Option(help="Size of a file, at most.", min=1, max=1e6)] = 2000,
    max_minutes: Annotated[float, typer.Option(help="Duration of a video, at most.", min=0.1, max=1e5)] = 120,
) -> None:
    """Open a page to segment videos, type names and correct segments.

    Prints the address, which holds a token, and serves until Ctrl-C. Uploaded files lie in a temporary folder and go at
    the end. Needs the extra 'app'. See docs/app.md.

    \b
    Example:
      fact-clip app --run runs/k5 --training-set my_data
      fact-clip app --training-free --encoder clip:ViT-B-32/openai --actions "pour milk, stir"
    """
    try:
        import uvicorn

        from fact_clip.app.engine import Engine
        from fact_clip.app.server import Options, make_app
        from fact_clip.app.sessions import Limits
    except ModuleNotFoundError as error:
        raise InputError("fact-clip app", f"{error.name} is not installed", "pip install 'fact-clip[app]'") from None
    from fact_clip.inference.segmenter import load
    from fact_clip.text.prompts import TEMPLATES

    if training_free == (run is not None):
        raise InputError("app", "neither or both of --run and --training-free; expected one of them")
    named = given_actions(actions, actions_file)
    if training_set is not None and training_set.exists() and not _can_grow(training_set):
        expected = "a data set, or a new folder"
        raise InputError(
            CommandOption("--training-set"), f"{training_set}, a folder or file of something else; expected {expected}"
        )
    if prompts not in TEMPLATES:
        raise InputError(CommandOption("--prompts"), f"{prompts!r}; expected one of {', '.join(TEMPLATES)}")
    if run is not None:
        check_rules_of_run(prompts)
    limits = Limits(file_bytes=round(max_megabytes * 1e6), minutes=max_minutes)
    how = {"encoder": encoder, "fps": fps, "window": window, "keep_going": keep_going}
    if run is not None:
        trained = load(run, device, encoder=encoder, fps=fps, window=window, keep_going=keep_going)
        trained.choose(named)  # wrong names are told before the page opens
        base: SegmentsMany = trained
    else:
        base = _untrained(encoder, named, prompts, fps, window, keep_going, device)
    logging.getLogger("fact_clip.inference").setLevel(logging.ERROR)  # the page itself tells of new words
    base.load()  # what is missing is told before the page opens
    engine = Engine(base, lambda path: load(path, device, encoder=encoder, fps=fps), limits)
    command = _command(run, prompts, how)
    options = Options(
        secrets.token_urlsafe(32), host, command, training_set, run, limits, None if named is None else tuple(named)
    )
    listening = _listening(host, port)  # before the page makes its folder
    page = make_app(engine, options)
    # The address holds the token, so that requests are not logged.
    config = uvicorn.Config(
        page, host, port, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=2
    )
    shown = f"[{host}]" if ":" in host else host
    print(f"open http://{shown}:{listening.getsockname()[1]}/?token={options.token}", flush=True)
    print("Ctrl-C ends it and removes what was uploaded", file=sys.stderr)
    if hasattr(signal, "SIGHUP"):  # a terminal that is closed ends the page as Ctrl-C does
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _can_grow(folder: Path) -> bool:
    """Whether a folder can be a training set: it is one, or empty."""
    parts = ("mapping.txt", "groundTruth", "features")
    return folder.is_dir() and (any((folder / part).exists() for part in parts) or not any(folder.iterdir()))


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens there; an InputError where this machine has no such address, or the port is taken."""
    if not host:
        raise InputError(
            CommandOption("--host"), "empty; expected an address of this machine", "leave it out for this machine alone"
        )
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "no such address"
        todo = "name another --port, or 0 for a free one" if port else ""
        raise InputError(
            CommandOption("--host"), f"{host}, port {port} ({reason}); expected an address of this machine", todo
        ) from None


def _untrained(
    encoder: str | None,
    named: list[str] | None,
    prompts: str,
    fps: float | None,
    window: float | None,
    keep_going: bool,
    device: str,
) -> SegmentsMany:
    from fact_clip.inference.training_free import TrainingFree, TrainingFreeSettings
    from fact_clip.video.extract import Settings

    if encoder is None:
        raise InputError(CommandOption("--training-free"), "no --encoder; expected --encoder clip:ViT-B-32/openai")
    if window is not None:
        raise InputError(
            CommandOption("--window"),
            "with --training-free; expected a run",
            "leave it out: pictures are compared one by one",
        )
    extraction = Settings(fps=Settings().fps if fps is None else fps, keep_going=keep_going)
    # Without names the page waits for some.
    return TrainingFree(encoder, named or ["something"], TrainingFreeSettings(prompts), extraction, device=device)


def _command(run: Path | None, prompts: str, how: Mapping[str, object]) -> tuple[str, ...]:
    """``fact-clip segment`` with the options that say which model it is."""
    words = ["fact-clip", "segment"]
    words += ["--training-free", "--prompts", prompts] if run is None else ["--run", str(run)]
    for name, value in how.items():
        if value is True:
            words.append(f"--{name.replace('_', '-')}")
        elif value not in (None, False):
            words += [f"--{name.replace('_', '-')}", str(value)]
    return tuple(words)
