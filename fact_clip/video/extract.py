"""Extract features from videos. Decoding runs in a thread; interrupted extraction resumes."""

from __future__ import annotations

import json
import logging
import time
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal, TypeVar, cast
from zipfile import BadZipFile

import numpy as np

from fact_clip import __version__
from fact_clip.core import LEAST_FPS, Array, Floats, InputError, Json, Progress, row_times
from fact_clip.core.arguments import number_of, validated, whole_of
from fact_clip.core.identity import File, identity_of, is_same
from fact_clip.core.io import read_mapping
from fact_clip.core.paths import (
    check_place,
    file_name,
    inside,
    output_path,
    whole_file,
    write_lines,
)
from fact_clip.core.progress import Pace
from fact_clip.encoders import Clip, FrameEncoder, clip_of
from fact_clip.video.decode import DamagedVideoError, Span
from fact_clip.video.isolated import Decoder, DirectDecoder, Grid

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
        keep_going: take the part of a damaged file that decodes, with a warning.
        span: the part of the video, whose times count from its start.
        decoder: "pyav" or "torchcodec".
    """

    fps: float = 5.0
    batch: int = 32
    keep_going: bool = False
    span: Span = field(default_factory=Span)
    decoder: Literal["pyav", "torchcodec"] = "pyav"

    def __post_init__(self) -> None:
        rates = f"rows a second, from {LEAST_FPS:g} to {_MAX_FPS}"
        number_of(self.fps, "fps", rates, LEAST_FPS, _MAX_FPS)
        whole_of(self.batch, "batch", 1, 10_000)

    @property
    def origin(self) -> Json:
        """Return what features record of settings that most extractions leave alone."""
        facts: Json = {}
        if self.span != Span():
            facts |= {"start": self.span.start, "stop": self.span.stop}
        if self.decoder != "pyav":
            facts["decoder"] = self.decoder
        return facts


@dataclass(frozen=True, eq=False)
class RowBatch:
    """Consecutive rows of features."""

    times: Floats  # (N,) seconds at which their pictures came up
    rows: Array  # (N, D) float16

    @classmethod
    def join(cls, batches: Sequence[RowBatch]) -> RowBatch:
        """Return the rows of all batches."""
        times = np.concatenate([batch.times for batch in batches])
        rows = np.concatenate([batch.rows for batch in batches])
        return cls(times, rows)


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
        DamagedVideoError: a damaged file, without `keep_going`. No file is left.
    """
    settings = settings or Settings()
    path = Path(video)
    target = output_path(Path(out), name or file_name(path.stem), ".npy")
    extraction = Extraction(path, encoder, target, settings, decoder or DirectDecoder())
    damage: str | None = None
    try:
        for batch in extraction.encoded(encoder):
            extraction.append(batch)
            if progress is not None:
                n_rows = extraction.count
                progress(n_rows, max(extraction.expected, n_rows), extraction.video.name)
    except DamagedVideoError as error:
        if not settings.keep_going or not extraction.count:
            extraction.discard()  # it cannot be resumed: the same call would fail again
            raise
        damage = error.problem
        warnings.warn(f"{error.where}: {damage}", stacklevel=2)
    except BaseException:  # such as Ctrl-C
        extraction.save()
        raise
    return extraction.finish(damage, address)


