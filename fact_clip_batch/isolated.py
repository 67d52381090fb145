"""Decoding in a child process, so that a crash, a hang or a lack of memory costs one video."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, cast

from fact_clip.core import InputError
from fact_clip.core.arguments import number_of
from fact_clip.video.frames import Frame, Grid, VideoInfo

_START_SECONDS = 300.0  # for a child process to load its libraries
_ENVIRONMENT = {
    # Each thread of FFmpeg would otherwise reserve addresses, which count for the memory limit.
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


class CrashedDecoderError(InputError):
    """The process that decoded a video has ended."""

    kind = "crash"


class DecodingTimeoutError(InputError):
    """A video took longer to decode than the time limit."""

    kind = "timeout"


class DecodingMemoryError(InputError):
    """A video took more memory to decode than the memory limit."""

    kind = "memory"


@dataclass(frozen=True)
class Limits:
    """Limits for the decoding of one video.

    Attributes:
        seconds: Longest time to wait for the decoder.
        gigabytes: Largest address space of its process. Only Linux enforces this limit.
    """

    seconds: float = 1800.0
    gigabytes: float = 8.0

    def __post_init__(self) -> None:
        number_of(self.seconds, "timeout", "seconds a video, from 0.1 on", 0.1, 1e7)
        number_of(self.gigabytes, "memory", "gigabytes a decoder, from 0.25 on", 0.25, 1e6)


class IsolatedDecoder:
    """Decodes in a child process, which is started again after a failure.

    Args:
        limits: Limits for each video.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._child: _Child | None = None

    def open(self, video: Path, grid: Grid) -> tuple[VideoInfo, Iterator[Frame]]:
        """Open a video in the child process.

        Args:
            video: Video file.
            grid: Video frames to decode.

        Returns:
            The properties of the video, and its frames, which are read from the child on demand.

        Raises:
            InputError: The video cannot be read (see `frames`), or the child process has crashed
                or exceeded a limit.
        """
        if self._child is None or not self._child.is_idle:
            self.close()
            self._child = _Child(self.limits)
        child = self._child
        return child.open(video, grid), child.frames()

    def close(self) -> None:
        """End the child process."""
        if self._child is not None:
            self._child.end()
            self._child = None


class _Child:
    """The child process, which decodes one video at a time."""

    def __init__(self, limits: Limits) -> None:
        self.is_idle = True
        self._limits = limits
        self._video = Path("decoder")
        self._seconds_left = _START_SECONDS
        self._connection, other_end = Pipe()
        with other_end:
            descriptor = other_end.fileno()
            arguments = map(str, (limits.gigabytes, os.getpid(), descriptor))
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fact_clip_batch.child", *arguments],
                stdin=subprocess.DEVNULL,
                pass_fds=[descriptor],
                env={**os.environ, **_ENVIRONMENT},
            )
        self._receive()

    def open(self, video: Path, grid: Grid) -> VideoInfo:
        """Request a video. Return its properties."""
        self.is_idle = False
        self._video = video
        self._seconds_left = self._limits.seconds
        with suppress(OSError):  # _receive reports how the child ended
            self._connection.send((video, grid))
        return cast(VideoInfo, self._receive())

    def _receive(self) -> Any:
        """Return the next message, or raise one that is an error."""
        began = time.monotonic()
        if not self._connection.poll(self._seconds_left):
            self.end()
            problem = f"not decoded in {self._limits.seconds:g} s"
            raise DecodingTimeoutError(self._video, problem, "set a longer timeout=")
        try:
            message = self._connection.recv()
        except (EOFError, OSError):  # it is no longer there
            code = self._process.wait()
            self.end()
            problem = f"the decoder crashed (exit code {code})"
            raise CrashedDecoderError(self._video, problem) from None
        self._seconds_left = max(self._seconds_left - (time.monotonic() - began), 0)
        if isinstance(message, MemoryError):
            self.end()
            problem = f"decoding takes more than {self._limits.gigabytes:g} GB of memory"
            raise DecodingMemoryError(self._video, problem, "set a higher memory=")
        if isinstance(message, InputError):
            self.is_idle = True
            raise message.at(self._video)
        return message

    def frames(self) -> Iterator[Frame]:
        """Yield the frames of the open video."""
        try:
            for chunk in iter(self._receive, None):
                yield from chunk
            self.is_idle = True
        finally:
            if not self.is_idle:
                self.end()

    def end(self) -> None:
        """Kill the process. Another thread may still read from the connection, which stays open."""
        self._process.kill()
        self._process.wait()
