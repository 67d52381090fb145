"""What ``fact-clip segment`` writes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fact_clip.cli.arguments import read_names
from fact_clip.cli.options import AsJson, option
from fact_clip.core.paths import inside


@dataclass(frozen=True, kw_only=True)
class Output:
    """The options that select the files of segments."""

    with_background: Annotated[
        bool,
        option(
            "Keep background in files that leave it out (docs/formats.md).", "--with-background"
        ),
    ] = False
    overwrite: Annotated[
        bool, option("Do all inputs anew, and replace what is there.", "--overwrite")
    ] = False
    out: Annotated[
        str | None,
        option("Folder to write to, s3://... too. Default: RUN/segments, or segments."),
    ] = None
    formats: Annotated[
        str | None, option("csv, json, eaf, ...: docs/formats.md. Default: csv,json.", "--format")
    ] = None

    def format_names(self) -> list[str]:
        """Return the names of the formats, which exist."""
        from fact_clip.formats import format_called

        names = read_names(self.formats or "csv,json", "--format") or []
        for name in names:
            format_called(name, "--format")
        return names

    def folder(self, run: Path | None) -> Path:
        """Return the folder to write to."""
        from fact_clip.hub import is_address
        from fact_clip.run import run_folder

        # The folder of a run on the hub is a cache.
        if self.out is None and run is not None and not is_address(run):
            return inside(run_folder(run), "segments")
        return Path(self.out or "segments")


@dataclass(frozen=True, kw_only=True)
class Show:
    """The options that select how results are shown."""

    as_json: AsJson = False
    plot: Annotated[Path | None, option("Timeline picture to write: .png, .svg or .pdf.")] = None
    overlay: Annotated[Path | None, option("Video to write with names and timeline burned in.")] = (
        None
    )
