"""Decode the frames of a video file, with the times at which they are shown. Needs PyAV."""

from __future__ import annotations

import math
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fact_clip.core import Floats, Image, InputError, Json, Size, library_errors
from fact_clip.core.arguments import validated
from fact_clip.core.extras import require
from fact_clip.core.io import check_file

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".wmv", ".flv",
    ".ogv", ".3gp",
)  # fmt: skip
"""Suffixes of the files that are treated as videos in a folder."""

# The containers that FFmpeg may open, regardless of the file name. Each contains its own frames.
# Playlists and lists of files (hls, dash, concat, image2, ...) are not included.
_CONTAINERS = (
    "mov", "matroska", "avi", "mpeg", "mpegts", "mpegvideo", "asf", "flv", "ogg", "mxf", "nut",
    "dv", "gif", "ivf", "h264", "hevc", "m4v", "mjpeg", "obu", "yuv4mpegpipe",
)  # fmt: skip
OPTIONS = {"protocol_whitelist": "file", "format_whitelist": ",".join(_CONTAINERS)}
"""Options of `av.open` for a file that is not trusted."""

ROUNDING = 1e-3  # seconds, because Matroska rounds times to milliseconds
_MAX_FPS = 1000
_UNKNOWN = 0.04  # seconds for which a frame is shown if the file does not state this
# The longest time for which one frame may be shown, in seconds. A longer time is an error in the
# file, and would result in millions of equal rows.
_MAX_SHOWN = 3600.0
# Seconds by which times may go back, because some recorders number frames this way. A larger step
# back is the start of a second recording.
_MAX_BACK = 0.5
# Seconds by which a file may end before its declared end, because many recorders round up.
_SHORT = 0.5


@dataclass(frozen=True)
class Frame:
    """One frame of a video."""

    time: float  # seconds from the start of the file to the time at which the frame is shown
    image: Image  # (H, W, 3) uint8, RGB, rotated as the file declares


@dataclass(frozen=True)
class VideoInfo:
    """The properties that a video file declares."""

    width: int  # of a frame, after its rotation
    height: int
    fps: float | None  # mean frames per second, None if unknown
    seconds: float | None  # declared duration, None if unknown
    container: str  # FFmpeg's names of the format, separated by commas ("matroska,webm")
    codec: str  # FFmpeg's name of the codec, such as "h264"
    pixels: str  # FFmpeg's name of the pixel format, such as "yuv420p"
    reorders: bool  # whether the frames may be stored in a different order than they are shown
    origin: float  # the first value of the file's clock, in seconds


class DamagedVideoError(InputError):
    """Only a part of a file can be decoded. The error follows the frames of that part."""

    kind = "damaged"


@validated()
def probe(path: str | Path) -> VideoInfo:
    """Return the properties of a video file, whose first frame is decoded. See `frames` for
    errors."""
    with _opened(path) as source:
        _, frame = next(iter(source))
        height, width = _converter(None)(frame).shape[:2]
        return VideoInfo(
            width=width,
            height=height,
            fps=source.rate,
            seconds=source.declared,
            container=source.container.format.name,
            codec=source.stream.codec.canonical_name,
            pixels=source.stream.codec_context.pix_fmt or "",
            reorders=source.stream.codec_context.has_b_frames,
            origin=source.origin,
        )


@validated()
def frame_times(path: str | Path) -> Floats:
    """Return when each frame starts and when the last one ends, without decoding any frame.

    The result has the shape (N + 1,) and contains rising values in seconds.
    """
    import av

    with _opened(path) as source:
        stamps: list[int] = []
        with suppress(av.error.FFmpegError, OSError):  # the part before the damage can be labelled
            for packet in source.container.demux(source.stream):
                stamp = packet.dts if packet.pts is None or source.is_avi else packet.pts
                if stamp is not None and packet.size:
                    stamps.append(stamp)
        times = np.unique(np.array(stamps, dtype=np.float64) * source.unit - source.origin)
        times = times[times > -ROUNDING]
        if not len(times):
            raise InputError(Path(path), "no frame with a time", "convert it: ffmpeg -i IN OUT.mkv")
        return np.append(np.maximum(times, 0.0), times[-1] + source.frame_seconds)


