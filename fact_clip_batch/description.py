"""What a batch is, in `.batch` of its folder: command, number of inputs, request."""

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from fact_clip.core import InputError, Json
from fact_clip.core.io import read_value, write_value
from fact_clip.core.version import __version__

FILE = ".batch"


@dataclass(frozen=True)
class Batch:
    """The last batch of a folder.

    Attributes:
        command: "extract" or "segment".
        inputs: number of inputs, of all shards.
        request: what the results depend on, apart from the inputs.
        version: of this package.
    """

    command: str
    inputs: int
    request: Json
    version: str


def describe_batch(folder: Path, command: str, n_inputs: int, request: Json) -> None:
    """Write what a batch is, unless the file says so already."""
    batch = Batch(command, n_inputs, request, __version__)
    with suppress(InputError):
        if read_batch(folder) == batch:
            return
    write_value(folder / FILE, asdict(batch))


def read_batch(folder: Path) -> Batch:
    """Read what the last batch of a folder is. Raise an InputError if there is none."""
    fix = "name the --out of extract or segment"
    if not (folder / FILE).is_file():
        raise InputError(folder, "no batch in this folder", fix)
    return read_value(Batch, folder / FILE, fix)
