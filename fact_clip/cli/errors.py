"""Execution of a command: exit codes, and errors, warnings and logs as lines on stderr."""

import logging
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper

try:
    from typer import TyperException as UsageException
except ImportError:  # typer versions that depend on click
    from click import ClickException as UsageException  # type: ignore[assignment]

from fact_clip.cli.console import is_secondary
from fact_clip.cli.signals import InterruptedCommandError, interruptible
from fact_clip.core.errors import InputError
from fact_clip.core.messages import printable, shortened

INTERRUPTED = 128 + int(signal.SIGINT)

_SAME_NAMES = (
    "actions batch device encoder fps gamma kind license memory out overwrite "
    "precision reject resume smoothing switch_penalty timeout trust_encoder window"
)
OPTIONS = {name: f"--{name.replace('_', '-')}" for name in _SAME_NAMES.split()}
OPTIONS |= {"threshold": "--background-threshold", "shortest": "--minimal-duration"}
"""Argument of the library -> the option that sets it."""

# Matches arguments in error messages of the library, such as "fps=" and "resume=True".
_ARGUMENT = re.compile(r"\b([a-z_]+)=(True\b|(?![\w'\"]))")


def run_command(command: Callable[[], object], *, leave: bool = False) -> int:
    """Run a command and return its exit code.

    Args:
        command: Function to run. If it returns an integer, this is the exit code.
        leave: Whether to exit the process here after a signal, because libraries shut down slowly.

    Returns:
        0 or the code of the command, 2 for bad input, or 128 + signal after a signal (130 for
        Ctrl-C, 143 for SIGTERM).
    """
    hint = ""
    with interruptible() as received:
        try:
            code = _exit_code(command)
        except InterruptedCommandError as error:
            code = INTERRUPTED
            hint = f"; {error}"
        except KeyboardInterrupt:
            code = INTERRUPTED
        if code == INTERRUPTED:  # typer also returns this code for an interruption
            if not is_secondary():
                print(f"fact-clip: interrupted{hint}", file=sys.stderr)
            code = 128 + (received[0] if received else signal.SIGINT)
    if received and leave:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _exit_code(command: Callable[[], object]) -> int:
    if isinstance(sys.stdout, TextIOWrapper):  # the terminal may lack characters of a name
        sys.stdout.reconfigure(errors="backslashreplace")
    with _logs_on_stderr():
        try:
            code = command()
        except (InputError, UsageException, OSError, MemoryError, RuntimeError) as error:
            message = error_message(error)
            if message is None:
                raise
            with suppress(OSError):  # stderr may be full or closed
                print(f"fact-clip: {printable(message)}", file=sys.stderr, flush=True)
            return 2
    return code if isinstance(code, int) else 0


def error_message(error: Exception) -> str | None:
    """Return the line that reports an error to the user, or None for a bug in the program."""
    if isinstance(error, InputError):
        if isinstance(error.where, str) and error.where in OPTIONS:
            error = error.at(OPTIONS[error.where])
        return with_options(str(error))
    if isinstance(error, UsageException):
        context = getattr(error, "ctx", None)
        program = "fact-clip" if context is None else context.command_path
        complaint = " ".join(error.format_message().split()).rstrip(".")
        return f"{shortened(complaint.replace('Value error, ', ''))}; see {program} --help"
    if isinstance(error, OSError):
        # Errors in files of this package contain the file name.
        file = "the output" if error.filename is None else str(error.filename)
        return f"{shortened(file)}: {error.strerror or error}"
    if isinstance(error, MemoryError) or "allocate" in str(error):  # torch raises RuntimeError
        reason = shortened((str(error).splitlines() or ["no details are known"])[0])
        fix = "use a smaller train.batch_size, model.tokens or decode.window"
        return f"not enough memory for this input ({reason}); {fix}"
    return None


def with_options(message: str) -> str:
    """Return a message of the library in which options replace the names of arguments."""
    return _ARGUMENT.sub(lambda argument: OPTIONS.get(argument[1], argument[0]), message)


@contextmanager
def _logs_on_stderr() -> Iterator[None]:
    """Print warnings and log records of the package on stderr while the block runs.

    Decisions of the training plan are always printed. Other information is printed only if no
    progress bar is shown.
    """
    logger = logging.getLogger("fact_clip")
    level = logger.level
    propagate = logger.propagate
    for name in ("fact_clip_app", "fact_clip_batch", "fact_clip_compat"):
        logging.getLogger(name).parent = logger
    handler = _Lines()
    if not is_secondary():
        logging.getLogger("fact_clip.training.runs").setLevel(logging.INFO)
    if logging.lastResort is not None:  # the handler that prints the logs of libraries
        logging.lastResort.setLevel(logging.ERROR)
    logger.addHandler(handler)
    has_bars = sys.stderr.isatty() or is_secondary()
    logger.setLevel(logging.WARNING if has_bars else logging.INFO)
    logger.propagate = False  # a library may add a root handler, which would repeat each line
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: logger.warning("%s", message)
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


class _Lines(logging.Handler):
    """Print log records on the current stderr, which a progress bar replaces while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "fact-clip: warning: " if record.levelno >= logging.WARNING else ""
        print(prefix + printable(with_options(record.getMessage())), file=sys.stderr)
