"""fact-clip app."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sqlite3
import sys
import webbrowser
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fact_clip.cli.arguments import read_names
from fact_clip.cli.console import note
from fact_clip.cli.model import ModelChoice
from fact_clip.cli.options import argument, option
from fact_clip.core import Names, library_errors
from fact_clip.core.extras import install_command
from fact_clip.core.paths import locked

if TYPE_CHECKING:
    from fact_clip.inference.segmenter import Segmenter
    from fact_clip_app.store.project import Project


def app(
    project: Annotated[
        Path | None,
        argument("PROJECT", "Project folder. Default: a folder in your user data directory."),
    ] = None,
    *,
    model: ModelChoice,
    host: Annotated[
        str, option("Address to listen on; other than the default, others can reach it.")
    ] = "127.0.0.1",
    served_as: Annotated[
        str | None, option("Host names, with commas, under which a proxy serves the page.")
    ] = None,
    port: Annotated[int, option("Port; 0 takes a free one.", min=0, max=65535)] = 8000,
    new_token: Annotated[
        bool, option("Replace the token, so that old addresses open the page no more.")
    ] = False,
    stores: Annotated[
        list[str] | None,
        option(
            "Folder whose files programs may segment (s3://bucket/); repeatable.",
            "--store",
        ),
    ] = None,
    max_megabytes: Annotated[float, option("Size of a file, at most.", min=1, max=1e6)] = 2000,
    max_minutes: Annotated[
        float | None,
        option(
            "Maximum duration of a video. The project stores it. Default: 120.", min=0.1, max=1e5
        ),
    ] = None,
    no_browser: Annotated[bool, option("Do not open the page in a browser.")] = False,
) -> None:
    """Open a page to label videos, train on the labels, and correct predictions.

    The command prints an address that contains a token, opens it in a browser, and runs until you
    press Ctrl-C. The page stores every change in PROJECT at once. You can label videos without a
    model and train one in the page, or start with a model (--run or --training-free). Needs the
    extra 'app'. See docs/app.md.

    \b
    Example:
      fact-clip app my_project
      fact-clip app my_project --run runs/k5
      fact-clip app --training-free --encoder clip:ViT-B-32/openai --actions "pour milk, stir"
    """
    fix = install_command("app")
    with library_errors("fact-clip app", "not installed", ModuleNotFoundError, fix=fix):
        import uvicorn

        from fact_clip_app.store.database import DATABASE
        from fact_clip_app.store.project import MAX_MINUTES, Project
        from fact_clip_app.web.guard import HttpProtocol

    proxy_names = read_names(served_as, "--served-as")
    folder = _folder_of(project)
    is_new = not (folder / DATABASE).is_file()
    base = None
    if is_new:  # faults of a model are errors before the project is created
        base = _open_model(model)
    listener = _listen(host, port)
    store = Project(folder)
    disk_errors = partial(library_errors, store.folder, "cannot be written", sqlite3.DatabaseError)
    with locked(store.folder, "another page of this project"), disk_errors():
        if new_token:
            store.renew_token()
        if max_minutes is not None:
            store.set(MAX_MINUTES, max_minutes)
    _print_addresses(host, listener.getsockname()[1], proxy_names, store.token)
    note("loading; the first start takes up to a minute")
    if not no_browser:
        _open_browser(host, listener.getsockname()[1], store.token)

    with library_errors("fact-clip app", "not installed", ModuleNotFoundError, fix=fix):
        from fact_clip_app.web.server import make_app
        from fact_clip_app.workspace.engine import Engine
        from fact_clip_app.workspace.uploads import Limits
        from fact_clip_app.workspace.workspace import Options
    from fact_clip.inference import load

    if not is_new:
        base = _open_model(model)
    minutes = store.setting(MAX_MINUTES, 120.0)
    limits = Limits(file_bytes=round(max_megabytes * 1e6), minutes=minutes)

    def load_run(path: Path) -> Segmenter:
        return load(
            path, model.device, precision=model.precision, trust_encoder=model.trust_encoder
        )

    engine = Engine(store, base, load_run, limits)
    page_options = Options(
        host=host,
        command=model.command(),
        run=model.run,
        served_as=proxy_names,
        stores=tuple(stores or ()),
        trust_encoder=model.trust_encoder,
    )
    served = make_app(engine, page_options)  # an error if another page has the project
    with disk_errors():
        _add_actions(store, model.names, model.run, base)
    config = uvicorn.Config(
        served,
        host,
        port,
        http=HttpProtocol,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=2,
        access_log=False,  # the address holds the token
    )
    note(f"project {folder}; Ctrl-C ends the page, and everything stays there")
    if hasattr(signal, "SIGHUP"):  # a terminal that is closed ends the page as Ctrl-C does
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _open_browser(host: str, port: int, token: str) -> None:
    """Open the page in a browser of this machine, if a person has started it in a window of it."""
    has_window = sys.platform in ("darwin", "win32") or bool(
        {"DISPLAY", "WAYLAND_DISPLAY"} & {*os.environ}
    )
    if has_window and sys.stdout.isatty():
        webbrowser.open(_address(_reachable(host)[0], port, token))


def _address(name: str, port: int, token: str) -> str:
    literal = f"[{name}]" if ":" in name else name
    return f"http://{literal}:{port}/?token={token}"


def _open_model(choice: ModelChoice) -> Segmenter | None:
    """Load the model of the page, or return None if the options select none."""
    if choice.run is None and not choice.training_free and choice.encoder is None:
        return None
    choice.check("app")
    waits_for_names = not choice.names and choice.run is None and choice.encoder is not None
    model, names = choice.open(["something"] if waits_for_names else ())
    model.choose(names)  # so that wrong names are an error before the page opens
    logging.getLogger("fact_clip.inference").setLevel(logging.ERROR)  # the page shows new words
    model.scorer.load()  # so that missing files are an error before the page opens
    return model


def _folder_of(project: Path | None) -> Path:
    """Return the folder of a project, or the folder of the user's own project."""
    import platformdirs

    home = platformdirs.user_data_path("fact-clip")
    return (home / "project" if project is None else project).absolute()


