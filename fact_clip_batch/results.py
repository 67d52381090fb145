"""The files of segmentations in an output folder, each with a record of what it answers."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from fact_clip.core import InputError, Json, Segmentation
from fact_clip.core.identity import identity_of, is_same
from fact_clip.core.paths import output_path, write_lines
from fact_clip.core.version import __version__
from fact_clip.formats import save
from fact_clip.formats.json_file import as_dict, from_dict
from fact_clip.inference.sources import FEATURES
from fact_clip.video.frames import Span
from fact_clip_batch.engine import Outcome
from fact_clip_batch.inputs import Item
from fact_clip_batch.records import RECORDS, edited_files, hash_of_file, read_record
from fact_clip_batch.stores import Folder, RemoteFile

_FIX = "name a different out=, or set overwrite=True"


@dataclass(frozen=True)
class ResultFolder:
    """The segmentations of a batch in a folder.

    A record, `.results/NAME.json`, has two lines: the request (model, actions, settings, input)
    with the endings of the files, and the segmentation. It is written before the files NAME.csv
    and so on, and again with their hashes; every file is written atomically. So an interrupted
    batch resumes, and a result of other actions is never taken for this one.

    Attributes:
        folder: Folder of the results.
        request: What the results depend on, apart from the input.
        suffixes: Endings of the files of each result.
        with_background: Whether to write background segments to formats that leave them out.
    """

    folder: Folder
    request: Json
    suffixes: Sequence[str]
    with_background: bool

    def is_done(self, item: Item) -> bool:
        """Return whether the folder has the result of an input.

        Raises:
            InputError: The files of the input belong to something else, or somebody has edited
                them and the input has changed.
        """
        record = read_record(self._record(item))
        self._check_files_are_ours(item, record)
        if "request" not in record:
            return False
        request = dict(record["request"])
        identity = request.pop("input")
        if request != self.request or record.get("id") != item.id:
            problem = f"{self.folder} has a result of another run, other actions or settings"
            raise InputError(item.path, problem, _FIX)
        try:
            is_same_input = _is_identity_of(item, identity)
        except OSError:  # raised again when the input is read
            return False
        if is_same_input:
            return True
        path = identity.get("path", item.location)
        if path != item.location:
            problem = f"{item.id} in {self.folder} is of {path}"
            raise InputError(item.path, problem, f"{_FIX}, or name the folder above both")
        for file in edited_files(self.folder, item.id, record):
            raise InputError(str(file), "edited, and its input has changed since", _FIX)
        return False

    def _check_files_are_ours(self, item: Item, record: Json) -> None:
        recorded_suffixes = record.get("suffixes", [])
        for suffix in self.suffixes:
            file = self._file(item, suffix)
            if suffix not in recorded_suffixes and file.is_file():
                raise InputError(str(file), "fact-clip segment did not write this file", _FIX)

    def read(self, item: Item) -> Segmentation:
        """Return the segmentation of a done input. A damaged record raises an InputError."""
        record = self._record(item)
        return from_dict(Path(str(record)), read_record(record, 1))

    def write(self, item: Item, identity: Json, segmentation: Segmentation) -> Outcome:
        """Write the record and the files of a new result.

        Args:
            item: Input of the result.
            identity: Identity of the input, see `identity_of_item`.
            segmentation: The result.

        Returns:
            The outcome, with an error if a format cannot hold the result.
        """
        former_suffixes = read_record(self._record(item)).get("suffixes", [])
        suffixes = list(dict.fromkeys([*self.suffixes, *former_suffixes]))
        # An interruption must not leave files of a different result next to this record.
        for suffix in suffixes:
            self._file(item, suffix).unlink(missing_ok=True)
        record = {
            "id": item.id,
            "request": {**self.request, "input": identity},
            "suffixes": suffixes,
            "files": {},
            "rows": segmentation.n_frames,
            "version": __version__,
        }
        outcome = Outcome(item, "computed", segmentation)
        return self._write_missing(outcome, record, segmentation, suffixes)

    def complete(self, item: Item) -> Outcome:
        """Write the files of a done result that are missing."""
        outcome = Outcome(item, "done")
        record = read_record(self._record(item))
        files = record.get("files", {})
        if all(suffix in files and self._file(item, suffix).is_file() for suffix in self.suffixes):
            return outcome
        for file in edited_files(self.folder, item.id, record):
            problem = "edited, so further formats would differ from it"
            return replace(outcome, state="failed", error=InputError(str(file), problem, _FIX))
        try:
            record["suffixes"] = sorted({*self.suffixes, *record["suffixes"]})
            return self._write_missing(outcome, record, self.read(item), self.suffixes)
        except InputError as error:
            return replace(outcome, state="failed", error=error)

    def _write_missing(
        self,
        outcome: Outcome,
        record: Json,
        segmentation: Segmentation,
        suffixes: Sequence[str],
    ) -> Outcome:
        """Write a record, the files that are missing, and the record with the hashes of these.

        A format that cannot hold the result is the error of the outcome.
        """
        item = outcome.item
        self._write_record(item, record, segmentation)
        hashes = record.setdefault("files", {})
        written = []
        first_error = None
        for suffix in suffixes:
            file = self._file(item, suffix)
            try:
                is_missing = not file.is_file()
                if is_missing:
                    self._write_file(item, suffix, segmentation)
                    written.append(file)
                if is_missing or suffix not in hashes:
                    hashes[suffix] = hash_of_file(file)
            except InputError as error:
                first_error = first_error or error
        self._write_record(item, record, segmentation)
        state = "failed" if first_error else outcome.state
        return replace(outcome, state=state, written=tuple(written), error=first_error)

    def _write_file(self, item: Item, suffix: str, segmentation: Segmentation) -> None:
        file_name = f"{item.id}{suffix}"
        with self.folder.staged(file_name) as local_folder:
            path = output_path(local_folder, file_name, "")
            # The kind is given because a file called x.boris has a different ending.
            save(segmentation, path, with_background=self.with_background, kind=suffix)

    def _write_record(self, item: Item, record: Json, segmentation: Segmentation) -> None:
        record_name = f"{RECORDS}/{item.id}.json"
        with self.folder.staged(record_name) as local_folder:
            lines = map(json.dumps, (record, as_dict(segmentation)))
            write_lines(output_path(local_folder, record_name, ""), lines)

    def _file(self, item: Item, suffix: str) -> Path | RemoteFile:
        return self.folder.file(f"{item.id}{suffix}")

    def _record(self, item: Item) -> Path | RemoteFile:
        return self.folder.file(f"{RECORDS}/{item.id}.json")


def identity_of_item(item: Item) -> Json:
    """Return the path, the content and the description of an input, as records hold them."""
    identity = item.span.facts
    with suppress(OSError):  # raised again when the input is read
        identity |= {"path": item.location, **_description(item), **identity_of(item.source)}
    return identity


def _is_identity_of(item: Item, identity: Json) -> bool:
    """Return whether a recorded identity belongs to an input. Raise an OSError if it is gone."""
    span = Span(identity.get("start", 0.0), identity.get("stop"))
    is_moved = identity.get("path", item.location) != item.location
    is_described = _description(item).items() <= identity.items()
    if span != item.span or not is_described:
        return False
    return is_same(identity, item.source, is_moved=is_moved)


def _description(item: Item) -> Json:
    """Return a hash of the NAME.json next to features, and where in the video they start."""
    sidecar = item.source.with_suffix(".json")
    if item.path.suffix.lower() != FEATURES or not sidecar.is_file():
        return {"description": None}
    start = read_record(sidecar).get("start")
    origin = float(start) if isinstance(start, int | float) else 0.0
    return {"description": identity_of(sidecar)["hash"], "origin": origin}
