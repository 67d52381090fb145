"""Runs rows of the corpus, each in a process of its own with limits on time, memory and file size.

The heavy modules are imported once (each optimizer of torch imports `torch._dynamo`); a row is then a fork of a process that has not started a thread. It prints a JSON
line a row: exit code, output, and what became of the files.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fact_clip.cli import COMMANDS

from .row import Row
from .rows import ROWS
from .world import make as make_world

CPU_SECONDS = 5  # and what a new process takes to start
START_SECONDS = 10
WALL_SECONDS = 60  # for a command that waits for something
MEMORY = 1 << 30
DISK = 64 << 20
HOME = Path(__file__).resolve().parents[2]
MODULES = (
    "fact_clip.training fact_clip_compat.scripts fact_clip.report fact_clip.inference.scorer fact_clip.datasets.convert fact_clip.video.extract"
    " fact_clip.video.write av lmdb pympi.Elan scipy.optimize matplotlib.figure matplotlib.backends.backend_agg"
    " safetensors.torch safetensors.numpy torch._dynamo"
    " fact_clip_batch.segmentation fact_clip_batch.extraction fact_clip_batch.inputs fact_clip_app.web.guard"
)


@dataclass
class Outcome:
    """What became of a row."""

    name: str
    code: int | None  # None: ended by a signal
    signal: str
    out: str
    err: str
    new: list[str]  # in the working folder
    changed: list[str]  # of its files
    outside: list[str]  # whatever happened beyond it


def main() -> None:
    """`server FOLDER WORKERS`, with the names of rows on stdin."""
    place, workers = Path(sys.argv[1]).resolve(), int(sys.argv[2])
    names = sys.stdin.read().split("\n")
    rows = [row for row in ROWS if row.name in set(names)]
    os.environ.update(ENVIRONMENT)
    world = place / "world"
    for module in (*(path.partition(":")[0] for path, _ in COMMANDS.values()), *MODULES.split()):
        __import__(module)
    gc.freeze()  # a collection in a fork would touch, and so copy, the memory of all modules
    if not world.is_dir():
        world.mkdir(parents=True)
        maker = _fork(lambda: make_world(world))  # training starts threads, which do not survive a fork
        assert not os.waitpid(maker, 0)[1]
    read, write = os.pipe()
    os.write(write, b"".join(number.to_bytes(4, "little") for number in range(len(rows))))
    os.close(write)
    children = [_fork(lambda: _work(read, rows, world, place)) for _ in range(workers)]
    for child in children:
        os.waitpid(child, 0)


ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    **dict.fromkeys(("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "PYTHONDONTWRITEBYTECODE"), "1"),
    "MPLBACKEND": "Agg",
    "PYTHONPATH": str(HOME),
    "COLUMNS": "120",
}


def _fork(work: Any) -> int:
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        work()
        code = 0
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    finally:
        os._exit(code)
    return 0


def _work(tokens: int, rows: list[Row], world: Path, place: Path) -> None:
    while token := os.read(tokens, 4):
        row = rows[int.from_bytes(token, "little")]
        box = Path(tempfile.mkdtemp(prefix="box-", dir=place))
        try:
            line = json.dumps(asdict(_answer(row, world, box))) + "\n"
        finally:
            if row.room is not None:
                _mount("umount", "--lazy", box / "work")
            shutil.rmtree(box, ignore_errors=True)
        os.write(1, line.encode())


def _answer(row: Row, world: Path, box: Path) -> Outcome:
    """Run a row in BOX/work; what it may not touch is BOX/canary.txt, BOX/home and the world."""
    work, home = box / "work", box / "home"
    for folder in (work, home):
        folder.mkdir()
    if row.room is not None and not _mounted(work):
        return Outcome(row.name, None, NO_MOUNT, "", "", [], [], [])
    (box / "canary.txt").write_text("untouched", encoding="utf-8")
    if any(callable(content) for content in row.files.values()):  # torch starts threads when it saves
        maker = _fork(lambda: row.make(world, work))
        if os.waitpid(maker, 0)[1]:
            return Outcome(row.name, None, "the files could not be made", "", "", [], [], [])
    else:
        row.make(world, work)
    if row.room is not None:
        _fill(work, row.room)
    before, around = _seen(work), {**_seen(box, work), **_seen(world)}
    streams = {name: box / name for name in ("stdin", "stdout", "stderr")}
    streams["stdin"].write_text(row.stdin, encoding="utf-8", errors="surrogateescape")
    child = _fork(lambda: _child(row, world, work, home, streams))
    status, ended = _waited(child)
    after, now = _seen(work), {**_seen(box, work), **_seen(world)}
    ours = {str(path) for path in streams.values()}
    outside = sorted(path for path in {*around, *now} - ours if around.get(path) != now.get(path))
    out, err = (streams[name].read_text(encoding="utf-8", errors="replace") for name in ("stdout", "stderr"))
    code, number = (os.WEXITSTATUS(status), 0) if os.WIFEXITED(status) else (None, os.WTERMSIG(status))
    return Outcome(
        row.name,
        code,
        ended or (signal.Signals(number).name if number else ""),
        out[-20000:],
        err[-20000:],
        sorted(os.path.relpath(path, work) for path in after.keys() - before.keys()),
        sorted(os.path.relpath(path, work) for path in before if after.get(path) != before[path]),
        [os.path.relpath(path, box) for path in outside],
    )


NO_MOUNT = "no file system can be mounted here"
PAGE = 4096


def _mount(*words: object) -> bool:
    """Whether a command that mounts or unmounts went well."""
    try:
        return subprocess.run([*map(str, words)], stderr=subprocess.DEVNULL, check=False).returncode == 0
    except OSError:  # there is no such command
        return False


def _mounted(folder: Path) -> bool:
    """Make a folder a file system of its own, in memory."""
    return _mount("mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder)


def _fill(folder: Path, room: int) -> None:
    """Leave so much room on the file system of a folder."""
    (folder / "other").write_bytes(b"x" * PAGE)
    state = os.statvfs(folder)
    used = (state.f_blocks - state.f_bfree) * state.f_frsize
    assert _mount("mount", "-o", f"remount,size={used + room}", folder)


def _waited(child: int) -> tuple[int, str]:
    """Wait for a process; end it and what it started when its time is over, and whatever it leaves running."""
    deadline, ended = time.monotonic() + WALL_SECONDS, ""
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        if time.monotonic() > deadline and not ended:
            ended = "hangs"
            _kill(child)
        time.sleep(0.005)
    _kill(child)
    return status, ended


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _seen(folder: Path, without: Path | None = None) -> dict[str, tuple[Any, ...]]:
    """Type, size and time of change of everything in a folder; of a folder only that it is there."""
    return dict(_listed(str(folder), None if without is None else str(without)))


def _listed(folder: str, without: str | None) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for entry in os.scandir(folder):
        if entry.path == without or entry.name.startswith("torchinductor"):  # a cache of torch
            continue
        status = entry.stat(follow_symlinks=False)
        if entry.is_dir(follow_symlinks=False):
            yield entry.path, ("folder",)
            yield from _listed(entry.path, without)
        else:
            yield entry.path, (status.st_mode, status.st_size, status.st_mtime_ns, status.st_ino)


def _child(row: Row, world: Path, work: Path, home: Path, streams: dict[str, Path]) -> None:
    """The process of a row: streams, folder, environment and limits, then the command."""
    os.setsid()
    os.chdir(work)
    for number, (name, how) in enumerate((("stdin", "rb"), ("stdout", "wb"), ("stderr", "wb"))):
        with streams[name].open(how) as file:
            os.dup2(file.fileno(), number)
    os.environ.update({**ENVIRONMENT, "HOME": str(home), "TMPDIR": str(home)})
    tempfile.tempdir = str(home)
    for name, value in row.environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    argv, own = row.argv(world), 0
    if not row.fresh:
        own = 1024 * int(re.findall(r"VmData:\s+(\d+)", Path("/proc/self/status").read_text())[0])
    seconds = CPU_SECONDS + (START_SECONDS if row.fresh else 0)
    disk = row.disk if row.disk is not None else DISK
    for what, limit in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_DATA, MEMORY + (own or (1 << 29))),
        (resource.RLIMIT_FSIZE, disk),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (limit, limit))
    if row.fresh:
        script = [argv[0] + ".py"] if argv[0].startswith("scripts/") else ["-m", "fact_clip", argv[0]]
        if argv[0].startswith("scripts/"):
            script = [str(HOME / script[0])]
        os.execv(sys.executable, [sys.executable, *script, *argv[1:]])
    # as Python opens them
    sys.stdin = os.fdopen(0, "r", encoding="utf-8", errors="strict", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="strict", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False, buffering=1)
    code = 1
    try:
        code = _called(argv)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _called(argv: list[str]) -> int:
    from fact_clip.cli import main as program
    from fact_clip_compat import scripts as published

    sys.argv = list(argv)
    scripts = {
        "scripts/train": published.train,
        "scripts/run_eval": published.run_eval,
        "scripts/eval": published.evaluate,
        "scripts/eval_holdout": published.eval_holdout,
        "scripts/select_holdout_classes": published.select_holdout_classes,
        "scripts/fact_input_emb_logit_viz": published.visualise,
    }
    if argv and argv[0] in scripts:
        return scripts[argv[0]]()
    return program(argv)


if __name__ == "__main__":
    main()
