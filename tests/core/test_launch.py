"""One writer a folder; children end with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fact_clip.core.launch import PARENT
from fact_clip.core.paths import locked

from ..refusals import refused

ROOT = Path(__file__).resolve().parents[2]


def test_a_second_holder_is_refused_until_the_first_is_done(tmp_path):
    folder = tmp_path / "a"
    with locked(folder, "a training"):
        (folder / "kept").touch()
        with refused("a"):
            locked(folder, "a training").__enter__()
        with locked(tmp_path / "b", "a training"):
            pass
    with locked(folder, "a training"):
        assert [path.name for path in folder.iterdir()] == ["kept"]  # the lock is no file


def test_folders_that_were_made_for_nothing_are_removed(tmp_path):
    with locked(tmp_path / "a" / "b", "a training"):
        assert (tmp_path / "a" / "b").is_dir()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty").mkdir()
    with locked(tmp_path / "empty", "a training"):
        pass
    assert (tmp_path / "empty").is_dir()


def test_the_lock_ends_with_its_owner(tmp_path):
    """A process that is killed leaves nothing behind that has to be cleaned up."""
    code = f"""
from pathlib import Path
from fact_clip.core.launch import PARENT
from fact_clip.core.paths import locked
with locked(Path({str(tmp_path)!r}), "a training"):
    print("held", flush=True)
    input()
"""
    owner = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert owner.stdout.readline() == b"held\n"
        with refused(tmp_path), locked(tmp_path, "a training"):
            pass
    finally:
        owner.kill()
        owner.wait()
    with locked(tmp_path, "a training"):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does it")
def test_a_child_ends_with_its_parent(tmp_path):
    child = f"""
import os, time
from pathlib import Path
from fact_clip.core.launch import end_with_parent
end_with_parent(os.getppid())
Path({str(tmp_path / "child")!r}).write_text(str(os.getpid()))
time.sleep(600)
"""
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    try:
        until(lambda: (tmp_path / "child").is_file() and (tmp_path / "child").read_text())
        number = int((tmp_path / "child").read_text())
        assert runs(number)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    until(lambda: not runs(number))


def runs(number: int) -> bool:
    """Whether a process is there and is no zombie."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(reached, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does it")
def test_a_command_line_can_be_told_to_end_with_its_parent():
    """As the page tells the training that it starts."""
    code = "import sys; from fact_clip.cli import main; sys.exit(main())"
    for parent, answer in (("4194304", 1), (str(os.getpid()), 0), ("none", 0)):
        command = [sys.executable, "-c", code, "--version"]
        environment = {**os.environ, PARENT: parent}
        assert subprocess.run(command, env=environment, cwd=ROOT, check=False, capture_output=True).returncode == answer
