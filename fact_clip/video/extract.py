"""Videos to feature files: a thread decodes while the encoder works, and what was interrupted goes on later."""

from __future__ import annotations

import hashlib
import json
import logging
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError, row_times
from fact_clip.core.arguments import checked, number_of, whole_of
from fact_clip.core.io import read_mapping
from fact_clip.core.messages import Pace, paced
from fact_clip.core.paths import check_place, file_name, inside, lock, whole_file
from fact_clip.core.segments import LEAST_FPS
from fact_clip.encoders import FrameEncoder
from fact_clip.video.decode import DamagedVideoError, frames, probe

logger = logging.getLogger(__name__)

FORMAT = "fact-clip features 1"
_MAX_FPS = 1000  # rows a second; times in files are in milliseconds
Progress = Callable[[int, int, str], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """How features are made from a video."""

    fps: float = 5.0  # rows per second
    batch: int = 32  # pictures encoded together
    keep_going: bool = False  # take what decodes of a damaged file, with a warning

    def __post_init__(self) -> None:
        number_of(self.fps, "fps", f"rows a second, from {LEAST_FPS:g} to {_MAX_FPS}", LEAST_FPS, _MAX_FPS)
        whole_of(self.batch, "batch", 1, 10_000)


@dataclass(frozen=True)
class Extracted:
    """What became of a list of videos: extracted, skipped because their features were current, or an error."""

    written: list[Path] = field(default_factory=list)
    current: list[Path] = field(default_factory=list)
    failed: list[InputError] = field(default_factory=list)


@checked
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


@checked
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
        logger.warning("%s: %g rows a second of %.4g pictures a second, so rows repeat", video, chosen.fps, info.fps)
    identity = {"format": FORMAT, "encoder": encoder.name, "precision": precision_of(encoder), "fps": chosen.fps}
    damage: str | None = None
    part, sidecar = (inside(target.parent, f"{target.stem}{ending}") for ending in (".part", ".json"))
    for written_path in (target, part, sidecar):
        check_place(written_path)
    foreign = target if target.is_file() and not sidecar.is_file() else None
    with suppress(InputError):  # a damaged description is made anew
        if sidecar.is_file() and read_mapping(sidecar, "a description").get("format") != FORMAT:
            foreign = sidecar
    if foreign is not None and not part.is_file():
        raise InputError(foreign, "fact-clip extract did not make this file", "move it, or name another --out")
    with PartialRows(part, {**identity, "source": _source(video)}) as rows:
        if rows.count:
            logger.info("%s: continued at row %d", video, rows.count)
        try:
            pace = Pace(rows.count, tenths=False)
            for times, features in _encoded(video, encoder, chosen, rows.count):
                rows.add(times, features)
                if pace.is_due(rows.count, expected):
                    left = pace.left(rows.count, expected)
                    logger.info("%s: %d of about %d rows, %s left", video, rows.count, expected, left)
                if progress is not None:
                    progress(rows.count, max(expected, rows.count), video.name)
        except DamagedVideoError as error:
            if not chosen.keep_going or rows.count == 0:
                rows.discard()  # nothing can continue: the same call would fail again
                raise
            damage = error.problem
            warnings.warn(f"{error.where}: {error.problem}", stacklevel=2)
        times = row_times(rows.times(), chosen.fps, info.seconds).round(6).tolist()
        facts = {"dim": rows.dim, "n_frames": rows.count, "damage": damage}
        rows.finish(target, {**facts, "video": str(video.absolute()), "video_fps": info.fps, "times": times})
    logger.debug("%s: %d rows in %.1f s", video, rows.count, time.monotonic() - began)
    return target


@contextmanager
def extracted(
    video: str | Path, encoder: FrameEncoder, settings: Settings | None = None, progress: Progress | None = None
) -> Iterator[Path]:
    """Give NAME.npy of `extract` in a temporary folder ($TMPDIR), which is removed at the end of the context."""
    with TemporaryDirectory(prefix="fact-clip-", ignore_cleanup_errors=True) as folder:
        yield extract(video, encoder, folder, settings, progress)


def describe(features: str | Path) -> dict[str, Any]:
    """Return what `extract` wrote beside a feature file; an InputError where it did not write it."""
    path = Path(features).with_suffix(".json")
    facts: dict[str, Any] = read_mapping(path, "what fact-clip extract writes beside features")
    if facts.get("format") != FORMAT:
        raise InputError(path, "fact-clip extract did not write this file", "extract the video again")
    return facts


def precision_of(encoder: FrameEncoder) -> str:
    """The precision that an encoder computes in; features of another one count as other features."""
    return str(getattr(encoder, "precision", "float32"))


def is_current(video: str | Path, encoder: FrameEncoder, out: str | Path, settings: Settings) -> bool:
    """Whether `out` holds complete features that this encoder made from this very file at this rate."""
    video = Path(video)
    target = Path(out) / f"{file_name(video.stem)}.npy"
    try:
        facts = describe(target)
        made_by = (facts["encoder"], facts["precision"], facts["fps"])
        return (
            (settings.keep_going or facts["damage"] is None)
            and made_by == (encoder.name, precision_of(encoder), settings.fps)
            and np.load(target, mmap_mode="r").shape == (facts["n_frames"], facts["dim"])
            and _same_file(video, facts["source"])
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return False


def _source(video: Path) -> dict[str, Any]:
    status = video.stat()
    with video.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"name": video.name, "bytes": status.st_size, "modified_ns": status.st_mtime_ns, "sha256": digest}


def _same_file(video: Path, recorded: dict[str, Any]) -> bool:
    status = video.stat()
    # an untouched file is the same: reading hundreds of gigabytes only to skip them would take long
    is_untouched = status.st_mtime_ns == recorded["modified_ns"]
    return status.st_size == recorded["bytes"] and (is_untouched or _source(video)["sha256"] == recorded["sha256"])


def _encoded(
    video: Path, encoder: FrameEncoder, settings: Settings, first: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float16]]]:
    """Yield (times, rows) of each batch from row `first` on."""
    encoder.load()
    encode, lead = RowEncoder(encoder, video), min(encoder.context, first)
    times: list[float] = []
    batch: list[NDArray[Any]] = []
    skip = lead
    damage: DamagedVideoError | None = None
    # from the beginning and not by a seek, which would miss what does not decode before
    pictures = frames(video, fps=settings.fps, size=encoder.size)
    prepared = ((picture.time, encoder.prepare(picture.image)) for picture in islice(pictures, first - lead, None))
    try:
        for shown_at, picture in _ahead(prepared, 2 * settings.batch):
            if skip:
                encode.before.append(picture)
                skip -= 1
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
            raise InputError(self._where, f"the encoder {self._encoder.name} gives NaN or infinities")
        limit = np.finfo(np.float16).max
        return np.clip(features, -limit, limit).astype(np.float16)


