"""The output of ``fact-clip segment``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fact_clip.cli.options import AsJson, option
from fact_clip.core import InputError
from fact_clip.core.messages import is_name
from fact_clip.core.paths import check_place, inside

if TYPE_CHECKING:
    from fact_clip_batch.inputs import Inputs


@dataclass(frozen=True)
class Output:
    """The options that select what is written and printed."""

    media: Annotated[
        str | None,
        option('Address of the video in files, "https://host/{name}".', panel="Output"),
    ] = None
    with_background: Annotated[
        bool,
        option("Write background to formats that omit it.", "--with-background", panel="Output"),
    ] = False
    out: Annotated[
        str | None,
        option("Folder to write to; may be s3://... Default: RUN/segments.", panel="Output"),
    ] = None
    formats: Annotated[
        str | None,
        option("Formats: csv, json, eaf, ... Default: csv,json.", "--format", panel="Output"),
    ] = None
    as_json: AsJson = False

    def place(self, run: Path | None) -> str:
        """Return the folder to write to, or its address in a remote store."""
        from fact_clip.runs.hub import is_address, run_folder

        # The run folder of a run on the hub is a cache.
        if self.out is None and run is not None and not is_address(run):
            return str(inside(run_folder(run), "segments"))
        return self.out or "segments"

    def check(self, out: str, inputs: Inputs, suffixes: Sequence[str]) -> None:
        """Reject outputs that cannot be written or would replace other data, before any work.

        Args:
            out: Folder to write to.
            inputs: Inputs of the batch.
            suffixes: File name endings of the formats.

        Raises:
            InputError: An output cannot be written, or would replace other data.
        """
        from fact_clip_batch.stores import is_remote

        media = self.media
        address = (media or "").replace("{name}", "")
        is_shared = address == media and len(inputs) > 1
        if media is not None and (is_shared or "{" in address or not is_name(media)):
            fix = "write {name} in the address to stand for the name of the file"
            raise InputError("--media", f"{media!r} for {len(inputs)} videos", fix)
        if is_remote(out):
            return
        folder = Path(out)
        check_place(folder / f"{next(iter(inputs)).id}{suffixes[0]}")
        features = (folder / f"{item.id}.npy" for item in inputs)
        if ".json" in suffixes and any(path.is_file() for path in features):
            problem = f"NAME.json describes the features in {folder}"
            raise InputError("--out", problem, "name another folder")
        if folder.name == "groundTruth":
            raise InputError("--out", "a folder of labels", "name a different folder")
