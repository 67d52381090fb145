"""A shell in which `fact-clip` and `python` are forks of one process that has the libraries loaded.

The commands of a page would otherwise take longer to begin than to run. A command sends its words, its folder, its
variables and its open files to the process, which forks; the fork answers with its exit code.
"""

from __future__ import annotations

import atexit
import json
import os
import shlex
import signal
import socket
import stat
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from .launch import begin, run_python

CLIENT = """import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    request = json.dumps([sys.argv[2:], os.getcwd(), dict(os.environ)])
    socket.send_fds(server, [b" "], [0, 1, 2])
    server.sendall(request.encode() + b"\\n")
    sys.exit((server.recv(1) or b"\\1")[0])
"""


@cache
def commands() -> Path:
    """The folder of the commands, and the process behind them, which ends with this one."""
    folder = Path(tempfile.mkdtemp(prefix="shell-"))
    address = folder / "socket"
    server = begin("-m", "tests.shell", address)
    atexit.register(server.kill)
    while not address.exists():
        assert server.exitcode is None
        time.sleep(0.02)
    (folder / "client.py").write_text(CLIENT)
    client = shlex.join([sys.executable, "-I", "-S", str(folder / "client.py"), str(address)])
    for name, words in (("fact-clip", "-m fact_clip "), ("python", "")):
        (folder / name).write_text(f'#!/bin/sh\nexec {client} {words}"$@"\n')
        (folder / name).chmod(stat.S_IRWXU)
    return folder


def serve(address: str) -> None:
    """Fork for each command."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{address}.new")
        server.listen()
        Path(f"{address}.new").rename(address)
        while True:
            connection, _ = server.accept()
            if os.fork() == 0:
                server.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                answer(connection)
            connection.close()


def answer(connection: socket.socket) -> None:
    """Run the command of a connection, and end this process."""
    _, files, _, _ = socket.recv_fds(connection, 1, 3)
    with connection.makefile("rb") as lines:
        words, folder, variables = json.loads(lines.readline())
    for number, file in enumerate(files):
        os.dup2(file, number)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    os.environ.pop("FACT_CLIP_PARENT", None)  # a command ends with its parent, which is this process
    code = exit_code(words)
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(bytes([code % 256]))
    os._exit(code)


def exit_code(words: Sequence[str]) -> int:
    """The exit code of Python with some words."""
    try:
        run_python(words)
    except SystemExit as error:
        if isinstance(error.code, str):
            sys.stderr.write(f"{error.code}\n")
            return 1
        return error.code or 0
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    serve(sys.argv[1])
