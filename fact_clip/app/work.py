"""Work for the page: a queue of long jobs, done one by one, and short computations with a limit on those that wait."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from fact_clip.core import InputError

logger = logging.getLogger(__name__)

T = TypeVar("T")
State = Literal["waiting", "running", "done", "failed"]


class BusyError(Exception):
    """There is too much to do already; `position` is where the request would have stood."""

    def __init__(self, position: int) -> None:
        self.position = position
        super().__init__(f"busy, place {position}")


class CancelledError(Exception):
    """A job whose video is gone."""


@dataclass(eq=False)
class Job:
    """One piece of long work."""

    owner: str  # what it is for: the id of a video, or "training"
    run: Callable[[Job], None]  # reports to the job, which asks it to stop
    state: State = "waiting"
    done: int = 0  # how far it is
    total: int = 0
    note: str = ""
    error: InputError | str = ""  # why it failed, once it did
    _stop: threading.Event = field(default_factory=threading.Event)

    def report(self, done: int, total: int, note: str = "") -> None:
        """Say how far it is; a CancelledError where it is not wanted any more."""
        self.done, self.total, self.note = done, total, note
        if self._stop.is_set():
            raise CancelledError

    def cancel(self) -> None:
        """Not wanted any more."""
        self._stop.set()

    @property
    def ended(self) -> bool:
        """Whether it is done or has failed."""
        return self.state in ("done", "failed")


class Queue:
    """Long jobs, one at a time in the order in which they came; a BusyError when `limit` of them are waiting."""

    def __init__(self, limit: int) -> None:
        self.limit, self._lock = limit, threading.Lock()
        self._jobs = dict[Job, Future[None]]()  # the one that runs, and those that wait
        self._pool = ThreadPoolExecutor(1, "fact-clip-app")

    def add(self, job: Job) -> Job:
        """Put a job at the end."""
        with self._lock:
            if len(self._jobs) > self.limit:
                raise BusyError(len(self._jobs) + 1)
            self._jobs[job] = self._pool.submit(self._work, job)
        return job

    def position(self, job: Job) -> int:
        """Return how many jobs come before it, and itself; 0 unless it is waiting."""
        with self._lock:
            return list(self._jobs).index(job) + 1 if job.state == "waiting" and job in self._jobs else 0

    def cancel(self, unwanted: Callable[[Job], bool]) -> None:
        """Drop or stop jobs."""
        with self._lock:
            for job in list(filter(unwanted, self._jobs)):
                job.cancel()
                if self._jobs[job].cancel():  # it has not begun
                    del self._jobs[job]

    def close(self) -> None:
        """Stop everything, and wait for the job that runs."""
        self.limit = -1
        self.cancel(lambda job: True)
        self._pool.shutdown()

    def _work(self, job: Job) -> None:
        job.state = "running"
        try:
            job.run(job)
            job.state = "done"
        except CancelledError:
            job.state, job.error = "failed", "stopped"
        except InputError as error:
            job.state, job.error = "failed", error
        except Exception:  # a fault of one job is logged, and the next one runs
            logger.exception("a job failed")
            job.state, job.error = "failed", "an internal error; the log of the server has it"
        with self._lock:
            del self._jobs[job]


class Quick:
    """Short computations, one at a time beside the queue; a BusyError when `limit` of them are waiting."""

    def __init__(self, limit: int) -> None:
        self.limit, self._room, self._one = limit, threading.Semaphore(limit + 1), threading.Lock()

    def run(self, function: Callable[[], T]) -> T:
        """Compute when it is the turn."""
        if not self._room.acquire(blocking=False):
            raise BusyError(self.limit + 1)
        try:
            with self._one:
                return function()
        finally:
            self._room.release()
