"""What all commands do alike: signals, exit codes, progress and messages on stderr, plain tables on stdout."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper

import typer

from fact_clip.core.errors import Argument, CommandOption, InputError
from fact_clip.core.messages import printable, shortened

PATIENCE = 4.0  # Seconds that a command has to clean up after a signal


class InterruptedCommandError(Exception):
    """A command was interrupted; the text says how to go on."""


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Let SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt in the block; give the list of those that came.

    A signal that is ignored, as SIGHUP under nohup, stays so. Where the block has not ended after `PATIENCE`, the
    process ends as it is: files are written whole or not at all, and members of an ensemble end with it.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def give_up() -> None:
        print("fact-clip: interrupted", file=sys.stderr, flush=True)
        os._exit(128 + came[0])

    timer, owner = threading.Timer(PATIENCE, give_up), os.getpid()
    timer.daemon = True

    def end(number: int, frame: object) -> None:
        if os.getpid() == owner:  # else a process that reads videos, which was forked from this one
            if came:  # it is ending
                return
            came.append(number)
            timer.start()
        raise KeyboardInterrupt

    numbers = [
        getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
    ]
    usual = (signal.SIG_DFL, signal.default_int_handler)
    before = {
        number: signal.signal(number, end)
        for number in numbers
        if signal.getsignal(number) in usual
    }
    try:
        yield came
    finally:
        timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def answered(command: Callable[[], object], *, leave: bool = False) -> int:
    """Run a command and give back its exit code: 0 or its own, 2 for bad input, 130 for Ctrl-C, 143 for SIGTERM.

    Bad input, an interruption and warnings are lines on stderr, and so is what a recipe leaves to the data; what else
    the library logs, where no progress bar is shown there. With `leave` a signal ends the process here, because the
    libraries take a while to say goodbye.
    """
    hint, code = "", 128 + int(signal.SIGINT)
    with interruptible() as came:
        try:
            code = _answered(command)
        except InterruptedCommandError as error:
            hint = f"; {error}"
        except KeyboardInterrupt:
            pass
        if (
            code == 128 + signal.SIGINT
        ):  # typer makes this code of an interruption that no command has caught
            if not is_secondary():
                print(f"fact-clip: interrupted{hint}", file=sys.stderr)
            code = 128 + (came[0] if came else signal.SIGINT)
    if came and leave:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _answered(command: Callable[[], object]) -> int:
    logger, lines = logging.getLogger("fact_clip"), _Lines()
    if not is_secondary():
        logging.getLogger("fact_clip.training.plan").setLevel(logging.INFO)
    if logging.lastResort is not None:  # what libraries log where nobody listens
        logging.lastResort.setLevel(logging.ERROR)
    if isinstance(sys.stdout, TextIOWrapper):  # a name may have signs that the terminal has not
        sys.stdout.reconfigure(errors="backslashreplace")
    before = logger.level, logger.propagate
    logger.addHandler(lines)
    logger.setLevel(logging.WARNING if sys.stderr.isatty() or is_secondary() else logging.INFO)
    logger.propagate = (
        False  # some libraries give the root logger a handler, which would repeat each line
    )
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: logger.warning("%s", message)
            code = command()
        return code if isinstance(code, int) else 0
    except InputError as error:
        from fact_clip.core.decode_settings import CONTROLS

        # what the library calls by its key or argument has an option here
        options = {name: f"--{name}" for name in ("device", "prompts", "smoothing", "fps", "batch")}
        options |= {name: control.option for name, control in CONTROLS.items()}
        is_argument = isinstance(error.where, Argument) and error.where in options
        message = str(error.at(CommandOption(options[str(error.where)])) if is_argument else error)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        program = context.command_path if context is not None else "fact-clip"
        complaint = (
            " ".join(error.format_message().split()).rstrip(".").replace("Value error, ", "")
        )
        message = f"{shortened(complaint)}; see {program} --help"
    except OSError as error:
        file = (
            "the output" if error.filename is None else str(error.filename)
        )  # files of ours have names
        message = f"{shortened(file)}: {error.strerror or error}"
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate" not in str(
            error
        ):  # torch has no class for it on the CPU
            raise
        reason = shortened((str(error).splitlines() or ["no more is known"])[0])
        fix = "smaller train.batch_size, model.tokens or decode.window take less"
        message = f"not enough memory for this input ({reason}); {fix}"
    finally:
        logger.removeHandler(lines)
        logger.setLevel(before[0])
        logger.propagate = before[1]
    with suppress(OSError):  # where stderr is full or closed the exit code says it
        print(f"fact-clip: {printable(message)}", file=sys.stderr, flush=True)
    return 2


def is_secondary() -> bool:
    """Whether this is one of several processes of torchrun, and not the first, which alone prints."""
    return os.environ.get("RANK", "") not in ("", "0")


class _Lines(logging.Handler):
    """Log records as lines on stderr, looked up anew for each: a progress bar takes it over while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "fact-clip: warning: " if record.levelno >= logging.WARNING else ""
        print(prefix + printable(record.getMessage()), file=sys.stderr)


Progress = Callable[[int, int, str], None]


@contextmanager
def progress(title: str) -> Iterator[Progress | None]:
    """A progress bar on stderr, as a function of (done, total, text); None where stderr is not a terminal."""
    with bars(title) as (bar,):
        yield bar


@contextmanager
def bars(*titles: str) -> Iterator[Sequence[Progress | None]]:
    """Several progress bars, one below the other."""
    if not sys.stderr.isatty() or is_secondary():
        yield [None] * len(titles)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    name, note = (
        TextColumn(f"{{task.{what}}}", markup=False) for what in ("description", "fields[note]")
    )
    columns = (name, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), note)
    with Bars(*columns, console=Console(stderr=True), transient=True) as shown:

        def bar(title: str) -> Progress:
            task = shown.add_task(title, total=None, note="")
            return lambda done, total, text: shown.update(
                task, completed=done, total=total, note=text
            )

        yield [bar(title) for title in titles]


def note(*lines: str) -> None:
    """Print lines on stderr."""
    for line in lines:
        print(line, file=sys.stderr)


def table(rows: Sequence[Mapping[str, object]], digits: int = 1) -> str:
    """Return rows as aligned text under their keys: numbers to the right, with `digits` decimals, and "-" for None."""
    keys = list(rows[0]) if rows else []
    lines = [keys, *([_cell(row[key], digits) for key in keys] for row in rows)]
    numeric = [
        all(row[key] is None or isinstance(row[key], int | float) for row in rows) for key in keys
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    signs = [
        f"{'>' if is_number else '<'}{width}"
        for is_number, width in zip(numeric, widths, strict=True)
    ]
    texts = ("  ".join(map(format, line, signs)).rstrip() for line in lines)
    return "\n".join(texts)


def _cell(value: object, digits: int) -> str:
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value)) or None
    return (
        "-"
        if value is None
        else f"{value:.{digits}f}"
        if isinstance(value, float)
        else printable(str(value))
    )


def figures_table(head: str, rows: Mapping[str, Mapping[str, float]], keys: Sequence[str]) -> str:
    """Return a row for each run or model, under `head`, with some of its figures in percent."""
    from fact_clip.metrics.report import figure_name

    return table(
        [
            {head: name, **{figure_name(key): row.get(key) for key in keys}}
            for name, row in rows.items()
        ]
    )


def print_result(result: object, text: str, as_json: bool) -> None:
    """Print a result as JSON, or as its text."""
    print(json.dumps(result, indent=2) if as_json else text)
