"""Work of the page: a queue of long jobs, and short computations one at a time."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from fact_clip.core import InputError, Segmentation

logger = logging.getLogger(__name__)

T = TypeVar("T")

STOPPED = "stopped"
"""The error of a job that was cancelled."""


class BusyError(Exception):
    """Raised when too much is waiting. `position` is where the request would have stood."""

    def __init__(self, position: int) -> None:
        self.position = position
        super().__init__(f"waiting, place {position} in line")


class CancelledError(Exception):
    """Raised in a job that is to stop."""


@dataclass(eq=False)
class Job:
    """One piece of long work and its progress."""

    owner: str  # the id of a video or of a segmentation, or "training"
    # It must report often, since reports raise CancelledError.
    run: Callable[["Job"], object] = lambda job: None
    drop: Callable[[], object] = lambda: None  # in place of `run`, if it is cancelled before
    state: Literal["waiting", "running", "done", "failed"] = "waiting"
    done: int = 0
    total: int = 0
    note: str = ""
    error: InputError | str = ""  # of a failed job
    segmentation: Segmentation | None = None  # of a job that segments
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def is_over(self) -> bool:
        """Return whether it is done or has failed."""
        return self.state in ("done", "failed")

    def report(self, done: int, total: int, note: str = "") -> None:
        """Set the progress. Raise CancelledError if the job is to stop."""
        self.done = done
        self.total = total
        self.note = note
        if self.stop.is_set():
            raise CancelledError


class Queue:
    """Long jobs, run one at a time in their order. BusyError when `limit` of them are waiting."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._jobs: dict[Job, Future[None]] = {}  # running and waiting
        self._added = 0  # jobs so far
        self._pool = ThreadPoolExecutor(1, "fact-clip-app")

    def add(self, job: Job) -> Job:
        """Append a job."""
        with self._lock:
            if len(self._jobs) > self.limit:
                raise BusyError(len(self._jobs) + 1)
            self._jobs[job] = self._pool.submit(self._work, job)
            self._added += 1
        return job

    def position(self, job: Job) -> int:
        """Return the position of a waiting job, from 1, or 0 if it is not waiting."""
        with self._lock:
            if job.state != "waiting" or job not in self._jobs:
                return 0
            return list(self._jobs).index(job) + 1

    def stamp(self) -> str:
        """Return a text that changes with each job, and when a job has come and gone."""
        with self._lock:
            jobs = [(job.owner, job.state, job.done, job.note) for job in self._jobs]
            return repr((self._added, jobs))

    def cancel(self, matches: Callable[[Job], bool]) -> None:
        """Drop waiting jobs that match, and stop the running one."""
        with self._lock:
            for job in list(filter(matches, self._jobs)):
                job.stop.set()
                if self._jobs[job].cancel():  # it was waiting
                    del self._jobs[job]
                    job.state = "failed"
                    job.error = STOPPED
                    job.drop()

    def close(self) -> None:
        """Cancel all jobs and wait for the running one."""
        self.limit = -1
        self.cancel(lambda job: True)
        self._pool.shutdown()

    def _work(self, job: Job) -> None:
        job.state = "running"
        try:
            job.run(job)
            job.state = "done"
        except CancelledError:
            job.error = STOPPED
        except InputError as error:
            job.error = error
        except Exception:  # a fault of one job must not stop the queue
            logger.exception("a job failed")
            job.error = "an internal error; the log of the server has it"
        if job.error:
            job.state = "failed"
        with self._lock:
            del self._jobs[job]


class Quick:
    """Short computations, run one at a time. BusyError when `limit` of them are waiting."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._room = threading.Semaphore(limit + 1)
        self._turn = threading.Lock()

    def run(self, function: Callable[[], T]) -> T:
        """Wait for a turn and return the result of a function."""
        if not self._room.acquire(blocking=False):
            raise BusyError(self.limit + 1)
        try:
            with self._turn:
                return function()
        finally:
            self._room.release()
