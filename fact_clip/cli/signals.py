"""Signals that end a command in the same way as Ctrl-C."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE = 4.0
"""Seconds that a command has for cleaning up after a signal."""


class InterruptedCommandError(Exception):
    """Raised if a command was interrupted. The text explains how to resume it."""


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Raise KeyboardInterrupt in the block on SIGINT, SIGTERM and SIGHUP.

    The context yields a list, to which received signals are added. A signal that is ignored, such
    as SIGHUP under nohup, stays ignored. If the block has not ended after `PATIENCE` seconds, the
    process exits at once. This is safe, because files are written atomically and the processes of
    ensemble members end with their parent.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def exit_now() -> None:
        print("fact-clip: interrupted", file=sys.stderr, flush=True)
        os._exit(128 + received[0])

    timer = threading.Timer(PATIENCE, exit_now)
    timer.daemon = True
    own_pid = os.getpid()

    def interrupt(number: int, frame: object) -> None:
        if os.getpid() != own_pid:  # a data loader process that was forked from this one
            raise KeyboardInterrupt
        if received:  # the command is already ending
            return
        received.append(number)
        timer.start()
        raise KeyboardInterrupt

    default_handlers = (signal.SIG_DFL, signal.default_int_handler)
    replaced = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) in default_handlers:
            replaced[number] = signal.signal(number, interrupt)
    try:
        yield received
    finally:
        timer.cancel()
        for number, handler in replaced.items():
            signal.signal(number, handler)
