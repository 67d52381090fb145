"""Extract features from videos. A thread decodes, and an interrupted extraction can resume."""

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

from fact_clip.core import MIN_FPS, Array, Clock, Floats, InputError, Json, Progress, row_times
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
from fact_clip.video.frames import DamagedVideoError, Decoder, Grid, Span, probe

logger = logging.getLogger(__name__)

FORMAT = "fact-clip features 1"
SAVE_SECONDS = 60.0  # between copies of the rows so far
_ORIGIN = ("start", "stop", "decoder")
_MAX_FPS = 1000  # rows per second, because times in files are in milliseconds
Item = TypeVar("Item")


@dataclass(frozen=True)
class Settings:
    """The settings of feature extraction.

    Attributes:
        fps: Rows per second.
        batch: Number of frames that are encoded together.
        span: Part of the video. Times are counted from its start.
    """

    fps: float = 5.0
    batch: int = 32
    span: Span = field(default_factory=Span)

    def __post_init__(self) -> None:
        rates = f"rows per second, from {MIN_FPS:g} to {_MAX_FPS}"
        number_of(self.fps, "fps", rates, MIN_FPS, _MAX_FPS)
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
    """Write the features of a video to NAME.npy, (T, D) float16, and describe them in NAME.json.

    Row n represents the frame that is shown at n / fps seconds. The JSON file contains the encoder,
    the rate, the video and its rate, and the `core.row_times`. Both files appear only when they are
    complete. An interrupted extraction leaves NAME.part, from which the next call continues. That
    call decodes the finished part again to detect damage, but does not encode it again.

    Args:
        video: Video file.
        encoder: Frame encoder.
        out: Folder for the feature files.
        settings: Settings of the extraction, or None for the default ones.
        progress: Function that receives (rows done, rows expected, name of the video).
        name: NAME, with "/" between folders. None is the name of the video.
        decoder: Decoder of the video. None decodes in this process.
        address: Address of the video in the JSON file. None is its path.

    Returns:
        The feature file.

    Raises:
        InputError: See `frames`. The encoder cannot be loaded, or the folder cannot be written.
        DamagedVideoError: The video file is damaged. No file remains.
    """
    settings = settings or Settings()
    path = Path(video)
    target = output_path(Path(out), name or file_name(path.stem), ".npy")
    extraction = Extraction(path, encoder, target, settings, decoder)
    try:
        extraction.encode(progress)
    except DamagedVideoError:
        extraction.discard()  # the same call would fail again
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
        video: Video file.
        encoder: Frame encoder.
        settings: Settings of the extraction, or None for the default ones.
        progress: Function that receives (rows done, rows expected, name of the video).
        decoder: Decoder of the video. None decodes in this process.

    Returns:
        The features (T, D), float16, and their clock.

    Raises:
        InputError: See `frames`. The encoder cannot be loaded.
        DamagedVideoError: The video file is damaged.
    """
    rows = VideoRows(Path(video), encoder, settings or Settings(), decoder)
    rows.encode(progress)
    return rows.features(), rows.clock()


class VideoRows:
    """The features of one video, in memory.

    Args:
        video: Video file.
        encoder: Frame encoder.
        settings: Settings of the extraction.
        decoder: Decoder of the video. None decodes in this process.

    Attributes:
        expected: Expected number of rows, from the duration that the file declares.
        count: Number of rows so far.
    """

    def __init__(
        self, video: Path, encoder: FrameEncoder, settings: Settings, decoder: Decoder | None
    ) -> None:
        self._video = video
        self._encoder = encoder
        self._settings = settings
        self._clip = clip_of(encoder)
        rate = settings.fps * self._clip.stride  # frames per second
        grid = Grid(rate, encoder.size, settings.span)
        if decoder is None:
            self._info = probe(video)
            self._frames = grid.frames(video)
        else:
            self._info, self._frames = decoder.open(video, grid)
        if self._info.fps and rate > 1.01 * self._info.fps:  # 30 for 29.97 is not an error
            rates = "%s: %g rows per second from %.4g frames per second, so some rows are repeated"
            logger.warning(rates, video, rate, self._info.fps)
        self._seconds = settings.span.seconds_of(self._info.seconds)
        self.expected = round((self._seconds or 0) * settings.fps)
        self._times: list[Floats] = []  # (N,) seconds at which the frames of the rows are shown
        self._rows: list[Array] = []  # (N, D) float16
        self.count = 0

    def append(self, times: Floats, rows: Array) -> None:
        """Append rows (N, D), whose frames are shown at the times (N,)."""
        self._times.append(times)
        self._rows.append(rows)
        self.count += len(times)

    def encode(self, progress: Progress | None) -> None:
        """Encode the rest of the video, from the first missing row, and report each batch."""
        encoder = self._encoder
        encoder.load()
        pace = Pace(self.count, tenths=False)
        encode_rows = RowEncoder(encoder, self._video)
        first = self.count * self._clip.stride  # the frame of the first missing row
        # Number of earlier frames that the encoder needs.
        lead = min(encoder.context + self._clip.length // 2, first)
        # Decoding starts at the beginning, because a seek would skip damage in the finished part.
        decoded = islice(self._frames, first - lead, None)
        prepared = ((frame.time, encoder.prepare(frame.image)) for frame in decoded)
        inputs: Iterator[tuple[float, Array]] = _ahead(prepared, 2 * self._settings.batch)
        if self._clip.length > 1:
            inputs = clips(inputs, self._clip, self.count)
            lead = 0
        previous = [image for _, image in islice(inputs, lead)]
        if previous:  # the first frame is repeated as its own context, as in `RowEncoder`
            previous = [previous[0]] * (encoder.context - len(previous)) + previous
        encode_rows.previous = previous
        while batch := list(islice(inputs, self._settings.batch)):
            times = np.array([shown_at for shown_at, _ in batch])
            self.append(times, encode_rows([image for _, image in batch]))
            self.secure()
            left = pace.left(self.count, self.expected)
            if left:
                message = "%s: %d of about %d rows, %s left"
                logger.info(message, self._video, self.count, self.expected, left)
            if progress is not None:
                progress(self.count, max(self.expected, self.count), self._video.name)

    def secure(self) -> None:
        """Save the rows so far if they are saved at intervals."""

    def features(self) -> Array:
        """Return all rows, (T, D) float16."""
        return np.concatenate(self._rows)

    def clock(self) -> Clock:
        """Return the times of all rows.

        If the part does not start at 0, the clock does not name the video, whose times differ.
        """
        times = row_times(np.concatenate(self._times), self._settings.fps, self._seconds)
        return Clock(
            n_frames=self.count,
            fps=self._settings.fps,
            times=times.round(6),
            media=None if self._settings.span.start else str(self._video.absolute()),
            video_fps=self._info.fps,
        )


class Extraction(VideoRows):
    """The extraction of one video to a file, which continues an interrupted extraction.

    The constructor checks the files that will be written.

    Args:
        video: Video file.
        encoder: Frame encoder.
        target: Feature file.
        settings: Settings of the extraction.
        decoder: Decoder of the video. None decodes in this process.
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
        """Read NAME.part, unless it is damaged or was made with different settings."""
        with suppress(*BROKEN_ARRAY), np.load(self._part) as stored:
            if str(stored["identity"]) == json.dumps(self._identity):
                self.append(stored["times"], stored["rows"])
                logger.info("%s: continued at row %d", self._video, self.count)

    def secure(self) -> None:
        """Save all rows if the last copy is older than `SAVE_SECONDS`."""
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
            # If a kill leaves features without their description, NAME.part shows who wrote them.
            self._part.touch()
            np.save(file, rows)
        write_lines(self._sidecar, [json.dumps(facts)])  # last, because it completes the features
        self.discard()
        seconds = time.monotonic() - self._began
        logger.debug("%s: %d rows in %.1f s", self._video, self.count, seconds)
        return self._target


