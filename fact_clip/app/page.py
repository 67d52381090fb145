"""The page without its answers: what it was started with, its sessions and its queue."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fact_clip.app.engine import Engine
from fact_clip.app.sessions import Limits, Session, Sessions
from fact_clip.app.training_set import TrainingSet
from fact_clip.app.work import Queue, Quick
from fact_clip.run import Run


@dataclass(frozen=True)
class Options:
    """What the page was started with."""

    token: str  # opens the page; part of the address
    host: str  # name or address that it listens on
    command: tuple[str, ...]  # ``fact-clip segment`` with its model; the page shows it with the rest
    training_set: Path | None = None  # folder that corrected videos may be added to
    run: Path | None = None  # run folder of the model; None: it was not trained
    limits: Limits = field(default_factory=Limits)
    actions: tuple[str, ...] | None = None  # names that a session begins with; None: those of the model


class Page:
    """The models, the sessions and the work of a page."""

    def __init__(self, engine: Engine, options: Options) -> None:
        self.engine, self.options, self.limits = engine, options, options.limits
        run = None if options.run is None else Run.read(options.run)
        self.training_set = None if options.training_set is None else TrainingSet(options.training_set, run)
        self.queue, self.quick = Queue(self.limits.waiting), Quick(self.limits.quick)
        self.sessions = Sessions(self.limits, self._ended)
        self.uploads = 0

    def _ended(self, session: Session) -> None:
        self.queue.cancel(lambda job: job.owner == session.id)
        self.engine.forget(session.videos.values())

    def close(self) -> None:
        """Stop all work and remove all files."""
        self.queue.close()
        self.sessions.close()
