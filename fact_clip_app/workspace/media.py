"""Whether browsers play a video file, and a proxy of each file that they do not play."""

import math
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.container import InputContainer, OutputContainer
from av.video.frame import PictureType, VideoFrame

from fact_clip.core import Floats, InputError
from fact_clip.core.paths import whole_file
from fact_clip.video.frames import (
    OPTIONS,
    DamagedVideoError,
    file_url,
    frames,
    middle_frame,
    probe,
)
from fact_clip_app.store.project import Project, VideoEntry
from fact_clip_app.workspace.jobs import STOPPED, Job, Queue

MEDIA_TYPES = {
    **dict.fromkeys((".mp4", ".m4v", ".mov"), "video/mp4"),
    ".webm": "video/webm",
}
"""Suffixes of the files that browsers may play."""

_CONTAINERS = {"video/mp4": "mp4", "video/webm": "webm"}  # a part of FFmpeg's names
_CODECS = {"video/mp4": ("h264", "vp9", "av1"), "video/webm": ("vp8", "vp9", "av1")}
_PIXELS = ("yuv420p", "yuvj420p")  # 8 bit

_MAX_WIDTH = 1280  # of a proxy
_THUMBNAIL_WIDTH = 160
_KEY_SECONDS = 0.5  # between key frames, from which a browser decodes to the frame that it shows
_UNIT = Fraction(1, 90_000)  # seconds; that of MPEG
_SOUND_RATE = 48_000  # samples a second
_ROUNDING = 1e-3  # seconds
_UNEVEN = 3e-3  # seconds by which the lengths of frames may differ, as times are rounded
_MAX_WAITING = 10_000  # conversions

Kind = Literal["original", "proxy", "converting", "failed"]


# Without B-frames, which Chromium shows at wrong times if frames last unequally long.
_ENCODERS = {
    "libx264": {"preset": "veryfast", "crf": "23", "bf": "0"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "33"},
}


def encoder_name() -> str:
    """Return the encoder of proxies that this build of PyAV has: H.264, else VP9."""
    return next(name for name in _ENCODERS if name in av.codecs_available)


def is_playable(path: Path, times: Floats) -> bool:
    """Return whether Chromium and Firefox play a video file, each frame at its time.

    Args:
        path: File.
        times: Start times of the frames and the end of the last frame, in seconds, (N + 1,).

    Raises:
        InputError: The file is not a video.
    """
    info = probe(path)
    kind = MEDIA_TYPES.get(path.suffix.lower())
    if kind is None or _CONTAINERS[kind] not in info.container.split(","):
        return False
    if info.codec not in _CODECS[kind] or info.pixels not in _PIXELS:
        return False
    # Chromium guesses how long frames last in WebM, and by the order of the file in MP4.
    guesses = kind == "video/webm" or info.reorders
    if guesses and len(times) > 2 and np.ptp(np.diff(times[:-1])) > _UNEVEN:
        return False
    # The clock of a browser starts at 0, that of the project at the first picture or sound.
    return abs(info.origin) <= _ROUNDING


def write_proxy(path: Path, out: Path, times: Floats, job: Job) -> None:
    """Write a video that browsers play, whose frames start at given times, atomically.

    Args:
        path: Video file.
        out: File to write, .mp4.
        times: Start times of the frames and the end of the last frame, in seconds, (N + 1,).
        job: Job that receives the progress.

    Raises:
        InputError: No frame can be decoded. The readable part of a damaged file is written.
    """
    info = probe(path)
    scale = min(1.0, _MAX_WIDTH / info.width)
    # even, as 4:2:0 needs
    width, height = (max(2 * round(side * scale / 2), 2) for side in (info.width, info.height))
    middles = (times[1:-1] + times[:-2]) / 2  # between the starts of two frames
    with ExitStack() as stack:
        unfinished = stack.enter_context(whole_file(out))
        options = {"movie_timescale": str(_UNIT.denominator)}  # of the start of a stream
        target = stack.enter_context(av.open(file_url(unfinished), "w", options=options))
        name = encoder_name()
        rate = Fraction(info.fps or 25.0).limit_denominator(1001)
        stream: Any = target.add_stream(name, rate=rate, options=dict(_ENCODERS[name]))
        stream.width = width
        stream.height = height
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = _UNIT
        source = stack.enter_context(av.open(file_url(path), options=OPTIONS))
        sounds = source.streams.audio
        has_sound = bool(sounds) and sounds[0].codec_context is not None and bool(sounds[0].rate)
        sound = _Sound(target, source, info.origin) if has_sound else None

        number = -1
        next_key = 0.0  # seconds
        with suppress(DamagedVideoError):
            for frame in frames(path, size=(width, height)):
                nearest = int(np.searchsorted(middles, frame.time))
                if nearest > number:
                    number = nearest
                    start, stop = times[number : number + 2].tolist()
                    picture = VideoFrame.from_ndarray(frame.image, format="rgb24")
                    picture.time_base = _UNIT
                    picture.pts = _stamp(start)
                    picture.duration = _stamp(stop) - picture.pts
                    if start >= next_key:
                        picture.pict_type = PictureType.I
                        next_key = start + _KEY_SECONDS
                    target.mux(stream.encode(picture))
                    if sound is not None:
                        sound.copy_until(stop)
                job.report(number + 1, len(times) - 1)
        target.mux(stream.encode(None))  # what the encoder holds back
        if sound is not None:
            sound.close()


