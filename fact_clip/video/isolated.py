"""Decoding in a child process, so that a crash, a hang or a flood of memory costs one video."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from io import BufferedReader
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from fact_clip.core import InputError, Json, Size
from fact_clip.core.arguments import number_of
from fact_clip.video.decode import DamagedVideoError, Frame, Span, VideoInfo, frames, probe

_START_SECONDS = 300.0  # for a child process to load its libraries
_CHUNKS = 4  # chunks of pictures that are decoded ahead
_ENVIRONMENT = {
    # Each thread of FFmpeg would otherwise reserve addresses, which count for the memory limit.
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


class CrashedDecoderError(InputError):
    """The process that decoded a video has ended."""


class DecodingTimeoutError(InputError):
    """A video took longer to decode than the time limit."""


class DecodingMemoryError(InputError):
    """A video took more memory to decode than the memory limit."""


@dataclass(frozen=True)
class Limits:
    """What the decoding of one video may take.

    Attributes:
        seconds: of waiting for the decoder.
        gigabytes: of address space of its process. Only Linux limits it.
    """

    seconds: float = 1800.0
    gigabytes: float = 8.0

    def __post_init__(self) -> None:
        number_of(self.seconds, "timeout", "seconds a video, from 0.1 on", 0.1, 1e7)
        number_of(self.gigabytes, "memory", "gigabytes a decoder, from 0.25 on", 0.25, 1e6)


@dataclass(frozen=True)
class Pictures:
    """An opened video: its properties, and its pictures on the grid of a rate."""

    info: VideoInfo
    frames: Iterator[Frame]


@dataclass(frozen=True)
class Grid:
    """Which pictures of a video are decoded, and how.

    Attributes:
        fps: pictures per second.
        size: (width, height) to scale to, or None for that of the file.
        span: the part of the video.
        library: "pyav" or "torchcodec".
    """

    fps: float
    size: Size
    span: Span
    library: str = "pyav"

    def frames(self, video: Path) -> Iterator[Frame]:
        """Yield the pictures of a video."""
        if self.library == "torchcodec":
            from fact_clip.video.torch_decode import torchcodec_frames

            return torchcodec_frames(video, fps=self.fps, size=self.size, span=self.span)
        start = self.span.start
        return frames(video, fps=self.fps, size=self.size, start=start, stop=self.span.stop)


class Decoder(Protocol):
    """Opens videos for extraction."""

    def open(self, video: Path, grid: Grid) -> Pictures:
        """Open a video."""


class DirectDecoder:
    """Decodes in this process."""

    def open(self, video: Path, grid: Grid) -> Pictures:
        """Open a video; see `frames`."""
        return Pictures(probe(video), grid.frames(video))


class IsolatedDecoder:
    """Decodes in a child process, which is started again after a failure.

    Args:
        limits: of each video.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._child: _Child | None = None

    def open(self, video: Path, grid: Grid) -> Pictures:
        """Open a video in the child process.

        Args:
            video: the video file.
            grid: its pictures.

        Returns:
            The video, whose pictures are read from the child as they are needed.

        Raises:
            InputError: as for `frames`; the child crashed or passed a limit.
        """
        if self._child is None or not self._child.is_idle:
            self.close()
            self._child = _Child(self.limits)
        child = self._child
        child.send({"video": str(video), "grid": asdict(grid)}, video)
        header, _ = child.receive()
        return Pictures(VideoInfo(**header["info"]), child.frames())

    def close(self) -> None:
        """End the child process."""
        if self._child is not None:
            self._child.end()
            self._child = None


class _Child:
    """The process, and a thread that reads its messages ahead."""

    def __init__(self, limits: Limits) -> None:
        self.is_idle = True
        self._limits = limits
        self._video = Path("decoder")
        self._seconds_left = _START_SECONDS
        command = [sys.executable, "-m", "fact_clip.video.child", str(limits.gigabytes)]
        self._process = subprocess.Popen(
            [*command, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **_ENVIRONMENT},
        )
        self._messages: queue.Queue[tuple[Json, bytearray] | None] = queue.Queue(_CHUNKS)
        self._is_ending = threading.Event()
        stream = cast(BufferedReader, self._process.stdout)
        threading.Thread(target=self._read, args=[stream], daemon=True).start()
        self.receive()

    def _read(self, stream: BufferedReader) -> None:
        """Put the messages of the child into the queue, then None."""
        message: tuple[Json, bytearray] | None = None
        while not self._is_ending.is_set():
            line = stream.readline()
            message = None
            if line.endswith(b"\n"):
                header = json.loads(line)
                content = bytearray(header["bytes"])  # pictures that can be written to
                # A child that is killed in the middle of a message leaves the rest empty.
                if stream.readinto(content) == len(content):
                    message = (header, content)
            while not self._is_ending.is_set():
                try:
                    self._messages.put(message, timeout=1.0)
                    break
                except queue.Full:
                    continue
            if message is None:
                break
        with suppress(queue.Full):  # for another thread that waits while the process is ended
            self._messages.put_nowait(None)
        stream.close()

    def send(self, request: Json, video: Path) -> None:
        """Ask for a video."""
        self.is_idle = False
        self._video = video
        self._seconds_left = self._limits.seconds
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:  # receive reports how the child ended
            return

    def receive(self) -> tuple[Json, bytearray]:
        """Return the next message: its header, and the bytes of its pictures."""
        began = time.monotonic()
        try:
            message = self._messages.get(timeout=max(self._seconds_left, 0.0))
        except queue.Empty:
            self.end()
            problem = f"not decoded in {self._limits.seconds:g} s"
            raise DecodingTimeoutError(self._video, problem, "set a longer timeout=") from None
        self._seconds_left -= time.monotonic() - began
        if message is None:
            code = self._process.wait()
            self.end()
            raise CrashedDecoderError(self._video, f"the decoder crashed (exit code {code})")
        header, content = message
        if "error" in header:
            self._raise(header)
        return header, content

    def _raise(self, header: Json) -> None:
        problem = header["problem"]
        fix = header["fix"]
        if header["error"] == "MemoryError":
            self.end()
            problem = f"decoding takes more than {self._limits.gigabytes:g} GB of memory"
            raise DecodingMemoryError(self._video, problem, "set a higher memory=")
        self.is_idle = True
        kind = DamagedVideoError if header["error"] == "DamagedVideoError" else InputError
        raise kind(self._video, problem, fix)

    def frames(self) -> Iterator[Frame]:
        """Yield the pictures of the video that was opened."""
        try:
            while True:
                header, content = self.receive()
                if "end" in header:
                    self.is_idle = True
                    return
                images = np.frombuffer(content, np.uint8).reshape(header["shape"])
                for shown_at, image in zip(header["times"], images, strict=True):
                    yield Frame(shown_at, image)
        finally:
            if not self.is_idle:
                self.end()

    def end(self) -> None:
        """Kill the process."""
        self._is_ending.set()
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            try:
                self._process.stdin.close()
            except OSError:  # a request that was not read
                return
