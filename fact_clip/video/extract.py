"""Videos to feature files, and to features in memory: a thread decodes while the encoder works."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError, row_times
from fact_clip.core.files import whole_file
from fact_clip.encoders import FrameEncoder
from fact_clip.video.decode import frames, probe
from fact_clip.video.source import DamagedVideoError

FORMAT = "fact-clip features 1"
BATCH = 32
Progress = Callable[[int, int, str], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """How features are made of a video.

    Args:
        fps: rows a second.
        precision: of the encoder's numbers (`Runtime.precision`); another one makes other files.
        batch: pictures encoded together.
        keep_going: take what decodes of a damaged file, with a warning.

    Raises:
        InputError: a rate or a batch that cannot be.
    """

    fps: float = 5.0
    precision: str = "float32"
    batch: int = BATCH
    keep_going: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise InputError("fps", f"{self.fps:g}", "rows a second, more than 0")
        if self.batch < 1:
            raise InputError("batch", str(self.batch), "a whole number, 1 or more")


def is_current(video: str | Path, encoder: FrameEncoder, out: str | Path, settings: Settings) -> bool:
    """Whether the features of a video lie in `out`, whole, made by this encoder at this rate of this very file."""
    video, target = Path(video), _target(Path(video), Path(out))
    try:
        known = json.loads(target.with_suffix(".json").read_text(encoding="utf-8"))
        if known["format"] != FORMAT or (known["damage"] is not None and not settings.keep_going):
            return False
        shape = (known["n_frames"], known["dim"])
        wanted = (encoder.name, settings.precision, settings.fps)
        if wanted != (known["encoder"], known["precision"], known["fps"]):
            return False
        return np.load(target, mmap_mode="r").shape == shape and _same_file(video, known["source"])
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return False


def extract(
    video: str | Path,
    encoder: FrameEncoder,
    out: str | Path,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write NAME.npy, (T, D) float16, and NAME.json beside it; row n shows what is on screen at n / fps seconds.

    The JSON tells encoder, rate, video, and when each row starts and the last ends (`core.row_times`).
    An interrupted extraction leaves NAME.part and goes on from there the next time; the files of its own name come
    last and whole. What is there and current is made anew all the same: see `is_current`.

    Args:
        video: the file.
        encoder: what makes a row of a picture.
        out: folder for the files.
        settings: see there; None: the defaults.
        progress: told (rows done, rows expected, name of the video).

    Returns:
        The path of NAME.npy.

    Raises:
        InputError: see `frames`; an encoder that does not load; a folder that cannot be written.
        DamagedVideoError: a damaged file, unless `keep_going`; nothing but NAME.part is left.
    """
    chosen, video = settings or Settings(), Path(video)
    target = _target(video, Path(out))
    seconds = probe(video).seconds
    total = round((seconds or 0) * chosen.fps)
    identity = {"format": FORMAT, "encoder": encoder.name, "precision": chosen.precision, "fps": chosen.fps}
    damage: str | None = None
    with PartialRows(target.with_suffix(".part"), {**identity, "source": _source(video)}) as rows:
        try:
            for times, features in _encoded(video, encoder, chosen, rows.count):
                rows.add(times, features)
                if progress is not None:
                    progress(rows.count, max(total, rows.count), video.name)
        except DamagedVideoError as error:
            if not chosen.keep_going or rows.count == 0:
                raise
            damage = error.found
            warnings.warn(f"{error.where}: {error.found}", stacklevel=2)
        times = row_times(rows.times(), chosen.fps, seconds).round(6).tolist()
        facts = {"dim": rows.dim, "n_frames": rows.count, "damage": damage, "video": str(video.absolute())}
        rows.finish(target, {**facts, "times": times})
    return target


@contextmanager
def extracted(
    video: str | Path, encoder: FrameEncoder, settings: Settings | None = None, progress: Progress | None = None
) -> Iterator[Path]:
    """NAME.npy of `extract` in a temporary folder ($TMPDIR), there as long as the context; arguments as there."""
    with TemporaryDirectory(prefix="fact-clip-", ignore_cleanup_errors=True) as folder:
        yield extract(video, encoder, folder, settings, progress)


def describe(features: str | Path) -> dict[str, Any]:
    """What `extract` wrote beside a feature file.

    Raises:
        InputError: there is nothing, or something else.
    """
    path = Path(features).with_suffix(".json")
    expected, todo = "what fact-clip extract writes beside features", "extract the video again"
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(path, "no such file", expected, todo) from None
    except (OSError, ValueError) as error:
        raise InputError(path, f"not readable as JSON ({error})", expected, todo) from None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise InputError(path, "another kind of file", expected, todo)
    return facts


def _target(video: Path, out: Path) -> Path:
    return out / f"{video.stem}.npy"


def _source(video: Path) -> dict[str, Any]:
    status = video.stat()
    with video.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"name": video.name, "bytes": status.st_size, "modified_ns": status.st_mtime_ns, "sha256": digest}


