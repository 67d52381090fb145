"""Build real data sets from public repositories, and compare them with recorded digests."""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from fact_clip import InputError
from fact_clip.cli.arguments import check_new
from fact_clip.cli.errors import run_command
from fact_clip.core import library_errors
from fact_clip.core.io import read_lines
from fact_clip.core.messages import join_names
from fact_clip.core.paths import made_folder, write_lines
from fact_clip.datasets.splits import Split, write_splits

HERE = Path(__file__).parent

README = "README.md"
"""The description of a data set. Its wording is not part of the digest."""


@dataclass(frozen=True)
class Source:
    """A public repository at the commit to which the recorded digests belong."""

    repository: str  # "owner/name" on GitHub
    commit: str  # 40 hexadecimal digits
    paths: tuple[str, ...]  # patterns of git for the files that are read


@dataclass(frozen=True)
class Recording:
    """One video: float16 features (rows, columns) and the class name of each row."""

    features: NDArray[np.float16]
    labels: Sequence[str]


@dataclass(frozen=True)
class Builder:
    """What builds a data set.

    `build` receives the clones of the sources, in their order, and the folder to write.
    """

    name: str  # of the files in `digests` and `files`
    sources: tuple[Source, ...]
    build: Callable[..., None]


def run_git(clone: Path, *words: str) -> str:
    """Run a git command in a clone and return its output.

    Raises:
        InputError: The folder is not a git repository, or git is not installed.
    """
    command = ["git", "-C", str(clone), *words]
    with library_errors("git", "cannot be run", OSError, fix="install git"):
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        problem = "git cannot read this folder"
        raise InputError(clone, problem, "clone the repository that experiments/data names")
    return result.stdout


def check_commit(clone: Path, source: Source) -> None:
    """Check that a clone is at the commit of its source, and that its files are unchanged.

    Args:
        clone: Folder of the clone, with a work tree.
        source: Repository and commit.

    Raises:
        InputError: The clone is at a different commit, or files are missing or changed.
    """
    head = run_git(clone, "rev-parse", "HEAD").strip()
    if head != source.commit:
        problem = f"{source.repository} is at commit {head[:7]}, not {source.commit[:7]}"
        raise InputError(clone, problem, f"run git -C {clone} checkout {source.commit}")

    changed = run_git(clone, "diff", "--name-only", "HEAD", "--", *source.paths).splitlines()
    if changed:
        problem = f"files are missing or differ from the commit: {join_names(changed)}"
        raise InputError(clone, problem, f"run git -C {clone} checkout HEAD -- PATH")


def file_digests(root: Path) -> dict[str, str]:
    """Compute the SHA-256 of each file of a folder, except its README.

    Args:
        root: Folder of a data set.

    Returns:
        The digests by path in the folder, with "/" between folders, in the order of the paths.
    """
    digests = {}
    for path in root.rglob("*"):
        if path.is_file() and path != root / README:
            name = path.relative_to(root).as_posix()
            digests[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return dict(sorted(digests.items()))


def digest_lines(digests: Mapping[str, str]) -> list[str]:
    """Return digests as `sha256sum` prints them, so that `sha256sum --check` can read them."""
    return [f"{digest}  {name}" for name, digest in digests.items()]


def read_digests(path: Path) -> dict[str, str]:
    """Read digests of files that `digest_lines` made."""
    digests = {}
    for line in read_lines(path, "the recorded digests"):
        digest, _, name = line.partition("  ")
        digests[name] = digest
    return digests


def folder_digest(digests: Mapping[str, str]) -> str:
    """Compute the digest of a folder: the SHA-256 of the list of its files' digests."""
    content = "".join(f"{line}\n" for line in digest_lines(digests))
    return hashlib.sha256(content.encode()).hexdigest()


def check_digests(root: Path, expected: Mapping[str, str]) -> str:
    """Compare a folder with recorded digests.

    Args:
        root: Folder of a data set.
        expected: Digests by path, in the order of the paths.

    Returns:
        The digest of the folder.

    Raises:
        InputError: A file is missing, is different, or was not recorded.
    """
    digests = file_digests(root)
    names = sorted(digests.keys() | expected.keys())
    different = [name for name in names if digests.get(name) != expected.get(name)]
    if different:
        problem = (
            f"{len(different)} of {len(names)} files differ from the recorded ones:"
            f" {join_names(different)}"
        )
        raise InputError(root, problem, "do not compare its figures with docs/results.md")
    return folder_digest(digests)


def write_recordings(root: Path, recordings: Mapping[str, Recording]) -> None:
    """Write the features and labels of recordings, by their names."""
    (root / "features").mkdir(parents=True, exist_ok=True)
    for name, recording in recordings.items():
        np.save(root / "features" / f"{name}.npy", recording.features)
        write_lines(root / "groundTruth" / f"{name}.txt", recording.labels)


def write_mapping(root: Path, class_names: Iterable[str]) -> None:
    """Write mapping.txt, with the classes numbered from 0 on."""
    lines = [f"{index} {name}" for index, name in enumerate(class_names)]
    write_lines(root / "mapping.txt", lines)


def write_split(root: Path, train: Iterable[str], test: Iterable[str]) -> None:
    """Write split 1, the only split of a data set."""
    write_splits(root, [Split(train=tuple(train), test=tuple(test), tested=())])


def build_data(builder: Builder, clones: Sequence[Path], root: Path) -> None:
    """Build a data set in a new folder. After a failure, the folder does not exist.

    Args:
        builder: Builder of the data set.
        clones: Clones of its sources, in their order.
        root: Folder to write.

    Raises:
        InputError: The folder is not empty, or a clone is not at the right commit.
    """
    check_new(root)
    for clone, source in zip(clones, builder.sources, strict=True):
        check_commit(clone, source)
    with (
        made_folder(root.parent),
        TemporaryDirectory(dir=root.parent, prefix=".building-") as unfinished,
    ):
        folder = Path(unfinished) / "data"
        shutil.copytree(HERE / "files" / builder.name, folder)
        builder.build(*clones, folder)
        if root.exists():
            root.rmdir()
        folder.rename(root)


def run_builder(builder: Builder, description: str, argv: Sequence[str] | None = None) -> int:
    """Build a data set and compare it with its recorded digest, as a command.

    Args:
        builder: Builder of the data set.
        description: Text for `--help`.
        argv: Arguments of the command line, or None for the arguments of the process.

    Returns:
        The exit code: 0, or 2 after an error.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for source in builder.sources:
        help_text = f"clone of github.com/{source.repository} at commit {source.commit[:7]}"
        parser.add_argument("clones", type=Path, action="append", metavar="CLONE", help=help_text)
    parser.add_argument("root", type=Path, metavar="ROOT", help="new folder for the data set")
    record_help = "record the digest instead of comparing it"
    parser.add_argument("--record", action="store_true", help=record_help)
    arguments = parser.parse_args(argv)

    def command() -> None:
        build_data(builder, arguments.clones, arguments.root)
        record_path = HERE / "digests" / f"{builder.name}.sha256"
        if arguments.record:
            write_lines(record_path, digest_lines(file_digests(arguments.root)))
        digest = check_digests(arguments.root, read_digests(record_path))
        print(f"{arguments.root}: digest {digest} matches")

    return run_command(command)
