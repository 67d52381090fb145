"""Pictures of a video file by the time at which they are shown. Needs PyAV (extra `video`)."""

from __future__ import annotations

import importlib.util
import math
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError, library_errors
from fact_clip.core.arguments import validated
from fact_clip.core.io import check_file

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

Image = NDArray[np.uint8]

SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".wmv", ".flv", ".ogv", ".3gp"
)  # fmt: skip
"""What counts as a video where a folder is searched."""

# The containers that FFmpeg may take a file for, whatever its name. Each holds its own pictures; playlists and lists of
# other files (hls, dash, concat, image2, ...) are none of them.
_CONTAINERS = (
    "mov", "matroska", "avi", "mpeg", "mpegts", "mpegvideo", "asf", "flv", "ogg", "mxf", "nut", "dv", "gif", "ivf",
    "h264", "hevc", "m4v", "mjpeg", "obu", "yuv4mpegpipe",
)  # fmt: skip
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": ",".join(_CONTAINERS)}

_ROUNDING = 1e-3  # seconds; Matroska rounds times to milliseconds
_MAX_FPS = 1000
_UNKNOWN = 0.04  # seconds that a frame is shown if the file does not say
_MAX_SHOWN = 3600.0  # seconds that one picture is shown; more is a mistake, and would give millions of equal rows
_MAX_BACK = (
    0.5  # seconds that times go back, as some recorders number them; more is another recording
)
_SHORT = 0.5  # seconds that a file may end before its declared end; many recorders round up


@dataclass(frozen=True)
class Frame:
    """One picture."""

    time: float  # seconds from the start of the file at which it is shown
    image: Image  # (H, W, 3) uint8, RGB, rotated as the file says


@dataclass(frozen=True)
class VideoInfo:
    """What a file says of itself."""

    width: int  # of a picture as it is shown
    height: int
    fps: float | None  # mean frames per second, None if unknown
    seconds: float | None  # declared duration, None if unknown


class DamagedVideoError(InputError):
    """Only a part of a file can be decoded. Raised after that part was yielded."""


@validated()
def probe(path: str | Path) -> VideoInfo:
    """Return what a video file says of itself; decodes its first frame, and raises what `frames` raises."""
    with _opened(Path(path)) as source:
        _, frame = next(iter(source))
        height, width = _converter(None)(frame).shape[:2]
        return VideoInfo(width, height, source.rate, source.declared)


@validated()
def picture_times(path: str | Path) -> NDArray[np.float64]:
    """Return the seconds at which the N pictures of a video come up, and its end, (N + 1,), rising; decodes nothing."""
    import av

    with _opened(Path(path)) as source:
        stamps, unit, is_avi = list[int](), source.unit, source.is_avi
        with suppress(av.error.FFmpegError, OSError):  # what is before the damage can be labelled
            for packet in source.container.demux(source.stream):
                stamp = packet.dts if packet.pts is None or is_avi else packet.pts
                if stamp is not None and packet.size:
                    stamps.append(stamp)
        times = np.unique(np.array(stamps, dtype=np.float64) * unit - source.origin)
        times = times[times > -_ROUNDING]
        if not len(times):
            raise InputError(
                Path(path), "no picture with a time", "write it anew: ffmpeg -i IN OUT.mkv"
            )
        last = 1 / source.rate if source.rate else _UNKNOWN
        return np.append(np.maximum(times, 0.0), times[-1] + last)


@validated()
def frames(
    path: str | Path,
    *,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    keep_going: bool = False,
) -> Iterator[Frame]:
    """Yield the pictures of a video in order, one in memory at a time.

    Args:
        path: video file.
        fps: pictures per second, also above the rate of the file. Picture n is the one shown at n / fps seconds, even
            if the rate of the file varies. None: every frame.
        size: (width, height) to scale to; None: as it is.
        keep_going: end a damaged file with a warning that says how much was decoded, instead of the error.

    Raises:
        InputError: PyAV is missing; no video with frames that decode and have a time; an argument out of bounds.
        DamagedVideoError: a file that is cut or has faults, after all that decodes was given.
    """
    if fps is not None and not 0 < fps <= _MAX_FPS:
        raise InputError(
            "fps", f"{fps:g} pictures a second", f"give more than 0, and at most {_MAX_FPS}"
        )
    with _opened(Path(path)) as source:
        yield from _pictures(source, fps, size, keep_going)


LIVE = ("rtsp://", "rtsps://", "camera:")


@validated()
def live_frames(source: str, fps: float, size: tuple[int, int] | None = None) -> Iterator[Frame]:
    """Yield `fps` pictures a second of a network stream ("rtsp://..."), a camera ("camera:0") or a video file.

    Each comes when the next one is there; a network stream or camera that breaks off ends with a warning. Arguments and
    errors as of `frames`.
    """
    if not source.startswith(LIVE):
        yield from frames(source, fps=fps, size=size)
        return
    where = re.sub(r"//.*@", "//", source)  # a password is in no message
    url, how = live_input(source)
    with _container(where, url, how, live=True) as opened:
        yield from _pictures(opened, fps, size, keep_going=True)