def _same_file(video: Path, known: dict[str, Any]) -> bool:
    status = video.stat()
    if status.st_size != known["bytes"]:
        return False
    # reading hundreds of gigabytes only to skip them would take long: an untouched file is the same
    return status.st_mtime_ns == known["modified_ns"] or _source(video)["sha256"] == known["sha256"]


def _encoded(
    video: Path, encoder: FrameEncoder, settings: Settings, first: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float16]]]:
    """(times, rows) of each batch from row `first` on."""
    encoder.load()
    lead = min(encoder.context, first)
    times: list[float] = []
    held: list[NDArray[Any]] = []  # what `encode` looks back at, then the pictures of the batch

    def rows() -> tuple[NDArray[np.float64], NDArray[np.float16]]:
        features = encoder.encode_images(np.stack(held))
        if not np.isfinite(features).all():
            raise InputError(video, f"features by {encoder.name} that are not finite", "finite numbers")
        with np.errstate(over="ignore"):
            small = features.astype(np.float16)
        limit = np.finfo(np.float16).max
        return np.array(times), np.clip(small, -limit, limit)

    skip = lead
    pictures = frames(video, fps=settings.fps, start=(first - lead) / settings.fps, size=encoder.size)
    prepared = ((picture.time, encoder.prepare(picture.image)) for picture in pictures)
    try:
        for time, picture in _ahead(prepared, 2 * settings.batch):
            if not held and not lead:
                held.extend([picture] * encoder.context)  # nothing was before the first one
            held.append(picture)
            if skip:
                skip -= 1
                continue
            times.append(time)
            if len(times) == settings.batch:
                yield rows()
                held, times = held[len(held) - encoder.context :], []
    except DamagedVideoError:
        if times:
            yield rows()
        raise
    if times:
        yield rows()


def _ahead(items: Generator[T, None, None], depth: int) -> Iterator[T]:
    """The same items, made by a thread that is up to `depth` ahead; an error comes where it arose."""
    end = object()
    pool = ThreadPoolExecutor(1)
    try:
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


_ROWS = 4096  # copied together when a file is finished


class PartialRows:
    """A file of (time, row) records behind a line of JSON that says what they are of.

    Args:
        path: the file, made where missing. One with another identity, or a damaged one, is begun anew.
        identity: what the rows hang on.

    Raises:
        InputError: a folder that cannot be written.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path, self._identity = path, dict(identity)
        self.dim = self.count = 0
        self._file: BinaryIO | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._take_up()
        except OSError as error:
            raise InputError(path, f"cannot be written ({error.strerror})", "a folder for features") from None

    def _take_up(self) -> None:
        """Count the whole records of an earlier extraction, and cut off half a one."""
        if not self.path.is_file():
            return
        with self.path.open("r+b") as file:
            line = file.readline()
            try:
                known = json.loads(line)
                dim = int(known.pop("dim"))
            except (ValueError, KeyError, TypeError, AttributeError):
                return
            if known != self._identity or dim < 1:
                return
            size = _record(dim).itemsize
            self.dim, self._offset = dim, len(line)
            self.count = (self.path.stat().st_size - len(line)) // size
            file.truncate(len(line) + self.count * size)

    def __enter__(self) -> PartialRows:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, times: NDArray[np.float64], features: NDArray[np.float16]) -> None:
        """Append N rows (N, D) and their times (N,)."""
        if self._file is None:
            if self.count == 0:
                self.dim = features.shape[1]
                line = (json.dumps({**self._identity, "dim": self.dim}) + "\n").encode()
                self.path.write_bytes(line)
                self._offset = len(line)
            self._file = self.path.open("ab")
        records = np.empty(len(times), dtype=_record(self.dim))
        records["time"], records["row"] = times, features
        self._file.write(records.tobytes())
        self._file.flush()
        self.count += len(times)

    def _records(self) -> Any:
        return np.memmap(self.path, _record(self.dim), mode="r", offset=self._offset, shape=(self.count,))

    def times(self) -> NDArray[np.float64]:
        """(T,) of the rows so far."""
        return np.array(self._records()["time"])

    def finish(self, target: Path, facts: Mapping[str, Any]) -> None:
        """Write the rows as an array (T, D) float16 to `target` and what they are to a JSON beside it; then go.

        Both are whole or not there. The description comes last: with it the features count as there.
        """
        records = self._records()
        with whole_file(target) as unfinished:
            rows = np.lib.format.open_memmap(unfinished, "w+", np.float16, (self.count, self.dim))
            for start in range(0, self.count, _ROWS):
                rows[start : start + _ROWS] = records["row"][start : start + _ROWS]
            rows.flush()
        with whole_file(target.with_suffix(".json")) as unfinished:
            unfinished.write_text(json.dumps({**self._identity, **facts}) + "\n", encoding="utf-8")
        self.path.unlink()


def _record(dim: int) -> np.dtype[Any]:
    return np.dtype([("time", "<f8"), ("row", "<f2", (dim,))])