@validated()
def frames(
    path: str | Path,
    *,
    fps: float | None = None,
    size: Size = None,
    start: float = 0.0,
    stop: float | None = None,
) -> Iterator[Frame]:
    """Yield the frames of a video in order, with one frame in memory at a time.

    Args:
        path: Video file.
        fps: Frames per second, which may exceed the rate of the file. Frame n is the one that is
            shown at n / fps seconds, even if the rate of the file varies. None yields every frame.
        size: (width, height) of the frames. None keeps the size of the file.
        start: Start of the part to decode, in seconds, from which times are counted. It requires
            `fps`.
        stop: End of the part to decode, in seconds. None is the end of the video.

    Yields:
        The frames.

    Raises:
        InputError: PyAV is missing, no frame can be decoded or has a time, or an argument is out of
            range.
        DamagedVideoError: The file is cut or damaged. All frames that can be decoded were yielded
            before.
    """
    if fps is not None and not 0 < fps <= _MAX_FPS:
        raise InputError(
            "fps", f"{fps:g} frames per second", f"give more than 0, and at most {_MAX_FPS}"
        )
    span = Span(start, stop)
    if fps is None and span != Span():
        raise InputError("start and stop", "a part without fps", "give fps")
    with _opened(path) as source:
        yield from _decoded_frames(source, fps, size, span)
        damage = source.damage()
        if damage is not None:
            raise damage


def middle_frame(path: Path) -> Image:
    """Return a frame from about the middle of a video, (H, W, 3), without decoding the others."""
    with _opened(path) as source:
        source.container.seek(round(500_000 * (source.declared or 0)))  # microseconds
        _, frame = next(iter(source))
        return _converter(None)(frame)


LIVE = ("rtsp://", "rtsps://", "camera:")


@validated()
def live_frames(source: str, fps: float, size: Size = None) -> Iterator[Frame]:
    """Yield the frames of a live source. Each one is yielded when the next one has arrived.

    If the connection to a network stream or camera breaks, the frames end with a warning.

    Args:
        source: Network stream ("rtsp://..."), camera ("camera:0") or video file.
        fps: Frames per second.
        size: (width, height) of the frames. None keeps the size of the source.

    Yields:
        The frames.
    """
    if not source.startswith(LIVE):
        yield from frames(source, fps=fps, size=size)
        return
    where = re.sub(r"//.*@", "//", source)  # messages must not contain a password
    url, arguments = live_input(source)
    with _container(where, url, arguments, is_live=True) as opened:
        yield from _decoded_frames(opened, fps, size, Span())
        damage = opened.damage()
        if damage is not None:
            warnings.warn(f"{damage.where}: {damage.problem}", stacklevel=2)


def live_input(source: str, platform: str = sys.platform) -> tuple[str, Json]:
    """Return the file and the other arguments of `av.open` for a network stream or a camera."""
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
                source,
                "the name of the camera is missing",
                "use its name in Windows, such as camera:Integrated Camera",
            )
        return f"video={name}", {"format": "dshow"}
    if platform == "darwin":
        return name or "0", {"format": "avfoundation", "options": {"framerate": "30"}}
    device = name if "/" in name else f"/dev/video{name or 0}"
    return device, {"format": "v4l2"}


@dataclass(frozen=True)
class Span:
    """The start and the end of a part of a video, in seconds."""

    start: float = 0.0
    stop: float | None = None

    @property
    def facts(self) -> Json:
        """Return the values that are recorded for a part, which are none for a whole video."""
        return {} if self == Span() else asdict(self)

    def seconds_of(self, duration: float | None) -> float | None:
        """Return the duration of the part, given the duration of the video."""
        ends = [end for end in (self.stop, duration) if end is not None]
        return min(ends) - self.start if ends else None