def live_input(source: str, platform: str = sys.platform) -> tuple[str, dict[str, Any]]:
    """Return what `av.open` takes for a network stream or a camera: its file, and further arguments."""
    kind, _, name = source.partition(":")
    if kind != "camera":
        options = {
            "rtsp_transport": "tcp",
            "protocol_whitelist": "rtsp,rtsps,rtp,tcp,udp,tls,crypto",
        }
        return source, {"options": options, "timeout": (10.0, 10.0)}
    if platform == "win32":
        if not name or name.isdecimal():
            raise InputError(
                source, "no name of a camera", "name it as Windows does, camera:Integrated Camera"
            )
        return f"video={name}", {"format": "dshow"}
    if platform == "darwin":
        return name or "0", {"format": "avfoundation", "options": {"framerate": "30"}}
    return name if "/" in name else f"/dev/video{name or 0}", {"format": "v4l2"}


def _pictures(
    source: _Source, fps: float | None, size: tuple[int, int] | None, keep_going: bool
) -> Iterator[Frame]:
    convert = _converter(size)
    for shown_at, frame in source if fps is None else _on_grid(source, fps):
        if shown_at >= -_ROUNDING / 2 or fps is not None:
            yield Frame(shown_at, convert(frame))
    if (damage := source.damage()) is not None:
        if not keep_going:
            raise damage
        warnings.warn(f"{damage.where}: {damage.problem}", stacklevel=2)


