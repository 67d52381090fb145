"""fact-clip app, project import and project export: the page, and files into its projects and out of them."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fact_clip.cli.console import note
from fact_clip.cli.options import (
    ModelOptions,
    check_new,
    given_actions,
    names,
    option,
    with_options,
)
from fact_clip.core.errors import CommandOption, InputError, library_errors
from fact_clip.core.paths import whole_file

if TYPE_CHECKING:
    from fact_clip_app.page import Page

_PROJECT = "Folder of the project; unset: one in the data folder of the user."
_TRAINING_SET = "Folder in the common layout that labelled videos may be added to."
_HOST = "Address to listen on; other than the default, others can reach it."
_SERVED_AS = "Host names, with commas, under which a proxy serves the page."
_TRAINING = "Write a data set to train on, by the labels of this track."
Folder = Annotated[Path, typer.Argument(metavar="PROJECT", help="Folder of the project.")]


@with_options
def app(
    project: Annotated[Path | None, typer.Argument(metavar="PROJECT", help=_PROJECT)] = None,
    *,
    model: ModelOptions,
    training_set: Annotated[Path | None, option(_TRAINING_SET)] = None,
    host: Annotated[str, option(_HOST)] = "127.0.0.1",
    served_as: Annotated[str | None, option(_SERVED_AS)] = None,
    port: Annotated[int, option("Port; 0 takes a free one.", min=0, max=65535)] = 8000,
    max_megabytes: Annotated[float, option("Size of a file, at most.", min=1, max=1e6)] = 2000,
    max_minutes: Annotated[float, option("Duration of a video, at most.", min=0.1, max=1e5)] = 120,
) -> None:
    """Open a page to label videos, train on the labels, and correct what a model predicts.

    Prints the address, which holds a token, and serves until Ctrl-C. All that is done is stored in PROJECT at once.
    Without a model (--run, or --training-free) the page labels, and trains one. Needs the extra 'app'. See docs/app.md.

    \b
    Example:
      fact-clip app my_project
      fact-clip app my_project --run runs/k5
      fact-clip app --training-free --encoder clip:ViT-B-32/openai --actions "pour milk, stir"
    """
    with library_errors(
        "fact-clip app", "not installed", ModuleNotFoundError, fix="pip install 'fact-clip[app]'"
    ):
        import uvicorn

        from fact_clip_app.guard import Protocol
        from fact_clip_app.learn import TrainingSet
        from fact_clip_app.page import Engine, Options
        from fact_clip_app.project import Project
        from fact_clip_app.requests import Limits
        from fact_clip_app.server import make_app
    from fact_clip.inference.segmenter import load

    run, base, actions = model.run, None, given_actions(model.actions, model.actions_file)
    proxied = tuple(names(served_as, "--served-as") or ())
    limits = Limits(file_bytes=round(max_megabytes * 1e6), minutes=max_minutes)
    if run is not None or model.training_free or model.encoder is not None:
        model.check("app")
        waiting = (
            ["something"] if run is None and model.encoder is not None else None
        )  # the page waits for names
        base, _ = model.open(actions or waiting)
        logging.getLogger("fact_clip.inference").setLevel(
            logging.ERROR
        )  # the page itself shows new words
        base.scorer.load()  # what is missing is an error before the page opens
    # Faults of a training set, and a port in use, are errors before the project is made.
    growing = None
    if training_set is not None:
        parts = [training_set / part for part in ("mapping.txt", "groundTruth", "features")]
        if not any(part.exists() for part in parts):
            check_new(training_set, "name a data set, or a new folder")
        growing = TrainingSet(training_set, None if base is None else base.scorer.run)
    listening = _listening(host, port)
    folder, recent = _opened(project)
    store = Project(folder)
    listed = actions or (
        [] if run is None or store.actions() or base is None else base.vocabulary.names
    )
    store.add_actions(
        name for name in listed if base is None or name not in base.vocabulary.background
    )
    engine = Engine(
        store, base, lambda path: load(path, model.device, precision=model.precision), limits
    )
    page = make_app(engine, Options(host, model.command(), growing, run, recent, proxied))
    config = uvicorn.Config(
        page, host, port, http=Protocol, log_level="warning", server_header=False, timeout_graceful_shutdown=2,
        access_log=False,  # the address holds the token
    )  # fmt: skip
    port = listening.getsockname()[1]
    addresses = [
        f"http://{f'[{name}]' if ':' in name else name}:{port}" for name in _reachable(host)
    ]
    for number, address in enumerate([*addresses, *(f"https://{name}" for name in proxied)]):
        print(f"{'or' if number else 'open'} {address}/?token={store.token}", flush=True)
    if host not in ("127.0.0.1", "::1", "localhost"):
        note("others on the network can read what is sent, since this is not HTTPS")
    note(f"project {folder}; Ctrl-C ends the page, and everything stays there")
    if hasattr(signal, "SIGHUP"):  # a terminal that is closed ends the page as Ctrl-C does
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _opened(project: Path | None) -> tuple[Path, list[str]]:
    """The folder of a project, and those that were opened before, the latest first."""
    import platformdirs

    home = platformdirs.user_data_path("fact-clip")
    folder, path = (
        (home / "project" if project is None else project).absolute(),
        home / "recent.json",
    )
    recent: list[str] = []
    with suppress(OSError, ValueError):  # it is a convenience alone
        entries = map(str, json.loads(path.read_text(encoding="utf-8")))
        recent = [entry for entry in entries if entry != str(folder) and Path(entry).is_dir()][:10]
    with suppress(OSError, InputError), whole_file(path) as unfinished:
        unfinished.write_text(json.dumps([str(folder), *recent]), encoding="utf-8")
    return folder, recent


def _reachable(host: str) -> list[str]:
    """Return the names and addresses under which a page on this host can be opened, from this machine first."""
    from fact_clip_app.guard import WILDCARDS

    if host not in WILDCARDS:
        return [host]
    addresses = ["127.0.0.1" if host == "0.0.0.0" else "::1", socket.gethostname().lower()]
    with suppress(OSError):
        addresses += [str(entry[4][0]) for entry in socket.getaddrinfo(socket.gethostname(), None)]
    return list(dict.fromkeys(address for address in addresses if "%" not in address))


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens there; an InputError where this machine has no such address, or the port is taken."""
    fix, kinds = (
        "name an address of this machine and a free port, as --port 0",
        (OSError, UnicodeError),
    )
    with library_errors(CommandOption("--host"), f"{host}, port {port}", *kinds, fix=fix):
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)


