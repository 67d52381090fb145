"""A video file opened: its frames with their times, and what is wrong with it."""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fact_clip.core import InputError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_UNKNOWN = 0.04  # seconds that a frame is shown where the file does not say
_SHORT = 0.5  # seconds that a file may end before its declared end; many recorders round up


class DamagedVideoError(InputError):
    """A file of which only a part can be decoded; raised after that part was given out.

    Args:
        path: the file.
        fault: what is wrong.
        decoded: seconds that could be decoded.
        declared: seconds that the file declares, None where it does not.
    """

    def __init__(self, path: str | Path, fault: str, decoded: float, declared: float | None) -> None:
        self.decoded, self.declared = decoded, declared
        of = "of an unknown duration" if declared is None else f"of {declared:.1f} s declared"
        super().__init__(
            path, f"{fault}, {decoded:.1f} s decoded {of}", "a whole video", "--keep-going takes what there is"
        )


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its video stream; an InputError where there is none."""
    if importlib.util.find_spec("av") is None:
        raise InputError(path, "the package av is not installed", todo="pip install 'fact-clip[video]'")
    import av

    expected = "a video file"
    if not path.is_file():
        raise InputError(path, "a folder" if path.is_dir() else "no such file", expected)
    if path.stat().st_size == 0:
        raise InputError(path, "an empty file", expected)
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(path, f"not a video, or its index is cut off ({_reason(error)})", expected) from None
    with container:
        streams = [each for each in container.streams.video if not _is_cover(each)]
        if not streams:
            kinds = ", ".join(sorted({each.type for each in container.streams})) or "nothing"
            raise InputError(path, f"no video stream (only {kinds})", expected)
        streams[0].thread_type = "AUTO"
        yield container, streams[0]
        # a thread of the decoder that waits for Python's lock to say something gets it before all of them are joined
        time.sleep(0.002)


@contextmanager
def _complaints() -> Iterator[list[tuple[int, str, str]]]:
    """What FFmpeg says is wrong meanwhile: (level, part of FFmpeg, text).

    Not while decoding: its threads would have to wait for Python's lock to say something.
    """
    from av import logging

    before, skips = logging.get_level(), logging.get_skip_repeated()
    logging.set_level(logging.ERROR)
    logging.set_skip_repeated(False)
    try:
        with logging.Capture(local=False) as said:
            yield said
    finally:
        logging.set_level(before)
        logging.set_skip_repeated(skips)


def _is_cover(stream: Any) -> bool:
    import av.stream

    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


class Source:
    """(time, frame) of every frame from the last key frame before `start` on; keeps count of what does not decode."""

    def __init__(self, path: Path, container: InputContainer, stream: VideoStream, start: float) -> None:
        self.path, self._container, self._stream, self._start = path, container, stream, start
        self.rate = float(stream.average_rate) if stream.average_rate else None
        self._origin = (container.start_time or 0) / 1_000_000
        self._unit = float(stream.time_base or 0)
        self._is_avi = container.format.name == "avi"
        self.declared = _declared(container, stream)
        self.end = 0.0  # seconds at which the last frame so far stops being shown
        self._sum, self._faults, self._others, self._whole = 0.0, 0, 0.0, False

    def __iter__(self) -> Iterator[tuple[float, VideoFrame]]:
        if self._start > 0:
            self._seek(self._start)
        decoded = self._decoded()
        first = next(decoded, None)
        if self._start > 0 and (first is None or self._time(first) > self._start):
            # the index of this file cannot be trusted, or the file is shorter: from the beginning then
            self._seek(0.0)
            self._faults = 0
            decoded = self._decoded()
            first = next(decoded, None)
        if first is None:
            raise self.nothing()
        last = -math.inf
        for frame in chain([first], decoded):
            at = self._time(frame, last)
            if at <= last:
                continue
            length = (frame.duration or 0) * self._unit or (1 / self.rate if self.rate else _UNKNOWN)
            self.end, last = at + length, at
            self._sum = (self._sum or max(at, 0.0)) + length
            self._faults += bool(frame.is_corrupt and at >= self._start)
            yield at, frame
        self._whole = True

    def _seek(self, seconds: float) -> None:
        """Go to the last key frame at or before `seconds`."""
        import av

        try:
            self._container.seek(round((seconds + self._origin) / self._unit), stream=self._stream)
        except av.error.FFmpegError:
            self._container.seek(0)

    def _decoded(self) -> Iterator[VideoFrame]:
        import av

        streams = [self._stream, *self._container.streams.audio]
        packets = iter(self._container.demux(streams))
        while True:
            try:
                with _complaints() as said:
                    packet = next(packets, None)
            except (av.error.FFmpegError, OSError):
                self._faults += 1
                return
            # a reader that meets rubbish skips it and only says so
            self._faults += sum(name == self._container.format.name for _, name, _ in said)
            if packet is None:
                return
            if packet.stream.index != self._stream.index:
                if packet.pts is not None and packet.time_base:
                    self._others = max(self._others, float(packet.pts * packet.time_base) - self._origin)
                continue
            try:
                yield from packet.decode()  # type: ignore[misc]
            except av.error.FFmpegError:
                self._faults += 1

    def _time(self, frame: VideoFrame, last: float = -math.inf) -> float:
        # AVI keeps no presentation times; those of FFmpeg jump where a codec reorders frames
        stamp = frame.dts if frame.pts is None or self._is_avi else frame.pts
        if stamp is None and self.rate and last >= 0:
            return last + 1 / self.rate
        if stamp is None:
            raise InputError(self.path, "frames without a time", "times", "write it anew: ffmpeg -i IN OUT.mkv")
        return stamp * self._unit - self._origin

    def damage(self) -> DamagedVideoError | None:
        """What is wrong with the part that was read, or None."""
        if self._faults:
            fault = "one part does not decode" if self._faults == 1 else f"{self._faults} parts do not decode"
            return DamagedVideoError(self.path, fault, min(self.end, self._sum), self.declared)
        allowance = max(_SHORT, 3 / self.rate if self.rate else 0.0)
        reached = max(self.end, self._others)
        if self._whole and self.declared is not None and reached < self.declared - allowance:
            return DamagedVideoError(self.path, "ends early", self.end, self.declared)
        return None

    def nothing(self) -> InputError:
        """The error of a file without a single frame."""
        of = "" if self.declared is None else f" of {self.declared:.1f} s declared"
        return InputError(self.path, f"no frame that can be decoded, 0.0 s decoded{of}", "a whole video")


def _declared(container: InputContainer, stream: VideoStream) -> float | None:
    """Seconds from the start of the file to the end that it declares."""
    origin = (container.start_time or 0) / 1_000_000
    if container.format.name == "avi" and stream.frames and stream.average_rate:
        # FFmpeg corrects the duration of a cut AVI file; the count of frames stays as it was written
        return stream.frames / float(stream.average_rate)
    if stream.duration is not None and stream.time_base is not None:
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base) - origin
    tag = stream.metadata.get("DURATION", "")  # of Matroska: 00:00:05.000000000
    try:
        hours, minutes, seconds = (float(part) for part in tag.split(":"))
        return hours * 3600 + minutes * 60 + seconds - origin
    except ValueError:
        return None if container.duration is None else container.duration / 1_000_000 - origin
