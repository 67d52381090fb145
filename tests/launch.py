"""Processes of Python that have the libraries loaded when they begin, for which a new one takes seconds.

`ForkedMember` stands for the new process that trains a member of an ensemble. That such a process ends with its
training is tested with new ones (`new_members` in conftest.py). `launched` stands for torchrun. That torchrun itself
starts processes, and ends all of them with the first one that fails, is tested in devices/test_processes.py and
training/test_processes.py.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import IO

import torch

PRELOADED = [
    "fact_clip.cli",
    "fact_clip.training",
    "fact_clip.inference.segmenter",
    "fact_clip_app.web.server",
    "fact_clip_batch",
    "torch._dynamo",  # which every optimiser imports
]
SECONDS = 300.0


def run_python(words: Sequence[str]) -> None:
    """Do what Python does with the words of a command line: a script, -m and a module, -c and code, or - and stdin."""
    first, *rest = words
    if first == "-m":
        sys.argv = rest
        sys.path.insert(0, "")
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first in ("-c", "-"):
        code = sys.stdin.read() if first == "-" else rest.pop(0)
        sys.argv = [first, *rest]
        sys.path.insert(0, "")
        exec(compile(code, first, "exec"), {"__name__": "__main__"})
    else:
        sys.argv = [*words]
        sys.path.insert(0, str(Path(first).resolve().parent))
        runpy.run_path(first, run_name="__main__")


def begin(
    *words: object, out: Path | str = os.devnull, err: Path | str = os.devnull, variables: Mapping[str, str] = {}
) -> ForkServerProcess:
    """Start Python with some words (see `run_python`) and one thread.

    `out` and `err` are the files that it prints to; `variables` are added to those of this process.
    """
    settings = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.environ.get("PYTHONPATH", ""), **variables}
    return _forked(_run, [str(word) for word in words], settings, str(out), str(err))


def _forked(function: Callable[..., None], *arguments: object) -> ForkServerProcess:
    """Call a function in a fork of the process that has the libraries loaded."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=function, args=arguments)
    process.start()
    return process


def _as_new() -> None:
    """Undo in a fork what a new process does not have."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    multiprocessing.set_start_method(None, force=True)  # the server of forks has set its own
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _run(words: list[str], variables: dict[str, str], out: str, err: str) -> None:
    os.environ.update(variables)
    _as_new()
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    run_python(words)


@contextmanager
def serving(
    *words: object, ending: signal.Signals = signal.SIGTERM, variables: Mapping[str, str] = {}
) -> Iterator[tuple[ForkServerProcess, str]]:
    """Python with some words that prints a line once it serves, and this line; it ends by a signal."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        out.touch()
        process = begin(*words, out=out, variables=variables)
        try:
            while not (line := out.read_text()).endswith("\n"):
                assert process.exitcode is None, f"ended with {process.exitcode}"
                time.sleep(0.02)
            yield process, line
        finally:
            if process.exitcode is None:
                os.kill(process.pid or 0, ending)
            process.join(60)
            has_ended = process.exitcode is not None
            process.kill()
            assert has_ended, f"not ended by {ending!r}"


class ForkedMember:
    """What `training.ensemble` asks of a `subprocess.Popen` that trains a member, by a fork."""

    def __init__(
        self, command: Sequence[str], *, env: dict[str, str], stdin: int, stderr: IO[bytes], start_new_session: bool
    ) -> None:
        assert stdin == subprocess.PIPE
        assert start_new_session
        self.args = command
        reader, self.stdin = multiprocessing.Pipe(duplex=False)
        errors = Connection(os.dup(stderr.fileno()), readable=False)
        self._process = _forked(_train_member, [*command[1:]], env, reader, errors)
        reader.close()
        errors.close()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def kill(self) -> None:
        self._process.kill()


def _train_member(words: list[str], variables: dict[str, str], stdin: Connection, stderr: Connection) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(variables)
    _as_new()
    for number, file in ((0, stdin), (2, stderr)):
        os.dup2(file.fileno(), number)
    option, code, _, *arguments = words
    run_python([option, code, str(os.getppid()), *arguments])  # the parent is the server of forks


@dataclass(frozen=True)
class Answer:
    """What the processes of a launch printed, in the order of their ranks, and the largest exit code."""

    code: int
    out: str
    err: str


def launched(count: int, *words: object) -> Answer:
    """Run Python with these words in `count` processes, with the environment of torchrun on one machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder, str(rank)) for rank in range(count)]
        processes = []
        for rank, place in enumerate(places):
            place.mkdir()
            variables = {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(count),
                "LOCAL_WORLD_SIZE": str(count),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            }
            processes.append(begin(*words, out=place / "out", err=place / "err", variables=variables))
        for process in processes:
            process.join(SECONDS)
        codes = [process.exitcode for process in processes]
        for process in processes:
            process.kill()
        out, err = ("".join((place / name).read_text() for place in places) for name in ("out", "err"))
    assert None not in codes, f"still running after {SECONDS} s\n{err}"
    return Answer(max(map(abs, codes)), out, err)