def _page(folder: Path, *, is_new: bool = False) -> Page:
    """The project without a model; an InputError where there is none, unless it may be made."""
    from fact_clip.inference.segmenter import load
    from fact_clip_app.page import Engine, Options, Page
    from fact_clip_app.project import DATABASE, Project
    from fact_clip_app.requests import Limits

    if not is_new and not (folder / DATABASE).is_file():
        raise InputError(folder, "not a project", "fact-clip project import makes one")
    return Page(Engine(Project(folder), None, load, Limits(minutes=float("inf"))), Options(""))


def import_(
    project: Folder,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Videos, feature files, and label files.")
    ],
) -> None:
    """Add videos to a project of the page, and load label files.

    Videos are referred to, not copied. A label file belongs to the video of its name, and is of any format that the
    page reads: ELAN, BORIS, VIA, Label Studio, CSV, JSON, SRT, VTT, or a label a line. Tiers and subjects become
    tracks, whose segments are replaced; that can be undone on the page.

    \b
    Example:
      fact-clip project import my_project videos/*.mp4 labels/*.eaf
    """
    from fact_clip.core.io import check_file
    from fact_clip.video.decode import SUFFIXES
    from fact_clip_app.requests import FEATURES, ending_of

    endings = {
        check_file(path, "a video, feature file or label file"): ending_of(path.name)
        for path in files
    }
    with closing(_page(project, is_new=True)) as page:
        keys = {video.name: video.id for video in page.project.videos()}
        media = [path for path in files if endings[path] in SUFFIXES]
        features = {
            path.name[: -len(FEATURES)]: path for path in files if endings[path] == FEATURES
        }
        for path in media:
            keys[path.stem] = page.refer(
                path.stem, path.resolve(), features.pop(path.stem, None)
            ).id
        for name, path in features.items():
            keys[name] = page.refer(name, None, path.resolve()).id
        labels = [path for path in files if endings[path] not in (*SUFFIXES, FEATURES)]
        for path in labels:
            name = path.name[: -len(endings[path])]
            if name not in keys:
                raise InputError(
                    path, f"no video {name!r} in the project", "name the file after its video"
                )
            video = page.project.video(keys[name])
            assert video is not None
            counts = page.load_labels(video, path, endings[path], path.name)
            page.project.add_actions(
                label.label for some in page.project.labels(video.id).values() for label in some
            )
            print(
                f"{path}: {', '.join(f'{count} segments on track {track}' for track, count in counts.items())}"
            )
    note(f"{project}: {len(keys)} videos")


def export(
    project: Folder,
    *,
    out: Annotated[Path, option("Folder for the files.", metavar="DIR")],
    formats: Annotated[
        str, option('Formats, "eaf, csv" (docs/formats.md), or all.', "--format")
    ] = "csv",
    with_background: Annotated[bool, option("Write what is not labelled, too.")] = False,
    training: Annotated[str | None, option(_TRAINING, metavar="TRACK")] = None,
) -> None:
    """Write the labels of a project.

    A file for each track of each video, in each format; or, with --training, a data set in the common layout with
    features and a split, every fourth labelled video a test video.

    \b
    Example:
      fact-clip project export my_project --format eaf,csv --out labels
      fact-clip project export my_project --training main --out data && fact-clip data init data
    """
    from fact_clip.formats import FORMATS, format_called
    from fact_clip_app.learn import export_set
    from fact_clip_app.views import export_files

    installed = [name for name, form in FORMATS.items() if form.is_installed]
    chosen = installed if formats == "all" else names(formats, "--format") or []
    for name in chosen:
        format_called(name, "--format")
    with closing(_page(project)) as page:
        if training is not None:
            export_set(page, training, out)
            print(out)
            return
        for path in export_files(page, out, chosen, with_background):
            print(path)


globals()["import"] = (
    import_  # the name of a command is that of its function, and this one is a keyword
)
