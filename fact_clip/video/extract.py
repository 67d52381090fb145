"""Extract features from videos. Decoding runs in a thread; interrupted extraction resumes."""

import json
import logging
import math
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice, repeat
from pathlib import Path
from typing import TypeVar

import numpy as np

from fact_clip.core import LEAST_FPS, Array, Clock, Floats, InputError, Json, Progress, row_times
from fact_clip.core.arguments import number_of, validated, whole_of
from fact_clip.core.identity import File, identity_of, is_same
from fact_clip.core.io import BROKEN_ARRAY, parse_json
from fact_clip.core.paths import (
    check_place,
    file_name,
    inside,
    output_path,
    whole_file,
    write_lines,
)
from fact_clip.core.progress import Pace
from fact_clip.core.version import __version__
from fact_clip.encoders import Clip, FrameEncoder, clip_of
from fact_clip.video.pictures import DamagedVideoError, Decoder, Grid, Span, probe

logger = logging.getLogger(__name__)

FORMAT = "fact-clip features 1"
SAVE_SECONDS = 60.0  # between copies of the rows so far
_ORIGIN = ("start", "stop", "decoder")
_MAX_FPS = 1000  # rows a second; times in files are in milliseconds
Item = TypeVar("Item")


@dataclass(frozen=True)
class Settings:
    """How features are extracted from a video.

    Attributes:
        fps: rows per second.
        batch: pictures encoded together.
        span: the part of the video, whose times count from its start.
    """

    fps: float = 5.0
    batch: int = 32
    span: Span = field(default_factory=Span)

    def __post_init__(self) -> None:
        rates = f"rows a second, from {LEAST_FPS:g} to {_MAX_FPS}"
        number_of(self.fps, "fps", rates, LEAST_FPS, _MAX_FPS)
        whole_of(self.batch, "batch", 1, 10_000)


@validated("encoder", "decoder")
def extract(
    video: str | Path,
    encoder: FrameEncoder,
    out: str | Path,
    settings: Settings | None = None,
    progress: Progress | None = None,
    *,
    name: str | None = None,
    decoder: Decoder | None = None,
    address: str | None = None,
) -> Path:
    """Write NAME.npy, (T, D) float16, and NAME.json beside it.

    Row n is the picture shown at n / fps seconds. The JSON file has the encoder, the rate, the
    video and its rate, and the `core.row_times`. Both files appear only when they are complete. An
    interrupted extraction leaves NAME.part, and the next call resumes there. It decodes the part
    before again, to notice damage there, but does not encode it.

    Args:
        video: the video file.
        encoder: the frame encoder.
        out: the folder of the feature files.
        settings: of the extraction.
        progress: called with (rows done, rows expected, name of the video).
        name: NAME, with "/" between folders; None: that of the video.
        decoder: decodes the video; None: in this process.
        address: of the video in the JSON file; None: its path.

    Returns:
        The feature file.

    Raises:
        InputError: see `frames`; an encoder that does not load; a folder that cannot be written.
        DamagedVideoError: a damaged file. No file is left.
    """
    settings = settings or Settings()
    path = Path(video)
    target = output_path(Path(out), name or file_name(path.stem), ".npy")
    extraction = Extraction(path, encoder, target, settings, decoder)
    try:
        extraction.encode(progress)
    except DamagedVideoError:
        extraction.discard()  # it cannot be resumed: the same call would fail again
        raise
    except BaseException:  # such as Ctrl-C
        extraction.save()
        raise
    return extraction.finish(address)


@validated("encoder", "decoder")
def encode(
    video: str | Path,
    encoder: FrameEncoder,
    settings: Settings | None = None,
    progress: Progress | None = None,
    *,
    decoder: Decoder | None = None,
) -> tuple[Array, Clock]:
    """Return the features of a video, as `extract` writes them, and the times of its rows.

    Args:
        video: as of `extract`.
        encoder: as of `extract`.
        settings: as of `extract`.
        progress: as of `extract`.
        decoder: as of `extract`.

    Returns:
        The features (T, D), float16, and their clock.

    Raises:
        InputError: see `frames`; an encoder that does not load.
        DamagedVideoError: a damaged file.
    """
    rows = VideoRows(Path(video), encoder, settings or Settings(), decoder)
    rows.encode(progress)
    return rows.features(), rows.clock()


