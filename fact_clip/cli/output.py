"""What ``fact-clip segment`` writes."""

from dataclasses import dataclass
from pathlib import Path

from fact_clip.core.paths import inside


@dataclass(frozen=True)
class Output:
    """The options that select what is written."""

    formats: str | None
    out: str | None
    media: str | None
    plot: Path | None
    overlay: Path | None
    with_background: bool
    overwrite: bool
    as_json: bool

    @property
    def remote(self) -> str | None:
        """Return the address of the folder in another store, or None."""
        return self.out if self.out is not None and "://" in self.out else None

    def folder(self, run: Path | None) -> Path:
        """Return the folder to write to."""
        from fact_clip.hub import is_address
        from fact_clip.run import run_folder

        # The folder of a run on the hub is a cache.
        if self.out is None and run is not None and not is_address(run):
            return inside(run_folder(run), "segments")
        return Path(self.out or "segments")
