"""Run folders on the Hugging Face hub (docs/sharing.md): downloads that are verified, uploads, model cards.

The address ``hf://OWNER/NAME@REVISION`` stands for a run folder wherever one is opened (`run.run_folder`).
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from string import Template
from typing import TYPE_CHECKING, Any

import yaml

from fact_clip.core.errors import InputError
from fact_clip.core.io import read_mapping
from fact_clip.metrics import figure_name

if TYPE_CHECKING:
    from fact_clip.run import LoadedRun

_EVALUATION = "evaluation.json"
_CARD = Path(__file__).parent / "configs" / "model_card.md"
_PATIENCE = 10.0  # seconds to wait for the hub before the cache alone is looked at
_LOGIN = "log in with 'hf auth login', or set HF_TOKEN"


def is_address(path: str | Path) -> bool:
    """Whether a path stands for a repository of the hub; as a `Path` it has lost one of its slashes."""
    return re.match(r"hf:[/\\]", str(path)) is not None


def fetch(address: str | Path, names: Collection[str]) -> Path:
    """Return the folder of the cache that holds the `names` (patterns) of a repository, downloaded where it lacks them.

    The files are compared with the hashes that the hub lists, without a network with those of the download. An
    InputError where the repository cannot be read, or where a file is not the one listed, which is removed.
    """
    match = re.fullmatch(r"hf:[/\\]+([\w.-]+)[/\\]([\w.-]+)(?:@(.+))?", str(address))
    where = "hf://" + re.sub(r"^hf:[/\\]+", "", str(address))
    if match is None:
        raise InputError(
            where, "not an address of the hub", "write hf://OWNER/NAME or hf://OWNER/NAME@REVISION"
        )
    repository, revision = f"{match[1]}/{match[2]}", match[3]
    with _answers(where):
        from huggingface_hub import HfApi, errors, snapshot_download

        listed = dict[str, str]()
        try:
            info = HfApi().model_info(
                repository, revision=revision, files_metadata=True, timeout=_PATIENCE
            )
            for file in info.siblings or ():
                listed[file.rfilename] = file.lfs.sha256 if file.lfs else str(file.blob_id)
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError):
            raise
        except (OSError, errors.HTTPError):  # no network: what is in the cache needs none
            pass
        folder = Path(
            snapshot_download(
                repository, revision=revision, allow_patterns=[*names], local_files_only=not listed
            )
        )
    for path in sorted(file for name in names for file in folder.glob(name)):
        blob = path.resolve()
        # the cache calls files by their hashes where it can make links to them
        wanted = listed.get(
            path.relative_to(folder).as_posix(), blob.name if path.is_symlink() else None
        )
        if wanted is not None and _digest(blob, wanted) != wanted:
            blob.unlink()
            path.unlink(missing_ok=True)
            problem = f"{path.name} is not the file that the hub lists; the download was removed"
            raise InputError(
                where, problem, "download it again, and trust it only if the hashes agree"
            )
    return folder


def _digest(path: Path, like: str) -> str:
    """Return the hash of a file, of the kind of another: SHA-256, or the SHA-1 of a git blob."""
    if len(like) == 64:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@contextmanager
def _answers(where: str) -> Iterator[None]:
    """Turn what the library of the hub raises into an InputError of one line."""
    try:
        from huggingface_hub import errors, utils
    except ImportError:
        raise InputError(
            where, "huggingface_hub is not installed", "pip install 'fact-clip[hub]'"
        ) from None
    if not sys.stderr.isatty():
        utils.disable_progress_bars()
    try:
        yield
    except (OSError, ValueError, RuntimeError, errors.HTTPError) as error:
        if isinstance(error, InputError):
            raise
        problem, fix = " ".join(str(error).split()), ""
        if isinstance(error, errors.RevisionNotFoundError):
            problem, fix = "no such revision", "name a branch, a tag or a commit after the @"
        elif isinstance(
            error, errors.RepositoryNotFoundError
        ):  # the hub answers alike for missing and private ones
            problem, fix = (
                "no such repository, or it is not yours to read",
                f"check the name, or {_LOGIN}",
            )
        elif isinstance(error, errors.LocalEntryNotFoundError):
            problem, fix = (
                "not in the cache, and the hub cannot be reached",
                "load it once where there is a network",
            )
        elif getattr(getattr(error, "response", None), "status_code", None) in (401, 403):
            problem, fix = "not logged in, or no right to do this", _LOGIN
        raise InputError(where, problem, fix) from None


# An absolute path, alone or behind the name of an encoder (transformers:/home/a, timm:MODEL//home/a): its last part.
_LOCAL = re.compile(r"((?:[^\\]*?[:/])??)(?:/|~/|[A-Za-z]:[/\\]|\\\\).*?([^/\\]*)[/\\]*", re.DOTALL)


def _portable(value: Any) -> Any:
    """Return a tree of settings in which ./LAST stands for each absolute path .../LAST."""
    if isinstance(value, dict):
        return {key: _portable(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_portable(part) for part in value]
    match = _LOCAL.fullmatch(value) if isinstance(value, str) and "://" not in value else None
    return value if match is None else f"{match[1]}./{match[2]}"


def publish(
    loaded: LoadedRun,
    repository: str,
    names: Collection[str],
    *,
    private: bool,
    message: str,
    licence: str,
) -> str:
    """Make a repository of a run's files (of these `names`), evaluation and model card; return its address on the web.

    Absolute paths in settings are replaced by their last parts, and run files that it no longer has are removed there.
    """
    where, path = f"hf://{repository}", loaded.run.path
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise InputError(repository, "not the name of a repository", "write OWNER/NAME")
    if not re.fullmatch(r"[a-z0-9.-]+", licence):
        raise InputError(
            "licence",
            f"{licence!r} is not a licence as the hub writes it",
            "write mit, apache-2.0, ...",
        )
    parts: dict[str, Path | bytes] = {
        file.relative_to(path).as_posix(): file for name in names for file in path.glob(name)
    }
    for name in parts:
        if PurePath(name).name in ("config.yaml", "run.json"):
            tree = _portable(read_mapping(path / name, "a run folder"))
            dump = (
                json.dumps(tree, indent=1)
                if name.endswith(".json")
                else yaml.safe_dump(tree, sort_keys=False)
            )
            parts[name] = dump.encode()
    evaluation: dict[str, Any] = {}
    if (path / _EVALUATION).is_file():
        evaluation = read_mapping(path / _EVALUATION, "what fact-clip evaluate wrote") | {
            "run": where
        }
        parts[_EVALUATION] = json.dumps(evaluation, indent=1).encode()
    parts["README.md"] = _card(loaded, where, licence, evaluation).encode()
    with _answers(where):
        import huggingface_hub
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

        if huggingface_hub.get_token() is None:
            raise InputError(where, "not logged in", _LOGIN)
        api = HfApi()
        added = [CommitOperationAdd(name, part) for name, part in parts.items()]
        address = api.create_repo(repository, private=private, exist_ok=True)
        old = {
            name
            for name in api.list_repo_files(repository)
            if any(PurePath(name).match(part) for part in names)
        }
        removed = [CommitOperationDelete(name) for name in sorted(old - parts.keys())]
        api.create_commit(repository, [*added, *removed], commit_message=message)
    return str(address)


def _card(loaded: LoadedRun, where: str, licence: str, evaluation: Mapping[str, Any]) -> str:
    """Return the model card of a run, in Markdown: what it was trained on, its classes and figures, how to use it."""
    run, config, zero_shot = loaded.run, loaded.run.config, evaluation.get("zero_shot", {})
    seen = run.vocabulary.names if loaded.calibration is None else loaded.calibration.seen
    unseen = [*zero_shot.get("unseen", [name for name in run.vocabulary if name not in seen])]
    facts, encoder = (
        read_mapping(run.path / "run.json", "a run folder"),
        _portable(run.encoder) or "unknown",
    )
    figures = "Not evaluated yet."
    if evaluation:
        values = (
            evaluation["metrics"]
            | zero_shot.get("ways", {}).get("in use", {})
            | {"AUSUC": zero_shot.get("ausuc")}
        )
        rows = [
            (figure_name(key), value)
            for key, value in values.items()
            if isinstance(value, int | float)
        ]
        command = f"fact-clip evaluate {where} data.root=FOLDER --split {evaluation['split']}"
        head = f"{len(evaluation['videos'])} videos, by `{command}`:\n\n| figure | % |\n|---|---|\n"
        figures = head + "\n".join(f"| {key} | {value:.1f} |" for key, value in rows)
    return Template(_CARD.read_text(encoding="utf-8")).substitute(
        licence=licence,
        name=where.rpartition("/")[2],
        address=where,
        count=len(run.vocabulary),
        open=", or into any others by their names" if config.model.is_open else "",
        data=f"{config.data.name}, folder {_portable(str(config.data.root or 'data'))}, split {config.data.split}",
        input="my.mp4" if run.encoder else "features.npy",  # without an encoder it reads no video
        features=f"{run.transform.input_dim} columns, {run.fps or '?'} rows a second, encoder {encoder}",
        head=config.model.head
        + f", names by {_portable(config.text.encoder)}" * config.model.reads_text,
        training=f"{config.train.members} model(s), {config.train.epochs} epochs, seed {config.train.seed}",
        versions=", ".join(f"{key} {facts.get(key)}" for key in ("fact_clip", "torch", "commit")),
        seen="\n".join(
            f"    {name}" for name in run.vocabulary if name not in unseen
        ),  # a block of code
        unseen="\n".join(f"    {name}" for name in unseen) or "None.",
        figures=figures,
    )
