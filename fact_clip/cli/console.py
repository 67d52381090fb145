"""What all commands share: arguments, progress and messages on stderr, plain tables on stdout, exit codes."""

from __future__ import annotations

import csv
import difflib
import functools
import inspect
import json
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fact_clip.cli.signals import InterruptedCommandError, interruptible
from fact_clip.core.errors import InputError
from fact_clip.core.messages import describe_invalid_name, is_name, printable, shortened

if TYPE_CHECKING:
    from fact_clip.config import DataConfig


def _recipe_names(begun: str) -> list[str]:
    from fact_clip.config import recipes

    return [name for name in recipes() if name.startswith(begun)]


Recipe = Annotated[
    str,
    typer.Argument(
        metavar="CONFIG",
        help="A recipe by name (docs/configuration.md lists them), or a YAML file.",
        autocompletion=_recipe_names,
    ),
]
DataSet = Annotated[
    str,
    typer.Argument(metavar="NAME|DIR", help="A recipe or data set by name, a YAML file, or the folder of a data set."),
]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings, such as data.root=FOLDER train.epochs=20.")
]
KeepGoing = Annotated[bool, typer.Option("--keep-going", help="Take what decodes of a damaged video, with a warning.")]
TrustEncoder = Annotated[
    bool, typer.Option("--trust-encoder", help="Load an encoder that the run names by a path of this machine.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Precision = Annotated[
    Literal["auto", "float32", "bf16"],
    typer.Option(help="auto: bf16 for an encoder of pictures where the device computes in it, float32 for the model."),
]


def with_decode_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each field of `DecodeSettings`, in the place of its parameter `settings`."""
    from fact_clip.core.decode_settings import CONTROLS, DecodeSettings

    @functools.wraps(command)
    def wrapper(**values: Any) -> None:
        settings = DecodeSettings(**{name: values.pop(name) for name in CONTROLS})
        command(settings=settings, **values)

    parameters = list[inspect.Parameter]()
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        if parameter.name != "settings":
            parameters.append(parameter)
            continue
        for name, control in CONTROLS.items():
            option = typer.Option(control.option, help=DecodeSettings.model_fields[name].description)
            kind = Annotated[float | None, option]
            parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind))
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return wrapper


def _option_of(where: str) -> str | None:
    """The option by which a setting is called on the command line that an error of the library names."""
    from fact_clip.core.decode_settings import CONTROLS

    if where in CONTROLS:
        return CONTROLS[where].option
    return f"--{where}" if where in ("device", "prompts", "smoothing", "fps", "batch") else None


def answered(command: Callable[[], object], *, leave: bool = False) -> int:
    """Run a command and give back its exit code: 0 or its own, 2 for bad input, 130 for Ctrl-C, 143 for SIGTERM.

    Bad input, an interruption and warnings are lines on stderr, and so is what a recipe leaves to the data; what else
    the library logs, where no progress bar is shown there. With `leave` a signal ends the process here, because the
    libraries take a while to say goodbye.
    """
    hint = ""
    with interruptible() as came:
        try:
            code = _answered(command)
        except InterruptedCommandError as error:
            code, hint = 128 + signal.SIGINT, f"; {error}"
        except KeyboardInterrupt:
            code = 128 + signal.SIGINT
        if code == 128 + signal.SIGINT:  # typer makes this code of an interruption that no command has caught
            if not is_secondary():
                print(f"fact-clip: interrupted{hint}", file=sys.stderr)
            code = 128 + (came[0] if came else signal.SIGINT)
    if came and leave:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _answered(command: Callable[[], object]) -> int:
    """The exit code of a command that is not interrupted."""
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
    logger.propagate = False  # some libraries give the root logger a handler, which would repeat each line
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: logger.warning("%s", message)
            warnings.simplefilter("ignore", SyntaxWarning)  # of NumPy, which reads headers as Python does
            code = command()
    except InputError as error:
        where = _option_of(str(error.where))
        return _refuse(str(error if where is None else error.at(where)))
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        program = context.command_path if context is not None else "fact-clip"
        return _refuse(f"{shortened(_complaint(error))}; see {program} --help")
    except OSError as error:
        where = "the output" if error.filename is None else str(error.filename)  # files of ours have names
        return _refuse(f"{shortened(where)}: {error.strerror or error}")
    except RecursionError as error:
        return _refuse(f"not enough room on Python's stack for this input ({shortened(str(error))})")
    except (MemoryError, RuntimeError) as error:
        said = (str(error).splitlines() or [""])[0]
        if isinstance(error, RuntimeError) and "allocate" not in said:  # torch has no class for it on the CPU
            raise
        fix = "smaller train.batch_size, model.tokens or decode.window take less"
        return _refuse(f"not enough memory for this input ({shortened(said) or 'no more is known'}); {fix}")
    finally:
        logger.removeHandler(lines)
        logger.setLevel(before[0])
        logger.propagate = before[1]
    return code if isinstance(code, int) else 0


def _complaint(error: typer.TyperException) -> str:
    """What typer says of a word, with the value of an option, which it leaves out."""
    said = " ".join(error.format_message().split()).rstrip(".").replace("Value error, ", "")
    details = getattr(error.__cause__, "errors", None)  # of pydantic, by which typer reads values
    return said if details is None else said.replace("Input should be", f"{details()[0]['input']!r}; expected")


def is_secondary() -> bool:
    """Whether this is one of several processes of torchrun, and not the first, which alone prints."""
    return os.environ.get("RANK", "") not in ("", "0")


class _Lines(logging.Handler):
    """Log records as lines on stderr, looked up anew for each: a progress bar takes it over while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        prefix = "fact-clip: warning: " if record.levelno >= logging.WARNING else ""
        print(prefix + printable(record.getMessage()), file=sys.stderr)


def _refuse(message: str) -> int:
    with suppress(OSError):  # where stderr is full or closed the exit code says it
        print(f"fact-clip: {printable(message)}", file=sys.stderr, flush=True)
    return 2


def data_config(data: str, overrides: list[str] | None) -> DataConfig:
    """The data settings of a recipe, of an entry of datasets/benchmarks.py, or of a folder.

    A folder with a ``recipe.yaml`` is read as that says, unless ``data.name`` says what it is.
    """
    from fact_clip.config import Config, recipes
    from fact_clip.datasets.benchmarks import BENCHMARKS

    settings = overrides or []
    if data in recipes():
        return Config.load(data, settings).data
    if Path(data).is_dir():
        recipe_path = Path(data) / "recipe.yaml"
        names_data = any(override.startswith("data.name=") for override in settings)
        recipe = recipe_path if recipe_path.is_file() and not names_data else "folder"
        if recipe == recipe_path:
            root = Config.load(recipe_path).data.root
            if root is not None and Path(root).resolve() != Path(data).resolve():
                text = f"{recipe_path}: data.root is {root}, not this folder"
                warnings.warn(f"{text}; a training with this recipe reads that one", stacklevel=2)
        return Config.load(recipe, [f"data.root={json.dumps(data)}", *settings]).data
    if data in BENCHMARKS:
        return Config.load("folder", [f"data.name={data}", *settings]).data
    if not data.endswith((".yaml", ".yml")):
        problem = "a file" if Path(data).is_file() else "no such folder" if "/" in data else "no such folder or recipe"
        near = difflib.get_close_matches(data[:100], [*recipes(), *BENCHMARKS], n=1)
        expected = "a data set: mapping.txt, groundTruth, features, splits; or a recipe, by name or path"
        raise InputError(data, problem, f"did you mean {near[0]!r}?" if near else f"name {expected}")
    return Config.load(data, settings).data


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

    name, note = (TextColumn(f"{{task.{what}}}", markup=False) for what in ("description", "fields[note]"))
    columns = (name, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), note)
    with Bars(*columns, console=Console(stderr=True), transient=True) as shown:

        def bar(title: str) -> Progress:
            task = shown.add_task(title, total=None, note="")
            return lambda done, total, text: shown.update(task, completed=done, total=total, note=text)

        yield [bar(title) for title in titles]


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows under a header as aligned text, with the columns `right` aligned to the right; nothing is cut off."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = enumerate(zip(row, widths, strict=True))
        return "  ".join(f"{cell:{'>' if column in right else '<'}{width}}" for column, (cell, width) in cells).rstrip()

    return "\n".join([line(header), *(line(row) for row in rows)])


def names(text: str | None, option: str) -> list[str] | None:
    """The names in "a, b, c"; a name with a comma must be in double quotes. None stays None.

    An InputError of the `option` for quotes that do not close, a name of signs that cannot be seen, and a name twice.
    """
    if text is None:
        return None
    expected = 'names as in "a, b, c", in double quotes where one has a comma'
    try:
        (cells,) = csv.reader([text], skipinitialspace=True, strict=True) if text else [[]]
    except (csv.Error, ValueError) as error:
        raise InputError(option, f"{text!r} ({error})", f"write {expected}") from None
    entries = [cell.strip() for cell in cells if cell.strip()]
    if text and not entries:
        raise InputError(option, f"no names in {text!r}", f"write {expected}")
    check_names(entries, option)
    return entries


def check_names(listed: Sequence[str], where: str | Path) -> None:
    """An InputError for a name of signs that cannot be seen, and for a name twice."""
    earlier = set[str]()
    for name in listed:
        if not is_name(name):
            raise InputError(where, describe_invalid_name(name))
        if name in earlier:
            raise InputError(where, f"{name!r} twice")
        earlier.add(name)