@dataclass(frozen=True)
class Grid:
    """The choice of video frames to decode, and their size.

    Attributes:
        fps: Frames per second.
        size: (width, height) of the frames, or None to keep the size of the file.
        span: Part of the video.
    """

    fps: float
    size: Size
    span: Span

    def frames(self, video: Path) -> Iterator[Frame]:
        """Yield the frames of a video."""
        start = self.span.start
        return frames(video, fps=self.fps, size=self.size, start=start, stop=self.span.stop)


class Decoder(Protocol):
    """Decodes videos outside this process, as `IsolatedDecoder` of fact_clip_batch does."""

    def open(self, video: Path, grid: Grid) -> tuple[VideoInfo, Iterator[Frame]]:
        """Return the properties of a video and its frames, which are decoded when they are read."""


def _decoded_frames(
    source: _VideoSource, fps: float | None, size: Size, span: Span
) -> Iterator[Frame]:
    convert = _converter(size)
    for shown_at, frame in source if fps is None else _on_grid(source, fps, span):
        if shown_at >= -ROUNDING / 2 or fps is not None:
            yield Frame(shown_at, convert(frame))


def scaled(image: Image, size: Size) -> Image:
    """Scale an image (H, W, 3) to (width, height) as `frames` does. None returns it unchanged."""
    if size in (None, image.shape[1::-1]):
        return image
    check_av("images")
    from av import VideoFrame

    return _converter(size)(VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24"))


def _on_grid(source: _VideoSource, fps: float, span: Span) -> Iterator[tuple[float, VideoFrame]]:
    """Yield the frame shown at start + n / fps seconds, for n = 0, 1, ..."""
    row = 0
    current = None
    # A frame is shown until the next one starts, and the last one until the end of the video.
    for following in chain(source, [None]):
        until = source.end if following is None else following[0]
        while current is not None and span.start + row / fps < until - ROUNDING:
            if span.stop is not None and span.start + row / fps >= span.stop - ROUNDING:
                return
            yield current[0] - span.start, current[1]
            row += 1
        current = following
    if not row:
        problem = f"no frame after {span.start:g} s in a video of {source.end:.1f} s"
        raise InputError(source.location, problem)


def _converter(size: Size) -> Callable[[VideoFrame], Image]:
    """Return a function from decoded frames to RGB arrays, scaled and rotated."""
    from av.video.reformatter import VideoReformatter

    reformatter = VideoReformatter()  # used for all frames, because it keeps its tables

    def convert(frame: VideoFrame) -> Image:
        turns = round(frame.rotation / 90)  # counter-clockwise
        width, height = size or (None, None)
        if turns % 2:
            width, height = height, width
        scaled = reformatter.reformat(frame, width, height, "rgb24", interpolation="AREA")
        return np.ascontiguousarray(np.rot90(scaled.to_ndarray(), turns), dtype=np.uint8)

    return convert


def file_url(path: Path) -> str:
    """Return a URL that FFmpeg reads as a file, and not as an option or a protocol ("concat:")."""
    return f"file:{path.absolute()}"


def check_av(where: Path | str) -> None:
    """Raise an InputError if PyAV is not installed."""
    require(where, "av", "video")


@contextmanager
def _opened(video: str | Path) -> Iterator[_VideoSource]:
    """Open the video stream of a file."""
    path = check_file(video, "a video file")
    with _container(path, file_url(path), {"options": OPTIONS}) as source:
        yield source


@contextmanager
def _container(
    where: Path | str, url: str, arguments: Json, is_live: bool = False
) -> Iterator[_VideoSource]:
    """Open the video stream of an argument of `av.open`. Errors name `where` as their location."""
    check_av(where)
    import av
    import av.stream

    problem = "cannot be opened" if is_live else "not a video, or its index is cut off"
    with library_errors(where, problem, av.error.FFmpegError, OSError):
        container = av.open(url, **arguments)
    with container:
        cover = av.stream.Disposition.attached_pic
        streams = [stream for stream in container.streams.video if not stream.disposition & cover]
        if not streams:
            raise InputError(where, "no video stream")
        streams[0].thread_type = "AUTO"
        try:
            yield _VideoSource(where, container, streams[0], is_live)
        finally:
            # Closing the container waits for the decoder's threads while it holds Python's lock. A
            # thread that needs this lock for a message would never end. Flushing the buffers waits
            # for the threads without holding the lock.
            streams[0].codec_context.flush_buffers()


class _VideoSource:
    """Yields the frames of a video with their times, and records the defects of the file.

    Attributes:
        location: Location of the video in errors.
        container: The opened file.
        stream: The video stream.
        rate: Mean number of frames per second, or None if unknown.
        declared: Declared duration of the file in seconds, or None if unknown.
        unit: Duration of one unit of a time stamp, in seconds.
        origin: First value of the file's clock, in seconds.
        is_avi: Whether the file is an AVI file, which has no presentation times.
        end: Time at which the last frame that was read ends, in seconds.
    """

    def __init__(
        self,
        location: Path | str,
        container: InputContainer,
        stream: VideoStream,
        is_live: bool = False,
    ) -> None:
        self.location = location
        self.container = container
        self.stream = stream
        self.rate = float(stream.average_rate) if stream.average_rate else None
        self.unit = float(stream.time_base or 0)
        self.origin = (container.start_time or 0) / 1_000_000
        self.is_avi = container.format.name == "avi"
        self.declared = self._declared_seconds()
        self.end = 0.0
        self._is_live = is_live  # the clock of a live stream does not start at 0
        self._undecodable = 0  # number of parts that could not be decoded
        self._decoded_seconds = 0.0  # total duration of the decoded frames
        self._joined_at: float | None = None  # seconds at which a second recording begins
        self._audio_end = 0.0  # seconds; the declared end may be the end of the audio
        self._is_complete = False  # whether the stream was read to its end

    def _declared_seconds(self) -> float | None:
        """Return the seconds from the start of the file to its declared end."""
        stream = self.stream
        if self.is_avi and stream.frames and self.rate:
            # FFmpeg corrects the duration of an AVI file that is cut, but not its number of frames.
            return stream.frames / self.rate
        if stream.duration is not None and stream.time_base is not None:
            units = stream.duration + (stream.start_time or 0)
            return float(units * stream.time_base) - self.origin
        tag = stream.metadata.get("DURATION", "")  # Matroska writes 00:00:05.000000000
        with suppress(ValueError):
            hours, minutes, seconds = map(float, tag.split(":"))
            return hours * 3600 + minutes * 60 + seconds - self.origin
        duration = self.container.duration
        return None if duration is None else duration / 1_000_000 - self.origin

    def __iter__(self) -> Iterator[tuple[float, VideoFrame]]:
        last = -math.inf
        for frame in self._decoded():
            time = self._time_of(frame, last)
            if (self._is_live or self.is_avi) and last == -math.inf:
                # In AVI files, a codec that reorders frames starts some frames late.
                self.origin += time
                time = 0.0
            if time <= last:
                if time < last - _MAX_BACK and self._joined_at is None:
                    self._joined_at = last
                continue

            length = (frame.duration or 0) * self.unit or self.frame_seconds
            duration = max(length, time - max(last, 0.0))
            if duration > _MAX_SHOWN:
                raise self._damage(f"a frame that lasts {duration:.0f} s", self.end)
            self.end = time + length
            last = time
            self._decoded_seconds = (self._decoded_seconds or max(time, 0.0)) + length
            self._undecodable += bool(frame.is_corrupt and time >= 0)
            yield time, frame
        if last == -math.inf:
            duration_text = "" if self.declared is None else f" of {self.declared:.1f} s declared"
            problem = f"no frame can be decoded, 0.0 s decoded{duration_text}"
            raise InputError(self.location, problem)
        self._is_complete = True

    @property
    def frame_seconds(self) -> float:
        """Return the usual duration of a frame."""
        return 1 / self.rate if self.rate else _UNKNOWN

    def _time_of(self, frame: VideoFrame, last: float) -> float:
        """Return the time at which a frame is shown. `last` is the time of the previous frame."""
        # FFmpeg derives presentation times for AVI. They jump if a codec reorders frames.
        stamp = frame.dts if frame.pts is None or self.is_avi else frame.pts
        if stamp is not None:
            return stamp * self.unit - self.origin
        if self.rate and last >= 0:
            return last + 1 / self.rate
        fix = "convert it: ffmpeg -i IN OUT.mkv"
        raise InputError(self.location, "frames without a time", fix)

    def _decoded(self) -> Iterator[VideoFrame]:
        import av

        packets = iter(self.container.demux([self.stream, *self.container.streams.audio]))
        while True:
            try:
                with _COLLECTION, _complaints() as complaints:
                    packet = next(packets, None)
            except (av.error.FFmpegError, OSError):
                self._undecodable += 1
                return
            # A demuxer skips data that it cannot read, and only logs a message.
            for _, component, _ in complaints:
                self._undecodable += component == self.container.format.name
            if packet is None:
                return
            if packet.stream.index != self.stream.index:
                if packet.pts is not None and packet.time_base:
                    time = float(packet.pts * packet.time_base) - self.origin
                    self._audio_end = max(self._audio_end, time)
                continue
            try:
                yield from packet.decode()  # type: ignore[misc]
            except av.error.FFmpegError:
                self._undecodable += 1

    def damage(self) -> DamagedVideoError | None:
        """Return the error for the defects of the part that was read, or None."""
        if self._undecodable:
            fault = f"{self._undecodable} parts cannot be decoded"
            if self._undecodable == 1:
                fault = "one part cannot be decoded"
            return self._damage(fault, min(self.end, self._decoded_seconds))
        if self._joined_at is not None:
            fault = f"times go back at {self._joined_at:.1f} s, as in files joined by copying"
            return self._damage(f"{fault} (join videos with ffmpeg)", self.end)
        if self._is_complete and self.declared is not None:
            allowance = max(_SHORT, 3 / self.rate if self.rate else 0.0)
            if max(self.end, self._audio_end) < self.declared - allowance:
                return self._damage("ends early", self.end)
        return None

    def _damage(self, fault: str, decoded: float) -> DamagedVideoError:
        duration = "of an unknown duration"
        if self.declared is not None:
            duration = f"of {self.declared:.1f} s declared"
        problem = f"{fault}, {decoded:.1f} s decoded {duration}"
        return DamagedVideoError(self.location, problem, "convert it: ffmpeg -i IN OUT.mkv")


_COLLECTION = threading.Lock()


@contextmanager
def _complaints() -> Iterator[list[Any]]:
    """Collect the messages of FFmpeg: (level, component, text).

    Do not use it while decoding, because FFmpeg's threads would wait for Python's lock to report a
    message. Hold `_COLLECTION`, because the messages of all files arrive in one stream.
    """
    from av import logging

    level = logging.get_level()
    skips = logging.get_skip_repeated()
    logging.set_level(logging.ERROR)
    logging.set_skip_repeated(False)
    try:
        with logging.Capture(local=False) as messages:
            yield messages
    finally:
        if level in (None, logging.PANIC):
            # The level does not become None again. A decoder's thread that waits for Python's lock
            # still compares its message with the level, and PyAV would print the traceback of the
            # comparison. FFmpeg's own callback needs no lock and is silent below "panic".
            logging.set_level(logging.PANIC)
            logging.set_libav_level(logging.PANIC - 8)
            logging.restore_default_callback()
        else:
            logging.set_level(level)
        logging.set_skip_repeated(skips)
