"""What commands read: options that several have, the model that segments, names, data sets, videos, new files."""

from __future__ import annotations

import csv
import dataclasses
import functools
import inspect
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from fact_clip.core.errors import CommandOption, InputError, library_errors
from fact_clip.core.messages import describe_invalid_name, is_name, suggest
from fact_clip.core.paths import inside

if TYPE_CHECKING:
    from fact_clip.config import DataConfig
    from fact_clip.core.decode_settings import DecodeSettings
    from fact_clip.inference.segmenter import Segmenter


def option(text: str, *names: str, **more: Any) -> Any:
    """Declare an option by its help; `names` where it is called otherwise than its parameter, or is a flag."""
    return typer.Option(*names, help=text, **more)


def _recipe_names(begun: str) -> list[str]:
    from fact_clip.config import recipes

    return [name for name in recipes() if name.startswith(begun)]


_RECIPE = "A recipe by name (docs/configuration.md lists them), or a YAML file."
_DATA_SET = "A recipe or data set by name, a YAML file, or the folder of a data set."
_SETTINGS = "Settings, such as data.root=FOLDER train.epochs=20."
_PRECISION = (
    "auto: bf16 for an encoder of pictures where the device computes in it, float32 for the model."
)
_TRUST = "Load an encoder that the run names by a path of this machine."
Recipe = Annotated[
    str, typer.Argument(metavar="CONFIG", help=_RECIPE, autocompletion=_recipe_names)
]
DataSet = Annotated[str, typer.Argument(metavar="NAME|DIR", help=_DATA_SET)]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help=_SETTINGS)]
KeepGoing = Annotated[
    bool, option("Take what decodes of a damaged video, with a warning.", "--keep-going")
]
TrustEncoder = Annotated[bool, option(_TRUST, "--trust-encoder")]
AsJson = Annotated[bool, option("Print JSON instead of tables.", "--json")]
Device = Annotated[str, option("auto, cpu, cuda, cuda:N or mps.")]
Layout = Literal["TD", "DT"] | None
Precision = Annotated[Literal["auto", "float32", "bf16"], option(_PRECISION)]
Split = Annotated[str, option("test, validation or train.")]


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each field of a parameter that holds several: `DecodeSettings`, or a dataclass."""
    from fact_clip.core.decode_settings import CONTROLS, DecodeSettings

    groups, parameters = dict[str, tuple[Any, list[str]]](), list[inspect.Parameter]()
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        kind, fields = (
            parameter.annotation,
            dict[str, tuple[Any, Any]](),
        )  # name -> default and annotation
        if kind is DecodeSettings:
            texts = {
                field: str(info.description) for field, info in DecodeSettings.model_fields.items()
            }
            for field, control in CONTROLS.items():
                fields[field] = None, Annotated[float | None, option(texts[field], control.option)]
        elif dataclasses.is_dataclass(kind):
            hints = get_type_hints(kind, include_extras=True)
            fields = {
                field.name: (field.default, hints[field.name]) for field in dataclasses.fields(kind)
            }
        if fields:
            groups[name] = kind, list(fields)
        for field, (default, hint) in fields.items():
            only = inspect.Parameter.KEYWORD_ONLY
            parameters.append(inspect.Parameter(field, only, default=default, annotation=hint))
        parameters += [] if fields else [parameter]

    @functools.wraps(command)
    def wrapper(**values: Any) -> None:
        for name, (kind, fields) in groups.items():
            values[name] = kind(**{field: values.pop(field) for field in fields})
        command(**values)

    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return wrapper


_FREE = "No training: --encoder compares pictures with the --actions."
_ACTIONS = 'Only these: "pour milk, stir". A run whose head reads text takes any.'
_ENCODER = "Frame encoder for videos, as clip:ViT-B-32/openai or grid. Default: the run's."
_FORMATS = "csv, json, eaf, ...: docs/formats.md. Default: csv,json."
_BACKGROUND = "Keep background in files that leave it out (docs/formats.md)."
_WINDOW = "Seconds that a run's model reads at once; longer videos are read in windows."


@dataclass(frozen=True)
class ModelOptions:
    """The model of a run, or one without training."""

    run: Annotated[Path | None, option("Run folder of a trained model.")] = None
    training_free: Annotated[bool, option(_FREE, "--training-free")] = False
    actions: Annotated[str | None, option(_ACTIONS)] = None
    actions_file: Annotated[
        Path | None, option("As --actions, a name a line, or a mapping.txt.")
    ] = None
    encoder: Annotated[str | None, option(_ENCODER)] = None
    fps: Annotated[
        float | None, option("Pictures a second of a video. Default: the run's, or 5.")
    ] = None
    device: Device = "auto"
    precision: Precision = "auto"
    prompts: Annotated[
        str, option("Training-free: wording of names, plain, person or ensemble.")
    ] = "ensemble"
    window: Annotated[float | None, option(_WINDOW)] = None
    keep_going: KeepGoing = False

    def check(self, command: str) -> None:
        """Raise an InputError unless there is exactly one of a run and no training."""
        if self.training_free == (self.run is not None):
            raise InputError(command, "give exactly one of --run and --training-free")

    def open(
        self,
        actions: list[str] | None,
        settings: DecodeSettings | None = None,
        *,
        more: Sequence[str] = (),
        smoothing: float = 1.0,
        trust_encoder: bool = False,
    ) -> tuple[Segmenter, list[str] | None]:
        """Load the model; return it with the names that it is to look for, `more` beside those of the run."""
        from fact_clip.inference.segmenter import load, load_training_free

        typed = {"--window": self.window is not None}
        if self.run is not None:
            typed = {"--prompts": self.prompts != "ensemble", "--smoothing": smoothing != 1.0}
        for name in (name for name, is_typed in typed.items() if is_typed):
            raise InputError(CommandOption(name), "this model does not read it", "leave it out")
        if self.run is not None:
            model = load(
                self.run, self.device, encoder=self.encoder, fps=self.fps, window=self.window,
                keep_going=self.keep_going, trust_encoder=trust_encoder, precision=self.precision,
            )  # fmt: skip
            actions = [*model.vocabulary, *more] if more else actions
        else:
            actions = [*(actions or []), *more]
            if self.encoder is None or not actions:
                fix = 'give --encoder clip:ViT-B-32/openai --actions "pour milk, stir"'
                raise InputError(
                    CommandOption("--training-free"), "it needs an encoder and actions", fix
                )
            model = load_training_free(
                self.encoder, actions, self.device, prompts=self.prompts, smoothing=smoothing, fps=self.fps,
                keep_going=self.keep_going,
            )  # fmt: skip
        model.choose(actions, settings)  # wrong names are the fault of no input
        return model, actions

    def command(self) -> tuple[str, ...]:
        """Return ``fact-clip segment`` with the options that say which model it is."""
        words = (
            ["--training-free", "--prompts", self.prompts]
            if self.run is None
            else ["--run", str(self.run)]
        )
        for name in ("encoder", "fps", "window"):
            if (value := getattr(self, name)) is not None:
                words += [f"--{name}", str(value)]
        return ("fact-clip", "segment", *words, *(["--keep-going"] if self.keep_going else []))


@dataclass(frozen=True)
class OutputOptions:
    """Where segments are written, and how."""

    with_background: Annotated[bool, option(_BACKGROUND, "--with-background")] = False
    overwrite: Annotated[
        bool, option("Do all inputs anew, and replace what is there.", "--overwrite")
    ] = False
    out: Annotated[
        Path | None, option("Folder to write to. Default: RUN/segments, or segments.")
    ] = None
    formats: Annotated[str | None, option(_FORMATS, "--format")] = None
    as_json: AsJson = False
    plot: Annotated[Path | None, option("Timeline picture to write: .png, .svg or .pdf.")] = None
    overlay: Annotated[Path | None, option("Video to write with names and timeline burned in.")] = (
        None
    )

    def suffixes(self) -> list[str]:
        """Return the endings of the formats."""
        from fact_clip.formats import format_called

        formats = names("csv,json" if self.formats is None else self.formats, "--format") or [""]
        return [format_called(name, "--format").ending for name in formats]

    def folder(self, run: Path | None) -> Path:
        """Return the folder to write to."""
        from fact_clip.hub import is_address
        from fact_clip.run import run_folder

        if self.out is None and run is not None and not is_address(run):  # whose folder is a cache
            return inside(run_folder(run), "segments")
        return self.out or Path("segments")


def given_actions(actions: str | None, file: Path | None) -> list[str] | None:
    """Return the names of --actions or of --actions-file: one a line, or a mapping file ("0 name"); None without."""
    from fact_clip.datasets.layout import read_lines

    if file is None:
        return names(actions, "--actions")
    if actions is not None:
        raise InputError(
            CommandOption("--actions"), "give only one of --actions and --actions-file"
        )
    lines = [line for line in read_lines(file, "action names, one a line") if line]
    if not lines or any(
        line[0] in "[{" or re.match(r"\d+[;,\t]", line) for line in lines[:2]
    ):  # JSON, or a table
        raise InputError(
            file, "no list of names", "give action names, one a line, or a mapping file"
        )
    if all(re.match(r"\d+\s+\S", line) for line in lines):
        lines = [line.split(maxsplit=1)[1] for line in lines]
    check_names(lines, file)
    return lines


def names(text: str | None, name: str) -> list[str] | None:
    """The names in "a, b, c", one with a comma in double quotes; None stays None. Errors name the option."""
    if text is None:
        return None
    fix = 'write names as in "a, b, c", in double quotes where one has a comma'
    with library_errors(name, repr(text), csv.Error, ValueError, fix=fix):
        (cells,) = csv.reader([text], skipinitialspace=True, strict=True) if text else [[]]
    entries = [cell.strip() for cell in cells if cell.strip()]
    if text and not entries:
        raise InputError(CommandOption(name), f"no names in {text!r}")
    check_names(entries, name)
    return entries


def check_names(listed: Sequence[str], where: str | Path) -> None:
    """Raise an InputError for a name of signs that cannot be seen, and for a name twice."""
    for number, name in enumerate(listed):
        if not is_name(name):
            raise InputError(where, describe_invalid_name(name))
        if name in listed[:number]:
            raise InputError(where, f"{name!r} twice")


def data_config(data: str, overrides: list[str] | None) -> DataConfig:
    """Return the data settings of a recipe, a benchmark of datasets/benchmarks.py, or a folder, by its recipe.yaml."""
    from fact_clip.config import Config, recipes
    from fact_clip.datasets.benchmarks import BENCHMARKS

    source, settings = data, overrides or []
    if data in recipes():
        return Config.load(source, settings).data
    if Path(data).is_dir():
        recipe = Path(data) / "recipe.yaml"
        has_recipe = recipe.is_file() and not any(
            override.startswith("data.name=") for override in settings
        )
        source, settings = (
            str(recipe) if has_recipe else "folder",
            [f"data.root={json.dumps(data)}", *settings],
        )
    elif data in BENCHMARKS:
        source, settings = "folder", [f"data.name={data}", *settings]
    elif not data.endswith((".yaml", ".yml")):
        problem = "a file" if Path(data).is_file() else "no such folder or recipe"
        fix = "name a data set: mapping.txt, groundTruth, features, splits; or a recipe, by name or path"
        raise InputError(data, problem, suggest(data, [*recipes(), *BENCHMARKS], cutoff=0.6) or fix)
    return Config.load(source, settings).data


def collect(inputs: Sequence[Path], features: bool = False) -> list[Path]:
    """The videos (with `features`, the .npy files too) of files, folders and "-", a list on stdin; each stem once."""
    from fact_clip.video.decode import SUFFIXES

    wanted = (".npy", *SUFFIXES) if features else SUFFIXES
    paths: list[Path] = []
    if isinstance(sys.stdin, TextIOWrapper):  # as file names are, which may be any bytes
        sys.stdin.reconfigure(errors="surrogateescape")
    for path in inputs:
        # without the byte-order mark that Windows puts before the lines
        lines = (
            (line.removeprefix("\ufeff").strip() for line in sys.stdin or ())
            if str(path) == "-"
            else (str(path),)
        )
        paths += [Path(line) for line in lines if line]
    if not paths:
        raise InputError("-", "no lines on stdin", "write a path a line to it")
    by_stem: dict[str, Path] = {}
    for path in paths:
        # a name with a dot is hidden, or a file that someone is still writing
        files = (
            file for file in path.iterdir() if file.suffix.lower() in wanted and file.name[0] != "."
        )
        present = sorted(files) if path.is_dir() else [path]
        if not present:
            raise InputError(
                path,
                "no videos in this folder",
                f"name one with files that end in {', '.join(wanted)}",
            )
        for file in present:
            if by_stem.setdefault(file.stem, file) is not file:
                raise InputError(
                    file,
                    f"the name of {by_stem[file.stem]} too",
                    "give each once, with another name",
                )
    return list(by_stem.values())


def check_new(folder: Path, fix: str = "name a new folder") -> None:
    """Raise an InputError unless a folder is new or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(folder, "it exists already, and is not an empty folder", fix)