def _add_actions(
    store: Project, names: list[str] | None, run: Path | None, base: Segmenter | None
) -> None:
    """Add the named actions to a project, or the run's actions to a project without actions."""
    from fact_clip_app.store.project import actions_named

    background: Names = ()
    if base is not None:
        background = base.vocabulary.background
        if not names and run is not None and not store.actions():
            names = sorted(base.vocabulary, key=lambda name: name in background)
    store.add_actions(actions_named(names or (), background))


def _print_addresses(host: str, port: int, proxy_names: Names, token: str) -> None:
    addresses = [_address(name, port, token) for name in _reachable(host)]
    addresses += [f"https://{name}/?token={token}" for name in proxy_names]
    verb = "open"
    for address in addresses:
        print(f"{verb} {address}", flush=True)
        verb = "or"
    if host not in ("127.0.0.1", "::1", "localhost"):
        note("others on the network can read what is sent, since this is not HTTPS")


def _reachable(host: str) -> list[str]:
    """Return the names and addresses at which this host serves a page, this machine first."""
    from fact_clip_app.web.guard import WILDCARDS

    if host not in WILDCARDS:
        return [host]
    machine = socket.gethostname()
    addresses = ["127.0.0.1" if host == "0.0.0.0" else "::1", machine.lower()]
    with suppress(OSError):
        addresses += [str(info[4][0]) for info in socket.getaddrinfo(machine, None)]
    return list(dict.fromkeys(address for address in addresses if "%" not in address))


def _listen(host: str, port: int) -> socket.socket:
    """Open a socket. Raise an InputError if the address is not of this machine, or in use."""
    with library_errors(
        "--host",
        f"{host}, port {port}",
        OSError,
        UnicodeError,
        fix="name an address of this machine and a free port, as --port 0",
    ):
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