def scaled(image: Image, size: tuple[int, int] | None) -> Image:
    """Return a picture (H, W, 3) at (width, height), as `frames` scales; None: as it is."""
    if size in (None, image.shape[1::-1]):
        return image
    _check_av("pictures")
    from av import VideoFrame

    return _converter(size)(VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24"))


def _on_grid(source: _Source, fps: float) -> Iterator[tuple[float, VideoFrame]]:
    row, held = 0, None
    # a frame is shown until the next one, the last one until the end of the video
    for following in chain(source, [None]):
        until = source.end if following is None else following[0]
        while held is not None and row / fps < until - _ROUNDING:
            yield held
            row += 1
        held = following


def _converter(size: tuple[int, int] | None) -> Callable[[VideoFrame], Image]:
    """Return what turns decoded frames into RGB arrays, scaled and rotated."""
    from av.video.reformatter import VideoReformatter

    reformatter = VideoReformatter()  # one for all frames, because it keeps its tables

    def convert(frame: VideoFrame) -> Image:
        turns = round(frame.rotation / 90)  # counter-clockwise
        width, height = size or (None, None)
        if turns % 2:
            width, height = height, width
        scaled = reformatter.reformat(frame, width, height, "rgb24", interpolation="AREA")
        return np.ascontiguousarray(np.rot90(scaled.to_ndarray(), turns), dtype=np.uint8)

    return convert


def file_url(path: Path) -> str:
    """Return what FFmpeg is given for a file: never taken for an option, or a protocol as "concat:" or "http:"."""
    return f"file:{path.absolute()}"


def _check_av(where: Path | str) -> None:
    if importlib.util.find_spec("av") is None:
        raise InputError(where, "the package av is not installed", "pip install 'fact-clip[video]'")


@contextmanager
def _opened(path: Path) -> Iterator[_Source]:
    """Open the video stream of a file; an InputError where there is none."""
    check_file(path, "a video file")
    with _container(path, file_url(path), {"options": _OPTIONS}) as source:
        yield source


@contextmanager
def _container(
    where: Path | str, url: str, how: dict[str, Any], live: bool = False
) -> Iterator[_Source]:
    """Open the video stream of what `av.open` takes; an InputError at `where` if there is none."""
    _check_av(where)
    import av
    import av.stream

    problem = "cannot be opened" if live else "not a video, or its index is cut off"
    with library_errors(where, problem, av.error.FFmpegError, OSError):
        container = av.open(url, **how)
    with container:
        cover = av.stream.Disposition.attached_pic
        streams = [stream for stream in container.streams.video if not stream.disposition & cover]
        if not streams:
            raise InputError(where, "no video stream")
        streams[0].thread_type = "AUTO"
        try:
            yield _Source(where, container, streams[0], live)
        finally:
            # The decoder's threads are joined while Python's lock is held. One that waits for this lock to report
            # something would be waited for for ever; flushing waits for all of them without the lock.
            streams[0].codec_context.flush_buffers()


class _Source:
    """Gives (time, frame) of a video, and counts what does not decode."""

    def __init__(
        self, path: Path | str, container: InputContainer, stream: VideoStream, live: bool = False
    ) -> None:
        self.path, self.container, self.stream, self._live = path, container, stream, live
        self.rate = float(stream.average_rate) if stream.average_rate else None
        self.origin = (container.start_time or 0) / 1_000_000
        self.unit = float(stream.time_base or 0)
        self.is_avi = container.format.name == "avi"
        self.declared = _declared(container, stream)
        self.end = 0.0  # seconds at which the last frame so far is no longer shown
        self._sum, self._faults, self._others, self._whole = 0.0, 0, 0.0, False
        self._jump: float | None = (
            None  # seconds at which the times first go back, as where files were joined
        )

    def __iter__(self) -> Iterator[tuple[float, VideoFrame]]:
        last = -math.inf
        for frame in self._decoded():
            # AVI keeps no presentation times, and those that FFmpeg makes up jump where a codec reorders frames
            stamp = frame.dts if frame.pts is None or self.is_avi else frame.pts
            if stamp is not None:
                at = stamp * self.unit - self.origin
            elif self.rate and last >= 0:
                at = last + 1 / self.rate
            else:
                raise InputError(
                    self.path, "frames without a time", "write it anew: ffmpeg -i IN OUT.mkv"
                )
            if self._live and last == -math.inf:  # whose clock began before
                self.origin, at = self.origin + at, 0.0
            if at <= last:
                if at < last - _MAX_BACK and self._jump is None:
                    self._jump = last
                continue
            length = (frame.duration or 0) * self.unit or (1 / self.rate if self.rate else _UNKNOWN)
            shown = max(length, at - last if last > -math.inf else at)
            if shown > _MAX_SHOWN:
                raise self._damage(f"a picture that lasts {shown:.0f} s", self.end)
            self.end, last = at + length, at
            self._sum = (self._sum or max(at, 0.0)) + length
            self._faults += bool(frame.is_corrupt and at >= 0)
            yield at, frame
        if last == -math.inf:
            duration = "" if self.declared is None else f" of {self.declared:.1f} s declared"
            raise InputError(self.path, f"no frame that can be decoded, 0.0 s decoded{duration}")
        self._whole = True

    def _decoded(self) -> Iterator[VideoFrame]:
        import av

        packets = iter(self.container.demux([self.stream, *self.container.streams.audio]))
        while True:
            try:
                with _complaints() as said:
                    packet = next(packets, None)
            except (av.error.FFmpegError, OSError):
                self._faults += 1
                return
            # a reader that meets garbage skips it and only says so
            self._faults += sum(name == self.container.format.name for _, name, _ in said)
            if packet is None:
                return
            if packet.stream.index != self.stream.index:
                if packet.pts is not None and packet.time_base:
                    self._others = max(
                        self._others, float(packet.pts * packet.time_base) - self.origin
                    )
                continue
            try:
                yield from packet.decode()  # type: ignore[misc]
            except av.error.FFmpegError:
                self._faults += 1

    def damage(self) -> DamagedVideoError | None:
        """Return what is wrong with the part that was read, or None."""
        if self._faults:
            fault = (
                "one part does not decode"
                if self._faults == 1
                else f"{self._faults} parts do not decode"
            )
            return self._damage(fault, min(self.end, self._sum))
        if self._jump is not None:
            fault = f"times that go back at {self._jump:.1f} s, as of files joined by copying (ffmpeg joins videos)"
            return self._damage(fault, self.end)
        allowance = max(_SHORT, 3 / self.rate if self.rate else 0.0)
        reached = max(self.end, self._others)
        if self._whole and self.declared is not None and reached < self.declared - allowance:
            return self._damage("ends early", self.end)
        return None

    def _damage(self, fault: str, decoded: float) -> DamagedVideoError:
        duration = (
            "of an unknown duration"
            if self.declared is None
            else f"of {self.declared:.1f} s declared"
        )
        problem = f"{fault}, {decoded:.1f} s decoded {duration}"
        return DamagedVideoError(self.path, problem, "--keep-going takes what there is")


@contextmanager
def _complaints() -> Iterator[list[Any]]:
    """Collect what FFmpeg reports meanwhile: (level, part of FFmpeg, text).

    Not to be used while decoding: FFmpeg's threads would have to wait for Python's lock to report something.
    """
    from av import logging

    before, skips = logging.get_level(), logging.get_skip_repeated()
    logging.set_level(logging.ERROR)
    logging.set_skip_repeated(False)
    try:
        with logging.Capture(local=False) as said:
            yield said
    finally:
        if before in (None, logging.PANIC):
            # Not None again: a decoder's thread that waits for Python's lock still compares its message with the level,
            # and PyAV prints the traceback. FFmpeg's own reporter asks for no lock, and below "panic" it says nothing.
            logging.set_level(logging.PANIC)
            logging.set_libav_level(logging.PANIC - 8)
            logging.restore_default_callback()
        else:
            logging.set_level(before)
        logging.set_skip_repeated(skips)


def _declared(container: InputContainer, stream: VideoStream) -> float | None:
    """Return the seconds from the start of the file to its declared end."""
    origin = (container.start_time or 0) / 1_000_000
    if container.format.name == "avi" and stream.frames and stream.average_rate:
        # FFmpeg corrects the duration of a cut AVI file, but leaves the count of frames as it was written
        return stream.frames / float(stream.average_rate)
    if stream.duration is not None and stream.time_base is not None:
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base) - origin
    tag = stream.metadata.get("DURATION", "")  # of Matroska: 00:00:05.000000000
    try:
        hours, minutes, seconds = (float(part) for part in tag.split(":"))
        return hours * 3600 + minutes * 60 + seconds - origin
    except ValueError:
        return None if container.duration is None else container.duration / 1_000_000 - origin