class VideoRows:
    """The rows of features of one video, in memory.

    Args:
        video: the video file.
        encoder: the frame encoder.
        settings: of the extraction.
        decoder: decodes the video; None: in this process.

    Attributes:
        expected: number of rows, as far as the file says it.
        count: rows so far.
    """

    def __init__(
        self, video: Path, encoder: FrameEncoder, settings: Settings, decoder: Decoder | None
    ) -> None:
        self._video = video
        self._encoder = encoder
        self._settings = settings
        self._clip = clip_of(encoder)
        rate = settings.fps * self._clip.stride  # pictures a second
        grid = Grid(rate, encoder.size, settings.span)
        if decoder is None:
            self._info = probe(video)
            self._frames = grid.frames(video)
        else:
            self._info, self._frames = decoder.open(video, grid)
        if self._info.fps and rate > 1.01 * self._info.fps:  # 30 of 29.97 are no mistake
            rates = "%s: %g rows a second of %.4g pictures a second, so rows repeat"
            logger.warning(rates, video, rate, self._info.fps)
        self._seconds = settings.span.seconds_of(self._info.seconds)
        self.expected = round((self._seconds or 0) * settings.fps)
        self._times: list[Floats] = []  # (N,) seconds at which the pictures of rows came up
        self._rows: list[Array] = []  # (N, D) float16
        self.count = 0

    def append(self, times: Floats, rows: Array) -> None:
        """Append rows (N, D) of pictures at some times (N,)."""
        self._times.append(times)
        self._rows.append(rows)
        self.count += len(times)

    def encode(self, progress: Progress | None) -> None:
        """Encode the video from the first missing row on, and report each batch."""
        encoder = self._encoder
        encoder.load()
        pace = Pace(self.count, tenths=False)
        encode_rows = RowEncoder(encoder, self._video)
        # pictures before that of the first row
        first = self.count * self._clip.stride
        lead = min(encoder.context + self._clip.length // 2, first)
        # from the beginning and not by a seek, which would miss what does not decode before
        decoded = islice(self._frames, first - lead, None)
        prepared = ((frame.time, encoder.prepare(frame.image)) for frame in decoded)
        inputs: Iterator[tuple[float, Array]] = _ahead(prepared, 2 * self._settings.batch)
        if self._clip.length > 1:
            inputs = clips(inputs, self._clip, self.count)
            lead = 0
        previous = [picture for _, picture in islice(inputs, lead)]
        if previous:  # the first picture has no past, as in `RowEncoder`
            previous = [previous[0]] * (encoder.context - len(previous)) + previous
        encode_rows.previous = previous
        while batch := list(islice(inputs, self._settings.batch)):
            times = np.array([shown_at for shown_at, _ in batch])
            self.append(times, encode_rows([picture for _, picture in batch]))
            self.secure()
            left = pace.left(self.count, self.expected)
            if left:
                message = "%s: %d of about %d rows, %s left"
                logger.info(message, self._video, self.count, self.expected, left)
            if progress is not None:
                progress(self.count, max(self.expected, self.count), self._video.name)

    def secure(self) -> None:
        """Save the rows so far, where that is due."""

    def features(self) -> Array:
        """Return all rows, (T, D) float16."""
        return np.concatenate(self._rows)

    def clock(self) -> Clock:
        """Return the times of all rows. A later part does not name the video: its times differ."""
        times = row_times(np.concatenate(self._times), self._settings.fps, self._seconds)
        return Clock(
            n_frames=self.count,
            fps=self._settings.fps,
            times=times.round(6),
            media=None if self._settings.span.start else str(self._video.absolute()),
            video_fps=self._info.fps,
        )


class Extraction(VideoRows):
    """The extraction of one video to a file, which resumes an interrupted one.

    It checks the files to be written when it is made.

    Args:
        video: the video file.
        encoder: the frame encoder.
        target: the feature file.
        settings: of the extraction.
        decoder: decodes the video; None: in this process.
    """

    def __init__(
        self,
        video: Path,
        encoder: FrameEncoder,
        target: Path,
        settings: Settings,
        decoder: Decoder | None,
    ) -> None:
        super().__init__(video, encoder, settings, decoder)
        self._began = time.monotonic()
        self._target = target
        self._identity = {
            **origin_of(encoder, settings),
            "source": {"name": video.name, **identity_of(video)},
        }
        self._part = inside(target.parent, f"{target.stem}.part")
        self._sidecar = inside(target.parent, f"{target.stem}.json")
        for path in (target, self._part, self._sidecar):
            check_place(path)
        if not self._part.is_file():
            check_ours(target, self._sidecar)
        self._read_part()
        self._saved = time.monotonic()

    def _read_part(self) -> None:
        """Read NAME.part, unless it is damaged or has another origin."""
        with suppress(*BROKEN_ARRAY), np.load(self._part) as stored:
            if str(stored["identity"]) == json.dumps(self._identity):
                self.append(stored["times"], stored["rows"])
                logger.info("%s: continued at row %d", self._video, self.count)

    def secure(self) -> None:
        """Save all rows from time to time."""
        if time.monotonic() - self._saved > SAVE_SECONDS:
            self.save()
            self._saved = time.monotonic()

    def save(self) -> None:
        """Write the rows so far to NAME.part, with their origin."""
        if not self.count:
            return
        times = np.concatenate(self._times)
        rows = self.features()
        with whole_file(self._part) as unfinished, unfinished.open("wb") as file:
            np.savez(file, identity=json.dumps(self._identity), times=times, rows=rows)

    def discard(self) -> None:
        """Delete NAME.part."""
        self._part.unlink(missing_ok=True)

    def finish(self, address: str | None) -> Path:
        """Write the feature file and the JSON file. Return the feature file."""
        rows = self.features()
        clock = self.clock()
        assert clock.times is not None
        facts = {
            **self._identity,
            "version": __version__,
            "dim": rows.shape[1],
            "n_frames": self.count,
            "video": address or str(self._video.absolute()),
            "video_fps": clock.video_fps,
            "times": clock.times.tolist(),
        }
        with whole_file(self._target) as unfinished, unfinished.open("wb") as file:
            self._part.touch()  # features that a kill leaves without their description are ours
            np.save(file, rows)
        write_lines(self._sidecar, [json.dumps(facts)])  # last: it completes the features
        self.discard()
        seconds = time.monotonic() - self._began
        logger.debug("%s: %d rows in %.1f s", self._video, self.count, seconds)
        return self._target


def origin_of(encoder: FrameEncoder, settings: Settings) -> Json:
    """Return what features record of the encoder and the settings that they are made with."""
    return {
        "format": FORMAT,
        "encoder": encoder.name,
        # Features of another precision are other features.
        "precision": str(getattr(encoder, "precision", "float32")),
        "fps": settings.fps,
        **settings.span.facts,
    }


def check_ours(target: File, sidecar: File) -> None:
    """Reject a feature file, or a description, that another program wrote."""
    foreign = None
    if target.is_file() and not sidecar.is_file():
        foreign = target
    if sidecar.is_file():
        with suppress(*BROKEN_ARRAY):  # a damaged description is written again
            if _read_facts(sidecar).get("format") != FORMAT:
                foreign = sidecar
    if foreign is not None:
        problem = "fact-clip extract did not make this file"
        raise InputError(str(foreign), problem, "move it, or name another out=")


def _read_facts(sidecar: File) -> Json:
    """Return what `extract` writes beside features."""
    with sidecar.open("rb") as file:
        facts = parse_json(file.read().decode(), str(sidecar), "a description")
    if not isinstance(facts, dict):
        raise InputError(str(sidecar), "not a JSON object")
    return facts


def _shape(target: File) -> tuple[int, ...]:
    """Return the shape of a complete feature file, of which only the header is read."""
    with target.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, kind = np.lib.format.read_array_header_1_0(file)
        n_bytes = file.tell() + math.prod(shape) * kind.itemsize
    if target.stat().st_size < n_bytes:
        raise ValueError("the file is not complete")
    return shape


def is_current(
    target: File,
    sidecar: File,
    encoder: FrameEncoder,
    settings: Settings,
    location: str,
    source: File,
) -> bool:
    """Return whether features are complete, and of this very file, encoder and rate.

    Args:
        target: the feature file.
        sidecar: the description beside it.
        encoder: the frame encoder.
        settings: of the extraction.
        location: absolute path, or address, of the video.
        source: the video.

    Raises:
        InputError: the features are of another video, at another place.
    """
    if not sidecar.is_file():
        return False
    try:
        facts = _read_facts(sidecar)
        is_moved = facts["video"] != location
        is_of_video = is_same(facts["source"], source, is_moved=is_moved)
        origin = origin_of(encoder, settings)
        is_of_request = {key: facts[key] for key in facts.keys() & {*origin, *_ORIGIN}} == origin
        is_complete = _shape(target) == (facts["n_frames"], facts["dim"])
    except BROKEN_ARRAY:
        return False
    if is_moved and not is_of_video:
        fix = "name another out=, or the folder above both, or set overwrite=True"
        raise InputError(location, f"{target} is of {facts['video']}", fix)
    return is_of_video and is_of_request and is_complete


def clips(
    pictures: Iterable[tuple[float, Array]], clip: Clip, row: int
) -> Iterator[tuple[float, Array]]:
    """Yield the clip of each row, with the time of the picture in its middle.

    A clip that reaches beyond the video repeats its first or last picture.

    Args:
        pictures: times and prepared pictures, from the first one of the clip of `row` on.
        clip: length and stride of the clips.
        row: number of the first row.

    Yields:
        The time and the pictures (clip.length, ...) of each row.
    """
    half = clip.length // 2

    def repeated() -> Iterator[tuple[float, Array]]:
        last = None
        for picture in pictures:
            if last is None:
                yield from repeat(picture, max(half - row * clip.stride, 0))
            yield picture
            last = picture
        if last is not None:
            yield from repeat(last, clip.length - half - 1)

    window: deque[tuple[float, Array]] = deque(maxlen=clip.length)
    for n_pictures, picture in enumerate(repeated(), start=1):
        window.append(picture)
        n_rest = n_pictures - clip.length
        if n_rest >= 0 and n_rest % clip.stride == 0:
            yield window[half][0], np.stack([image for _, image in window])


class RowEncoder:
    """Encodes consecutive pictures as rows of features.

    Attributes:
        previous: the prepared pictures that the encoder needs as context of the next ones.
    """

    def __init__(self, encoder: FrameEncoder, where: str | Path) -> None:
        self.previous: list[Array] = []
        self._is_clipped = False
        self._encoder = encoder
        self._where = where

    def __call__(self, prepared: Sequence[Array]) -> Array:
        """Return the rows (N, D) of the next N prepared pictures. Reject NaN and infinities."""
        context = self._encoder.context
        previous = self.previous or [prepared[0]] * context  # the first picture has no past
        pictures = [*previous, *prepared]
        self.previous = pictures[len(pictures) - context :]
        features = self._encoder.encode_images(np.stack(pictures))
        if not np.isfinite(features).all():
            problem = f"the encoder {self._encoder.name} gives NaN or infinities"
            raise InputError(self._where, problem)
        limit = np.finfo(np.float16).max
        if not self._is_clipped and (np.abs(features) > limit).any():
            self._is_clipped = True
            clipped = "%s: values of %s beyond %g become this, the largest of float16"
            logger.warning(clipped, self._where, self._encoder.name, limit)
        return np.clip(features, -limit, limit).astype(np.float16)


def _ahead(items: Generator[Item, None, None], depth: int) -> Iterator[Item]:
    """Yield items that a thread produces up to `depth` ahead. Errors keep their order."""
    pool = ThreadPoolExecutor(1)
    try:
        # a thread that a signal catches while it starts is not waited for below
        pool.submit(int).result()
        waiting = deque(pool.submit(next, items, None) for _ in range(depth))
        for item in iter(lambda: waiting.popleft().result(), None):  # None follows the last one
            waiting.append(pool.submit(next, items, None))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
        items.close()
