"""Ctrl-C, SIGTERM and SIGHUP end a command soon, with one line, and with the exit code that shells give for them."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE = 4.0
"""Seconds that a command has to clean up after a signal."""


class InterruptedCommandError(Exception):
    """A command was interrupted; the text says how to go on."""


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """The three signals raise KeyboardInterrupt in the block; gives the list of those that came.

    A signal that is ignored, as SIGHUP under nohup, stays so. Where the block has not ended after `PATIENCE`, the
    process ends as it is: files are written whole or not at all, and members of an ensemble end with it.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    clock, owner = list[threading.Timer](), os.getpid()

    def give_up(number: int) -> None:
        print("fact-clip: interrupted", file=sys.stderr, flush=True)
        os._exit(128 + number)

    def end(number: int, frame: object) -> None:
        if os.getpid() != owner:  # a process that reads videos, which was forked from this one and has its handlers
            raise KeyboardInterrupt
        if came:  # it is ending
            return
        came.append(number)
        clock.append(threading.Timer(PATIENCE, give_up, [number]))
        clock[0].daemon = True
        clock[0].start()
        raise KeyboardInterrupt

    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]  # Windows has no SIGHUP
    usual = (signal.SIG_DFL, signal.default_int_handler)
    before = {number: signal.signal(number, end) for number in numbers if signal.getsignal(number) in usual}
    try:
        yield came
    finally:
        for signal_ in clock:
            signal_.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