class Extraction:
    """The extraction of one video, which resumes an interrupted one.

    It checks the files to be written when it is made.

    Args:
        video: the video file.
        encoder: the frame encoder.
        target: the feature file.
        settings: of the extraction.
        decoder: decodes the video.
    """

    def __init__(
        self,
        video: Path,
        encoder: FrameEncoder,
        target: Path,
        settings: Settings,
        decoder: Decoder,
    ) -> None:
        self.video = video
        self.settings = settings
        self._began = time.monotonic()
        self._target = target
        self._clip = clip_of(encoder)
        rate = settings.fps * self._clip.stride  # pictures a second
        grid = Grid(rate, encoder.size, settings.span, settings.decoder)
        self._pictures = decoder.open(video, grid)
        self._info = self._pictures.info
        self._seconds = settings.span.seconds_of(self._info.seconds)
        self.expected = round((self._seconds or 0) * settings.fps)  # rows
        self._identity = {
            "format": FORMAT,
            "encoder": encoder.name,
            "precision": precision_of(encoder),
            "fps": settings.fps,
            "source": {"name": video.name, **identity_of(video)},
            **settings.origin,
        }
        self._part = inside(self._target.parent, f"{self._target.stem}.part")
        self._sidecar = inside(self._target.parent, f"{self._target.stem}.json")
        self._warn_about_rate()
        for path in (self._target, self._part, self._sidecar):
            check_place(path)
        if not self._part.is_file():
            self._check_existing()
        self._batches = _read_part(self._part, self._identity)
        self.count = sum(len(batch.times) for batch in self._batches)  # rows so far
        if self.count:
            logger.info("%s: continued at row %d", self.video, self.count)
        self._pace = Pace(self.count, tenths=False)
        self._saved = time.monotonic()

    def _warn_about_rate(self) -> None:
        rate = self._info.fps
        needed = self.settings.fps * self._clip.stride
        if rate and needed > 1.01 * rate:  # 30 of 29.97 are no mistake
            rates = "%s: %g rows a second of %.4g pictures a second, so rows repeat"
            logger.warning(rates, self.video, needed, rate)

    def _check_existing(self) -> None:
        """Reject files of these names that another program wrote."""
        foreign = None
        if self._target.is_file() and not self._sidecar.is_file():
            foreign = self._target
        if self._sidecar.is_file():
            with suppress(InputError):  # a damaged description is written anew
                facts = read_mapping(self._sidecar, "a description")
                if facts.get("format") != FORMAT:
                    foreign = self._sidecar
        if foreign is not None:
            problem = "fact-clip extract did not make this file"
            raise InputError(foreign, problem, "move it, or name another out=")

    def encoded(self, encoder: FrameEncoder) -> Iterator[RowBatch]:
        """Yield the batches from the first missing row on."""
        encoder.load()
        encode = RowEncoder(encoder, self.video)
        size = self.settings.batch
        # pictures before that of the first row
        first = self.count * self._clip.stride
        lead = min(encoder.context + self._clip.length // 2, first)
        times: list[float] = []
        pictures: list[Array] = []
        damage = None
        # from the beginning and not by a seek, which would miss what does not decode before
        decoded = islice(self._pictures.frames, first - lead, None)
        prepared = ((frame.time, encoder.prepare(frame.image)) for frame in decoded)
        inputs: Iterator[tuple[float, Array]] = _ahead(prepared, 2 * size)
        if self._clip.length > 1:
            inputs = clips(inputs, self._clip, first - lead, self.count)
            lead = 0
        try:
            for number, (time_of_picture, picture) in enumerate(inputs):
                if number < lead:
                    encode.previous.append(picture)
                    continue
                times.append(time_of_picture)
                pictures.append(picture)
                if len(times) == size:
                    yield RowBatch(np.array(times), encode(pictures))
                    times = []
                    pictures = []
        except DamagedVideoError as error:
            damage = error
        if times:
            yield RowBatch(np.array(times), encode(pictures))
        if damage is not None:
            raise damage

    def append(self, batch: RowBatch) -> None:
        """Add rows, and save all rows from time to time."""
        self._batches.append(batch)
        self.count += len(batch.times)
        if time.monotonic() - self._saved > SAVE_SECONDS:
            self.save()
            self._saved = time.monotonic()
        left = self._pace.left(self.count, self.expected)
        if left:
            message = "%s: %d of about %d rows, %s left"
            logger.info(message, self.video, self.count, self.expected, left)

    def save(self) -> None:
        """Write the rows so far to NAME.part, with their origin."""
        if not self._batches:
            return
        joined = RowBatch.join(self._batches)
        with whole_file(self._part) as unfinished, unfinished.open("wb") as file:
            identity = json.dumps(self._identity)
            np.savez(file, identity=identity, times=joined.times, rows=joined.rows)

    def discard(self) -> None:
        """Delete NAME.part."""
        self._part.unlink(missing_ok=True)

    def finish(self, damage: str | None, address: str | None = None) -> Path:
        """Write the feature file and the JSON file. Return the feature file."""
        joined = RowBatch.join(self._batches)
        times = row_times(joined.times, self.settings.fps, self._seconds)
        facts = {
            **self._identity,
            "version": __version__,
            "dim": joined.rows.shape[1],
            "n_frames": self.count,
            "damage": damage,
            "video": address or str(self.video.absolute()),
            "video_fps": self._info.fps,
            "times": times.round(6).tolist(),
        }
        with whole_file(self._target) as unfinished, unfinished.open("wb") as file:
            self._part.touch()  # features that a kill leaves without their description are ours
            np.save(file, joined.rows)
        write_lines(self._sidecar, [json.dumps(facts)])  # last: it completes the features
        self.discard()
        seconds = time.monotonic() - self._began
        logger.debug("%s: %d rows in %.1f s", self.video, self.count, seconds)
        return self._target


def precision_of(encoder: FrameEncoder) -> str:
    """Return the precision of an encoder. Features of another precision are other features."""
    return str(getattr(encoder, "precision", "float32"))


def is_current(
    video: str | Path,
    encoder: FrameEncoder,
    out: str | Path,
    settings: Settings,
    name: str | None = None,
    source: File | None = None,
) -> bool:
    """Return whether `out` has complete features of this very file, encoder and rate."""
    video = Path(video)
    try:
        target = output_path(Path(out), name or file_name(video.stem), ".npy")
        facts = read_mapping(target.with_suffix(".json"), "what extract writes beside features")
        if facts["format"] != FORMAT:
            return False
        if facts["damage"] is not None and not settings.keep_going:
            return False
        origin = (facts["encoder"], facts["precision"], facts["fps"])
        if origin != (encoder.name, precision_of(encoder), settings.fps):
            return False
        if np.load(target, mmap_mode="r").shape != (facts["n_frames"], facts["dim"]):
            return False
        if {key: facts[key] for key in _ORIGIN if key in facts} != settings.origin:
            return False
        return is_same(facts["source"], source or video)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return False


def clips(
    pictures: Iterable[tuple[float, Array]], clip: Clip, first: int, row: int
) -> Iterator[tuple[float, Array]]:
    """Yield the clip of each row, with the time of the picture in its middle.

    A clip that reaches beyond the video repeats its first or last picture.

    Args:
        pictures: times and prepared pictures, from number `first` on.
        clip: length and stride of the clips.
        first: number of the first picture.
        row: number of the first row.

    Yields:
        The time and the pictures (clip.length, ...) of each row.
    """
    stored: dict[int, tuple[float, Array]] = {}
    half = clip.length // 2
    end = first

    def clip_of_row() -> tuple[float, Array]:
        middle = row * clip.stride
        numbers = np.arange(middle - half, middle - half + clip.length).clip(0, end - 1)
        return stored[middle][0], np.stack([stored[number][1] for number in numbers.tolist()])

    for picture in pictures:
        stored[end] = picture
        end += 1
        if row * clip.stride - half + clip.length == end:
            yield clip_of_row()
            row += 1
            for number in [number for number in stored if number < row * clip.stride - half]:
                del stored[number]
    while row * clip.stride < end:
        yield clip_of_row()
        row += 1


class RowEncoder:
    """Encodes consecutive pictures as rows of features.

    Attributes:
        previous: the prepared pictures that the encoder needs as context of the next ones.
    """

    def __init__(self, encoder: FrameEncoder, where: str | Path) -> None:
        self.previous: list[Array] = []
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
        return np.clip(features, -limit, limit).astype(np.float16)


def _ahead(items: Generator[Item, None, None], depth: int) -> Iterator[Item]:
    """Yield items that a thread produces up to `depth` ahead. Errors keep their order."""
    end = object()
    pool = ThreadPoolExecutor(1)
    try:
        # a thread that a signal catches while it starts is not waited for below
        pool.submit(int).result()
        waiting = deque(pool.submit(next, items, end) for _ in range(depth))
        while True:
            item = waiting.popleft().result()
            if item is end:
                return
            waiting.append(pool.submit(next, items, end))
            yield cast(Item, item)
    finally:
        pool.shutdown(cancel_futures=True)
        items.close()


def _read_part(path: Path, identity: Json) -> list[RowBatch]:
    """Read NAME.part. Return no batches if the file is damaged or has another origin."""
    with suppress(OSError, ValueError, KeyError, EOFError, BadZipFile), np.load(path) as stored:
        if str(stored["identity"]) == json.dumps(identity):
            return [RowBatch(stored["times"], stored["rows"])]
    return []
