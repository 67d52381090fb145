"""Videos to feature files: a thread decodes while the encoder works, and what was interrupted goes on later."""

from __future__ import annotations

import hashlib
import json
import logging
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import LEAST_FPS, InputError, row_times
from fact_clip.core.arguments import number_of, validated, whole_of
from fact_clip.core.io import read_mapping
from fact_clip.core.paths import check_place, file_name, inside, whole_file, write_lines
from fact_clip.core.progress import Pace, paced
from fact_clip.encoders import FrameEncoder
from fact_clip.video.decode import DamagedVideoError, frames, probe

logger = logging.getLogger(__name__)

FORMAT = "fact-clip features 1"
SAVE_SECONDS = 60.0  # between copies of the rows so far
_MAX_FPS = 1000  # rows a second; times in files are in milliseconds
Progress = Callable[[int, int, str], None]
Batch = tuple[NDArray[np.float64], NDArray[np.float16]]
"""Times (N,) and rows (N, D)."""
T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """How features are made from a video."""

    fps: float = 5.0  # rows per second
    batch: int = 32  # pictures encoded together
    keep_going: bool = False  # take what decodes of a damaged file, with a warning

    def __post_init__(self) -> None:
        number_of(
            self.fps, "fps", f"rows a second, from {LEAST_FPS:g} to {_MAX_FPS}", LEAST_FPS, _MAX_FPS
        )
        whole_of(self.batch, "batch", 1, 10_000)


@dataclass(frozen=True)
class Extracted:
    """What became of a list of videos: extracted, skipped because their features were current, or an error."""

    written: list[Path] = field(default_factory=list)
    current: list[Path] = field(default_factory=list)
    failed: list[InputError] = field(default_factory=list)


@validated("encoder")
def extract_all(
    videos: Sequence[str | Path],
    encoder: FrameEncoder,
    out: str | Path,
    settings: Settings | None = None,
    *,
    progress: Progress | None = None,
    within: Progress | None = None,
) -> Extracted:
    """Run `extract` on each video, unless its features are current. A faulty video does not stop the others.

    `progress` is called with (videos done, videos, name) before each video, `within` with (rows done, rows expected,
    name) during one. An encoder that does not load is an InputError.
    """
    chosen, extracted, paths = settings or Settings(), Extracted(), list(map(Path, videos))
    for video in paced(paths, "extracting", logger, progress, tenths=True):
        if is_current(video, encoder, out, chosen):
            logger.debug("%s: current, skipped", video)
            extracted.current.append(video)
            continue
        encoder.load()  # outside of the try: a faulty encoder is not the fault of a video
        try:
            extract(video, encoder, out, chosen, within)
            extracted.written.append(video)
        except InputError as error:
            if len(paths) > 1:  # the caller, who gets the error, can tell which one otherwise
                logger.info("%s: failed", video)
            extracted.failed.append(error)
    return extracted