def _ahead(items: Generator[T, None, None], depth: int) -> Iterator[T]:
    """Yield the same items, made by a thread that is up to `depth` ahead; an error keeps its place in the order."""
    end = object()
    pool = ThreadPoolExecutor(1)
    try:
        pool.submit(int).result()  # a thread that a signal catches while it starts is not waited for below
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


_ROWS = 4096  # copied at once when a file is finished


class PartialRows:
    """Keeps (time, row) records in a file, after a line of JSON, `identity`, that says what they come from.

    A file that is damaged or has another identity is overwritten; one that another extraction writes is an InputError.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path, self._identity = path, dict(identity)
        self.dim = self.count = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
        except OSError as error:
            raise InputError(path, f"cannot be written ({error.strerror})") from None
        if not lock(self._file.fileno()):
            self._file.close()
            raise InputError(path, "another extraction is writing it", "wait for it")
        # Count the complete records of an earlier extraction, and cut off an incomplete one.
        self._file.seek(0)
        line = self._file.readline()
        try:
            dim = int(json.loads(line)["dim"])
        except (ValueError, KeyError, TypeError):
            return
        if line == self._header(dim) and dim > 0:
            size = _record(dim).itemsize
            self.dim, self._offset = dim, len(line)
            self.count = (self.path.stat().st_size - len(line)) // size
            self._file.truncate(len(line) + self.count * size)

    def _header(self, dim: int) -> bytes:
        return (json.dumps({**self._identity, "dim": dim}) + "\n").encode()

    def __enter__(self) -> PartialRows:
        return self

    def __exit__(self, *error: object) -> None:
        if self.count == 0 and self.path.is_file() and self.path.stat().st_size == 0:
            self.path.unlink()
        with suppress(OSError):  # said where it was written
            self._file.close()

    def add(self, times: NDArray[np.float64], features: NDArray[np.float16]) -> None:
        """Append N rows (N, D) and their times (N,); an InputError where the disk is full."""
        try:
            if self.count == 0:
                self.dim = features.shape[1]
                self._file.truncate(0)
                self._offset = self._file.write(self._header(self.dim))
            records = np.empty(len(times), dtype=_record(self.dim))
            records["time"], records["row"] = times, features
            self._file.write(records.tobytes())
            self._file.flush()
        except OSError as error:
            raise InputError(self.path, f"cannot be written ({error.strerror})") from None
        self.count += len(times)

    def discard(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)
        self.count = 0

    def _records(self) -> Any:
        return np.memmap(self.path, _record(self.dim), mode="r", offset=self._offset, shape=(self.count,))

    def times(self) -> NDArray[np.float64]:
        """Return the times (T,) of the rows so far."""
        return np.array(self._records()["time"])

    def finish(self, target: Path, facts: Mapping[str, Any]) -> None:
        """Write the rows as an array (T, D) float16, and last what they are, in a JSON file that completes them."""
        records = self._records()
        with whole_file(target) as unfinished:
            # not through a memory map, which ends the process by SIGBUS where the disk is full
            kind = {"descr": "<f2", "fortran_order": False, "shape": (self.count, self.dim)}
            with unfinished.open("wb") as file:
                np.lib.format.write_array_header_1_0(file, kind)
                for start in range(0, self.count, _ROWS):
                    file.write(records["row"][start : start + _ROWS].tobytes())
        with whole_file(inside(target.parent, f"{target.stem}.json")) as unfinished:
            unfinished.write_text(json.dumps({**self._identity, **facts}) + "\n", encoding="utf-8")
        self.path.unlink()


def _record(dim: int) -> np.dtype[Any]:
    return np.dtype([("time", "<f8"), ("row", "<f2", (dim,))])