def origin_of(encoder: FrameEncoder, settings: Settings) -> Json:
    """Return the properties of the encoder and the settings that a feature file records."""
    return {
        "format": FORMAT,
        "encoder": encoder.name,
        # A different precision results in different features.
        "precision": str(getattr(encoder, "precision", "float32")),
        "fps": settings.fps,
        **settings.span.facts,
    }


def check_ours(target: File, sidecar: File) -> None:
    """Reject a feature file or a description that a different program wrote."""
    foreign = None
    if target.is_file() and not sidecar.is_file():
        foreign = target
    if sidecar.is_file():
        with suppress(*BROKEN_ARRAY):  # a damaged description is replaced
            if _read_facts(sidecar).get("format") != FORMAT:
                foreign = sidecar
    if foreign is not None:
        problem = "fact-clip extract did not write this file"
        raise InputError(str(foreign), problem, "move it, or name a different out=")


def _read_facts(sidecar: File) -> Json:
    """Return the description that `extract` writes for a feature file."""
    with sidecar.open("rb") as file:
        facts = parse_json(file.read().decode(), str(sidecar), "a description")
    if not isinstance(facts, dict):
        raise InputError(str(sidecar), "not a JSON object")
    return facts


def _shape(target: File) -> tuple[int, ...]:
    """Return the shape of a complete feature file. Only its header is read."""
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
    """Return whether features are complete and belong to this video, encoder and rate.

    Args:
        target: Feature file.
        sidecar: Its description.
        encoder: Frame encoder.
        settings: Settings of the extraction.
        location: Absolute path or address of the video.
        source: Video file.

    Raises:
        InputError: The features belong to a different video in a different place.
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
        fix = "name a different out=, or the folder above both, or set overwrite=True"
        raise InputError(location, f"{target} has the features of {facts['video']}", fix)
    return is_of_video and is_of_request and is_complete


def clips(
    timed_images: Iterable[tuple[float, Array]], clip: Clip, row: int
) -> Iterator[tuple[float, Array]]:
    """Yield the clip of each row, with the time of its middle frame.

    A clip that extends beyond the video repeats its first or last frame.

    Args:
        timed_images: Times and prepared frames, starting with the first frame of the clip of `row`.
        clip: Length and stride of the clips.
        row: Number of the first row.

    Yields:
        The time and the frames (clip.length, ...) of each row.
    """
    half = clip.length // 2

    def repeated() -> Iterator[tuple[float, Array]]:
        last = None
        for timed_image in timed_images:
            if last is None:
                yield from repeat(timed_image, max(half - row * clip.stride, 0))
            yield timed_image
            last = timed_image
        if last is not None:
            yield from repeat(last, clip.length - half - 1)

    window: deque[tuple[float, Array]] = deque(maxlen=clip.length)
    for n_images, timed_image in enumerate(repeated(), start=1):
        window.append(timed_image)
        n_rest = n_images - clip.length
        if n_rest >= 0 and n_rest % clip.stride == 0:
            yield window[half][0], np.stack([image for _, image in window])


class RowEncoder:
    """Encodes consecutive frames as rows of features.

    Attributes:
        previous: Prepared frames that the encoder needs as context for the next ones.
    """

    def __init__(self, encoder: FrameEncoder, where: str | Path) -> None:
        self.previous: list[Array] = []
        self._is_clipped = False
        self._encoder = encoder
        self._where = where

    def __call__(self, prepared: Sequence[Array]) -> Array:
        """Return the rows (N, D) of the next N prepared frames. Reject NaN and infinities."""
        context = self._encoder.context
        # At the start of the video, the first frame is repeated as its own context.
        previous = self.previous or [prepared[0]] * context
        images = [*previous, *prepared]
        self.previous = images[len(images) - context :]
        features = self._encoder.encode_images(np.stack(images))
        if not np.isfinite(features).all():
            problem = f"the encoder {self._encoder.name} returned NaN or infinities"
            raise InputError(self._where, problem)
        limit = np.finfo(np.float16).max
        if not self._is_clipped and (np.abs(features) > limit).any():
            self._is_clipped = True
            clipped = "%s: values of %s beyond %g were set to this limit of float16"
            logger.warning(clipped, self._where, self._encoder.name, limit)
        return np.clip(features, -limit, limit).astype(np.float16)


def _ahead(items: Generator[Item, None, None], depth: int) -> Iterator[Item]:
    """Yield items that a thread produces up to `depth` items ahead. Errors keep their order."""
    pool = ThreadPoolExecutor(1)
    try:
        # The thread must have started, because `shutdown` does not wait for a thread that a signal
        # interrupts while it starts.
        pool.submit(int).result()
        waiting = deque(pool.submit(next, items, None) for _ in range(depth))
        for item in iter(lambda: waiting.popleft().result(), None):  # None follows the last one
            waiting.append(pool.submit(next, items, None))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
        items.close()
