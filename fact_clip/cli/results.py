"""The folder that `fact-clip segment` writes to: what is done already, and under which name each result is saved."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fact_clip.core.errors import InputError
from fact_clip.core.paths import file_name, inside, whole_file

if TYPE_CHECKING:
    from fact_clip.core import Segmentation

RECORDS = ".results"
"""The folder, inside the output folder, with a record for each result."""


@dataclass(frozen=True)
class Task:
    """One input, the name of its files without their endings, and whether its result is there already."""

    source: Path
    name: str
    done: bool


class Results:
    """Results in a folder, each with a record of what it is the result of.

    A record, `.results/NAME.json`, has two lines: the request (model, actions, input) with the endings of the files,
    and the segmentation. It is written before the files NAME.csv and so on, and every file appears whole. So a batch
    that was cut off goes on where it stopped, and a result of other actions is never taken for this one or written
    over.

    Args:
        folder: where the files go.
        suffixes: their endings.
        request: what a result depends on, apart from the input; plain JSON.
        overwrite: take the plain names, whatever is there.
        with_background: see `Segmentation.save`.
    """

    def __init__(
        self,
        folder: Path,
        suffixes: Sequence[str],
        request: Mapping[str, Any],
        *,
        overwrite: bool,
        with_background: bool,
    ) -> None:
        self.folder, self.suffixes, self.overwrite, self.with_background = folder, suffixes, overwrite, with_background
        self._request = json.loads(json.dumps({**request, "with_background": with_background}))

    def plan(self, inputs: Sequence[Path]) -> list[Task]:
        """Return a task for each input. Its name is that of the input, or NAME-2, ... where another result has it.

        An InputError if the folder cannot be written to; it is made with the first result.
        """
        existing = next(path for path in (self.folder.absolute(), *self.folder.absolute().parents) if path.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK):
            reason = "no permission" if existing.is_dir() else f"{existing} is a file"
            raise InputError(self.folder, f"cannot be written ({reason})", "name another folder with --out")
        stems, tasks = {source: file_name(source.stem) for source in inputs}, dict[str, Task]()
        for source, stem in stems.items():
            name, number = stem, 1
            while (
                name in tasks  # of another input, as file names
                or (done := False if self.overwrite else self._is_done(name, source)) is None
                or (number > 1 and name in stems.values())
            ):
                number += 1
                name = f"{stem}-{number}"
            tasks[name] = Task(source, name, done)
        return list(tasks.values())

    def _is_done(self, name: str, source: Path) -> bool | None:
        """Return whether the result for `source` is there under this name; None if something else is."""
        record = self._record(name)
        is_same = record is not None and record["request"] == self._request_for(source)
        written = record["suffixes"] if record is not None and is_same else []
        others = [suffix for suffix in self.suffixes if suffix not in written and self._file(name, suffix).exists()]
        if others or (record is not None and not is_same):
            return None
        return is_same

    def _record(self, name: str) -> dict[str, Any] | None:
        from fact_clip.core.io import parse_json, read_text

        path = self.folder / RECORDS / f"{name}.json"
        try:
            record = parse_json(read_text(path).partition("\n")[0], path, "a record of this command")
        except InputError:
            return None
        return record if isinstance(record, dict) and {"request", "suffixes"} <= record.keys() else None

    def _request_for(self, source: Path) -> dict[str, Any]:
        try:
            status = source.stat()
        except OSError:  # reported where the input is read
            return {**self._request, "input": None}
        identity = {"path": str(source.resolve()), "bytes": status.st_size, "modified_ns": status.st_mtime_ns}
        return {**self._request, "input": identity}

    def _file(self, name: str, suffix: str) -> Path:
        return self.folder / f"{name}{suffix}"

    def read(self, task: Task) -> Segmentation:
        """Return the result of a task that is done."""
        from fact_clip.core.io import parse_json, read_text
        from fact_clip.formats.json_file import from_dict

        path = self.folder / RECORDS / f"{task.name}.json"
        tree = parse_json(read_text(path).partition("\n")[2], path, "a record of this command")
        if not isinstance(tree, dict):
            raise InputError(path, "not a record of this command", "use --overwrite")
        return from_dict(path, tree)

    def write(self, task: Task, segmentation: Segmentation) -> tuple[list[Path], InputError | None]:
        """Write the record of a task that is not done, and the files of any task that are not there.

        Returns the paths of the files, and the first reason why there is none of a format, which stops no other.
        """
        from fact_clip.formats import save
        from fact_clip.formats.json_file import as_dict

        files = {suffix: inside(self.folder, f"{task.name}{suffix}") for suffix in self.suffixes}
        record = self._record(task.name) if task.done else None
        suffixes = sorted({*self.suffixes, *(record["suffixes"] if record else [])})
        if not task.done:  # a batch that is cut off now must not leave files of another result beside this record
            for path in files.values():
                path.unlink(missing_ok=True)
        if record is None or suffixes != record["suffixes"]:
            record = {"request": self._request_for(task.source), "suffixes": suffixes}
            with whole_file(inside(self.folder, RECORDS, f"{task.name}.json")) as path:
                lines = (json.dumps(value) + "\n" for value in (record, as_dict(segmentation)))
                path.write_text("".join(lines), encoding="utf-8")
        written, errors = list[Path](), list[InputError]()
        for suffix, path in files.items():
            if path.exists():
                continue
            try:
                # the ending alone would let a name like x.boris decide
                written.append(save(segmentation, path, with_background=self.with_background, kind=suffix))
            except InputError as error:
                errors.append(error)
        return written, next(iter(errors), None)


def fingerprint(run: Path) -> str:
    """Return the SHA-256 of what decides the results of a run: its weights, settings, classes and calibrations."""
    digest = hashlib.sha256()
    names = ("config.yaml", "vocabulary.json", "run.json", "features.safetensors", "model.safetensors")
    for path in sorted(
        path
        for name in (*names, "calibration.json", "confidence.json")
        for path in (run / name, *run.glob(f"members/*/{name}"))
    ):
        if path.is_file():
            with path.open("rb") as file:
                digest.update(f"{path.relative_to(run)} ".encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
