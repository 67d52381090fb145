"""Repeat one row of the tables in docs/results.md, and compare it with the recorded figures.

    .venv/bin/python experiments/results.py              # lists the rows
    .venv/bin/python experiments/results.py ROW [--data ROOT] [--out OUT] [--seeds 0,1]

The rows are in results.yaml. ROOT contains the data sets that the scripts of experiments/data write. KSCGR
is taken from the package if ROOT does not contain it. Everything runs with one thread.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fact_clip import InputError
from fact_clip.cli.arguments import check_new
from fact_clip.cli.errors import run_command
from fact_clip.core.io import parse_json, read_mapping, read_text
from fact_clip.core.messages import suggest
from fact_clip.datasets.kscgr import write_kscgr

REPOSITORY = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).with_suffix(".yaml")

PROGRAMS = {"fact-clip": ("-m", "fact_clip"), "python": ()}
"""Programs of the commands: what follows the interpreter that runs this script."""

KEYS = {
    "accuracy": ("metrics", "frame_accuracy"),
    "edit": ("metrics", "edit"),
    "F1@10": ("metrics", "f1@10"),
    "F1@25": ("metrics", "f1@25"),
    "F1@50": ("metrics", "f1@50"),
    "S": ("zero_shot", "ways", "in use", "S"),
    "U": ("zero_shot", "ways", "in use", "U"),
    "H": ("zero_shot", "ways", "in use", "H"),
    "H*": ("zero_shot", "best_harmonic_mean"),
    "AUSUC": ("zero_shot", "ausuc"),
    "error of scores": ("reliability", "before", "ece"),
    "error of confidences": ("reliability", "after", "ece"),
}
"""Where evaluation.json has a figure."""

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Row:
    """One row of a table.

    The commands may contain {data}, {out}, {seed} and the names of the settings. The figures are in
    `evaluation`, a file below {out}, or follow the words `line` in the output of the commands.
    """

    name: str
    table: str
    commands: Sequence[str]
    minutes: float  # for one seed, on one core
    recorded: Figures
    data: str = ""  # folder below ROOT, or "" if the commands make their data
    seeds: Sequence[int] = (0,)
    settings: Mapping[str, object] = field(default_factory=dict)
    evaluation: str = ""
    line: str = ""
    published: Figures = field(default_factory=dict)
    deviation: Figures = field(default_factory=dict)  # over the seeds

    def read_figures(self, out: Path, output: str) -> dict[str, float]:
        """Read the figures of one seed.

        Args:
            out: Folder that the commands wrote.
            output: What the commands printed.

        Returns:
            The figures, in the order of the recorded ones.

        Raises:
            InputError: The commands did not produce a figure.
        """
        if self.line:
            return self._find_figures(output)
        path = out / self.evaluation
        evaluation = parse_json(read_text(path, "an evaluation"), path, "an evaluation")
        return {name: look_up(evaluation, KEYS[name], path) for name in self.recorded}

    def _find_figures(self, output: str) -> dict[str, float]:
        """Find the figures that follow `line` in the output of the commands."""
        _, _, end = output.partition(self.line)
        numbers = re.findall(r"-?\d+(?:\.\d+)?", end.partition("\n")[0])
        if len(numbers) < len(self.recorded):
            problem = f"the output has no line with {self.line!r} and {len(self.recorded)} figures"
            raise InputError(self.name, problem)
        return {name: float(number) for name, number in zip(self.recorded, numbers, strict=False)}


def look_up(evaluation: Mapping[str, object], keys: Sequence[str], where: Path) -> float:
    """Return the number at nested keys of an evaluation."""
    value: object = evaluation
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            raise InputError(where, f"no figure {'/'.join(keys)}")
        value = value[key]
    if not isinstance(value, int | float):
        raise InputError(where, f"{'/'.join(keys)} is not a number")
    return float(value)


def read_rows(path: Path = TABLE) -> dict[str, Row]:
    """Read the table of rows, by name."""
    table = read_mapping(path, "a table of rows")
    rows = {}
    for entry in table["rows"]:
        commands = table["commands"][entry["commands"]]
        row = Row(**{**entry, "commands": commands})
        rows[row.name] = row
    return rows


def find_data(row: Row, root: Path, out: Path) -> Path:
    """Return the folder of the data set of a row. Write KSCGR from the package if it is missing.

    If the commands of the row make their data, return the folder for their output.
    """
    if not row.data:
        return out
    folder = (root / row.data).resolve()
    if folder.is_dir():
        return folder
    if row.data == "kscgr":
        return write_kscgr(out / "kscgr").resolve()
    fix = "build it as experiments/data/README.md describes, or name its parent folder with --data"
    raise InputError(folder, "no such data set", fix)


def run_commands(row: Row, data: Path, out: Path, seed: int) -> dict[str, float]:
    """Run the commands of a row.

    Args:
        row: Row to run.
        data: Folder of its data set.
        out: Folder to write. The output of the commands goes to output.txt there.
        seed: Seed of the random numbers.

    Returns:
        The figures of this seed.

    Raises:
        InputError: A command failed, or a figure is missing.
    """
    out.mkdir(parents=True)
    settings = {name: str(value).format(data=data) for name, value in row.settings.items()}
    values = {**settings, "data": data, "out": out, "seed": seed}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    output = ""
    for template in row.commands:
        words = [word.format(**values) for word in shlex.split(template)]
        print(shlex.join(words), file=sys.stderr, flush=True)
        program = [sys.executable, *PROGRAMS[words[0]], *words[1:]]
        result = subprocess.run(
            program, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True, check=False
        )
        output += result.stdout
        (out / "output.txt").write_text(output, encoding="utf-8")
        if result.returncode:
            problem = f"{' '.join(words[:2])} stopped with exit code {result.returncode}"
            raise InputError(row.name, problem, "read its error message above")
    return row.read_figures(out, output)


def mean_figures(figures: Sequence[Figures]) -> dict[str, float]:
    """Average the figures of several seeds."""
    return {name: math.fsum(seed[name] for seed in figures) / len(figures) for name in figures[0]}


def compare(row: Row, current: Figures) -> list[str]:
    """Format a table: each figure as published, as recorded here, and as it is now.

    The difference is in standard deviations over the seeds ("SD") if the row has them, else in points.
    """
    lines = [f"{'':22}{'published':>10}{'recorded':>10}{'now':>8}{'difference':>12}"]
    for name, recorded in row.recorded.items():
        published = "–"
        if name in row.published:
            published = f"{row.published[name]:.1f}"
        difference = f"{current[name] - recorded:+.1f}"
        if row.deviation.get(name):
            difference = f"{(current[name] - recorded) / row.deviation[name]:+.1f} SD"
        lines.append(
            f"{name:22}{published:>10}{recorded:>10.1f}{current[name]:>8.1f}{difference:>12}"
        )
    return lines


def list_rows(rows: Mapping[str, Row]) -> list[str]:
    """Format the names of all rows, with the minutes that each needs on one core."""
    lines = [f"{'row':28}{'minutes':>8}  table"]
    for row in rows.values():
        lines.append(f"{row.name:28}{row.minutes * len(row.seeds):>8g}  {row.table}")
    return lines


def parse_seeds(option: str) -> list[int]:
    """Convert the option --seeds, such as "0,1", to numbers."""
    if not re.fullmatch(r"\d+(,\d+)*", option):
        raise InputError("--seeds", f"{option!r} is not a list of numbers", "write 0,1,2")
    return [int(seed) for seed in option.split(",")]


def run_row(arguments: argparse.Namespace, rows: Mapping[str, Row]) -> None:
    """Run a row for each seed and print the comparison."""
    if arguments.row not in rows:
        raise InputError("ROW", f"no row {arguments.row!r}", suggest(arguments.row, rows))
    row = rows[arguments.row]
    seeds = row.seeds
    if arguments.seeds:
        seeds = parse_seeds(arguments.seeds)
    out = (arguments.out or Path("runs") / "results" / row.name).resolve()
    check_new(out)
    data = find_data(row, arguments.data, out)
    figures = [run_commands(row, data, out / f"seed{seed}", seed) for seed in seeds]

    current = mean_figures(figures)
    (out / "figures.json").write_text(json.dumps(current, indent=1) + "\n", encoding="utf-8")
    print(f"{row.name} ({row.table}), seeds {', '.join(map(str, seeds))}")
    for line in compare(row, current):
        print(line)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, or 2 after an error."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("row", nargs="?", help="name of a row; none lists the rows")
    parser.add_argument("--list", action="store_true", help="list the rows")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the data sets")
    parser.add_argument("--out", type=Path, help="new folder for runs, default runs/results/ROW")
    parser.add_argument("--seeds", help="seeds such as 0,1, default those of the row")
    arguments = parser.parse_args(argv)

    def command() -> None:
        rows = read_rows()
        if arguments.list or not arguments.row:
            print("\n".join(list_rows(rows)))
        else:
            run_row(arguments, rows)

    return run_command(command)


if __name__ == "__main__":
    raise SystemExit(main())