def _stamp(seconds: float) -> int:
    """Return the stamp of a time, never later, so that a seek to a rounded time shows its frame."""
    return max(math.floor((seconds - 1e-6) / _UNIT), 0)


class _Sound:
    """The sound of a proxy."""

    def __init__(self, target: OutputContainer, source: InputContainer, origin: float) -> None:
        self._target = target
        stream: Any = target.add_stream("aac", rate=_SOUND_RATE, layout="stereo")
        self._stream = stream
        self._resampler = AudioResampler(stream.format, "stereo", _SOUND_RATE)
        self._frames = self._decoded(source, origin)
        self._end = 0.0  # seconds up to which it is written

    def _decoded(self, source: InputContainer, origin: float) -> Iterator[Any]:
        """Yield the sound after the origin, until it ends or does not decode."""
        samples = 0  # up to the end of the frame
        with suppress(av.error.FFmpegError):
            for frame in source.decode(source.streams.audio[0]):
                if not samples and frame.time is not None:
                    samples = round((frame.time - origin) * frame.rate)
                if samples >= 0:
                    frame.time_base = Fraction(1, frame.rate)
                    frame.pts = samples
                    yield from self._resampler.resample(frame)
                samples += frame.samples
                self._end = samples / frame.rate

    def copy_until(self, seconds: float) -> None:
        """Write the sound up to a time in seconds, with the frames of that time."""
        while self._end < seconds:
            frame = next(self._frames, None)
            if frame is None:
                return
            self._target.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what the encoder holds back."""
        self._target.mux(self._stream.encode(None))


@dataclass(frozen=True)
class Playback:
    """What a browser plays of a video, and the conversion to that."""

    kind: Kind | None  # None: there are only features
    path: Path | None = None
    job: Job | None = None

    @property
    def problem(self) -> str:
        """Return the reason why no file can be played."""
        if self.kind is None:
            return "no video file"
        if self.kind == "converting":
            return "the video is being converted for browsers; ask again later"
        return "the video file is not where it was, or cannot be converted"


class Conversions:
    """The proxies of a project, written one at a time into its folder when they are missing."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.folder = project.folder / "proxies"
        self.queue = Queue(_MAX_WAITING)
        self._jobs: dict[str, Job] = {}  # by video
        self._lock = threading.Lock()

    def playback(self, video: VideoEntry) -> Playback:
        """Return what a browser plays of a video. Queue its conversion if it is needed."""
        if video.media is None:
            return Playback(None)
        proxy = self.folder / f"{video.id}.mp4"
        media = video.media

        def convert(job: Job) -> None:
            stored = self.project.video(video.id)  # with its times
            if stored is not None:
                write_proxy(media, proxy, stored.times, job)

        if proxy.is_file():
            return Playback("proxy", proxy)
        with self._lock:
            job = self._jobs.get(video.id)
            if job is None or job.state == "done" or job.error == STOPPED:
                try:
                    if self.is_played(video.id, media):
                        return Playback("original", media)
                    job = self.queue.add(Job(video.id, convert))
                except InputError as error:
                    job = Job(video.id, state="failed", error=error)
                self._jobs[video.id] = job
        return Playback("failed" if job.state == "failed" else "converting", job=job)

    def thumbnail(self, video: VideoEntry) -> Path:
        """Return a small image of a video. The first request writes it.

        Raises:
            InputError: There is no video file, or no frame can be decoded.
        """
        if video.media is None:
            raise InputError(video.name, "no film")
        path = self.folder / f"{video.id}.jpg"
        if not path.is_file():
            image = middle_frame(video.media)
            height = round(_THUMBNAIL_WIDTH * image.shape[0] / image.shape[1])
            picture = VideoFrame.from_ndarray(image, format="rgb24")
            with whole_file(path) as unfinished:
                picture.reformat(_THUMBNAIL_WIDTH, height).save(unfinished)
        return path

    def is_played(self, video: str, media: Path) -> bool:
        """Return whether browsers play a video, which the project remembers.

        Args:
            video: ID of the video.
            media: Video file.

        Raises:
            InputError: If the file is not a video.
        """
        key = f"browsers play {video}"
        stored = self.project.setting(key)
        if stored is None:
            full = self.project.video(video)  # with its times
            stored = full is not None and is_playable(media, full.times)
            self.project.set(key, stored)
        return bool(stored)

    def clean(self) -> None:
        """Delete what conversions left that were killed."""
        for path in self.folder.glob(".*"):
            path.unlink()