@validated("encoder")
def extract(
    video: str | Path,
    encoder: FrameEncoder,
    out: str | Path,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write NAME.npy, (T, D) float16, and NAME.json beside it; row n is the picture shown at n / fps seconds.

    The JSON file holds encoder, rate, video and its rate, and the `core.row_times`. Both files appear only when they
    are complete. An interrupted extraction leaves NAME.part, and the next call continues there; it decodes what is
    before, too, so that it knows of damage there, but does not encode it. `progress` is called with (rows done, rows
    expected, name of the video).

    Raises:
        InputError: see `frames`; an encoder that does not load; a folder that cannot be written.
        DamagedVideoError: a damaged file, without `keep_going`; nothing is left.
    """
    chosen, video, began = settings or Settings(), Path(video), time.monotonic()
    target = inside(Path(out), f"{file_name(video.stem)}.npy")
    info = probe(video)
    expected = round((info.seconds or 0) * chosen.fps)
    if info.fps and chosen.fps > 1.01 * info.fps:  # 30 of 29.97 are no mistake
        logger.warning(
            "%s: %g rows a second of %.4g pictures a second, so rows repeat",
            video,
            chosen.fps,
            info.fps,
        )
    identity = {
        "format": FORMAT,
        "encoder": encoder.name,
        "precision": precision_of(encoder),
        "fps": chosen.fps,
        "source": _source(video),
    }
    damage: str | None = None
    part, sidecar = (
        inside(target.parent, f"{target.stem}{ending}") for ending in (".part", ".json")
    )
    for written_path in (target, part, sidecar):
        check_place(written_path)
    foreign = target if target.is_file() and not sidecar.is_file() else None
    with suppress(InputError):  # a damaged description is made anew
        if sidecar.is_file() and read_mapping(sidecar, "a description").get("format") != FORMAT:
            foreign = sidecar
    if foreign is not None and not part.is_file():
        raise InputError(
            foreign, "fact-clip extract did not make this file", "move it, or name another --out"
        )
    batches = _read_part(part, identity)
    count = sum(len(times) for times, _ in batches)
    if count:
        logger.info("%s: continued at row %d", video, count)
    pace, saved = Pace(count, tenths=False), time.monotonic()
    try:
        for batch in _encoded(video, encoder, chosen, count):
            batches.append(batch)
            count += len(batch[0])
            if time.monotonic() - saved > SAVE_SECONDS:
                _write_part(part, identity, batches)
                saved = time.monotonic()
            if left := pace.left(count, expected):
                logger.info("%s: %d of about %d rows, %s left", video, count, expected, left)
            if progress is not None:
                progress(count, max(expected, count), video.name)
    except DamagedVideoError as error:
        if not chosen.keep_going or not batches:
            part.unlink(missing_ok=True)  # nothing can continue: the same call would fail again
            raise
        damage = error.problem
        warnings.warn(f"{error.where}: {error.problem}", stacklevel=2)
    except BaseException:  # such as Ctrl-C
        if batches:
            _write_part(part, identity, batches)
        raise
    shown_at, rows = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    times = row_times(shown_at, chosen.fps, info.seconds).round(6).tolist()
    facts = {
        **identity,
        "dim": rows.shape[1],
        "n_frames": count,
        "damage": damage,
        "video": str(video.absolute()),
    }
    with whole_file(target) as unfinished, unfinished.open("wb") as file:
        np.save(file, rows)
    # last: it completes the features
    write_lines(sidecar, [json.dumps({**facts, "video_fps": info.fps, "times": times})])
    part.unlink(missing_ok=True)
    logger.debug("%s: %d rows in %.1f s", video, count, time.monotonic() - began)
    return target


def describe(features: str | Path) -> dict[str, Any]:
    """Return what `extract` wrote beside a feature file; an InputError where it did not write it."""
    path = Path(features).with_suffix(".json")
    facts: dict[str, Any] = read_mapping(path, "what fact-clip extract writes beside features")
    if facts.get("format") != FORMAT:
        raise InputError(
            path, "fact-clip extract did not write this file", "extract the video again"
        )
    return facts


def precision_of(encoder: FrameEncoder) -> str:
    """The precision that an encoder computes in; features of another one count as other features."""
    return str(getattr(encoder, "precision", "float32"))


def is_current(
    video: str | Path, encoder: FrameEncoder, out: str | Path, settings: Settings
) -> bool:
    """Whether `out` holds complete features that this encoder made from this very file at this rate."""
    video = Path(video)
    target = Path(out) / f"{file_name(video.stem)}.npy"
    try:
        facts = describe(target)
        made_by, source, status = (
            (facts["encoder"], facts["precision"], facts["fps"]),
            facts["source"],
            video.stat(),
        )
        # an untouched file is the same: reading hundreds of gigabytes only to skip them would take long
        is_untouched = status.st_mtime_ns == source["modified_ns"]
        return (
            (settings.keep_going or facts["damage"] is None)
            and made_by == (encoder.name, precision_of(encoder), settings.fps)
            and np.load(target, mmap_mode="r").shape == (facts["n_frames"], facts["dim"])
            and status.st_size == source["bytes"]
            and (is_untouched or _source(video)["sha256"] == source["sha256"])
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return False


def _source(video: Path) -> dict[str, Any]:
    status = video.stat()
    with video.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {
        "name": video.name,
        "bytes": status.st_size,
        "modified_ns": status.st_mtime_ns,
        "sha256": digest,
    }


def _encoded(video: Path, encoder: FrameEncoder, settings: Settings, first: int) -> Iterator[Batch]:
    """Yield the batches from row `first` on."""
    encoder.load()
    encode, lead = RowEncoder(encoder, video), min(encoder.context, first)
    times, batch, damage = list[float](), list[NDArray[Any]](), None
    # from the beginning and not by a seek, which would miss what does not decode before
    pictures = frames(video, fps=settings.fps, size=encoder.size)
    prepared = (
        (picture.time, encoder.prepare(picture.image))
        for picture in islice(pictures, first - lead, None)
    )
    try:
        for number, (shown_at, picture) in enumerate(_ahead(prepared, 2 * settings.batch)):
            if number < lead:
                encode.before.append(picture)
                continue
            times.append(shown_at)
            batch.append(picture)
            if len(times) == settings.batch:
                yield np.array(times), encode(batch)
                batch, times = [], []
    except DamagedVideoError as error:
        damage = error
    if times:
        yield np.array(times), encode(batch)
    if damage is not None:
        raise damage


class RowEncoder:
    """Turns pictures, which come in order, into rows; `before` are those that the encoder looks back at."""

    def __init__(self, encoder: FrameEncoder, where: str | Path) -> None:
        self._encoder, self._where, self.before = encoder, where, list[NDArray[Any]]()

    def __call__(self, prepared: Sequence[NDArray[Any]]) -> NDArray[np.float16]:
        """Return (N, D) of the next N prepared pictures; NaN and infinities are an InputError at `where`."""
        context = self._encoder.context
        before = self.before or [prepared[0]] * context  # there is nothing before the first picture
        pictures = [*before, *prepared]
        self.before = pictures[len(pictures) - context :]
        features = self._encoder.encode_images(np.stack(pictures))
        if not np.isfinite(features).all():
            raise InputError(
                self._where, f"the encoder {self._encoder.name} gives NaN or infinities"
            )
        limit = np.finfo(np.float16).max
        return np.clip(features, -limit, limit).astype(np.float16)


def _ahead(items: Generator[T, None, None], depth: int) -> Iterator[T]:
    """Yield the same items, made by a thread that is up to `depth` ahead; an error keeps its place in the order."""
    end = object()
    pool = ThreadPoolExecutor(1)
    try:
        pool.submit(
            int
        ).result()  # a thread that a signal catches while it starts is not waited for below
        waiting = deque(pool.submit(next, items, end) for _ in range(depth))
        while True:
            item = waiting.popleft().result()
            if item is end:
                return
            waiting.append(pool.submit(next, items, end))
            yield cast(T, item)
    finally:
        pool.shutdown(cancel_futures=True)
        items.close()


def _write_part(path: Path, identity: dict[str, Any], batches: Sequence[Batch]) -> None:
    """Keep the batches so far, with what they come from, for an extraction that is interrupted."""
    times, rows = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        np.savez(file, identity=json.dumps(identity), times=times, rows=rows)


def _read_part(path: Path, identity: dict[str, Any]) -> list[Batch]:
    """Return what `_write_part` kept; nothing where the file is damaged or comes from something else."""
    with suppress(OSError, ValueError, KeyError, EOFError, BadZipFile), np.load(path) as stored:
        if str(stored["identity"]) == json.dumps(identity):
            return [(stored["times"], stored["rows"])]
    return []
