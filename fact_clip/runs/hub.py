"""Runs on the Hugging Face hub (docs/sharing.md): verified downloads, model cards and uploads.

The address ``hf://OWNER/NAME@REVISION`` can replace the path of a run folder.
"""

import hashlib
import json
import logging
import re
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from fact_clip.core import InputError, Json
from fact_clip.core.arguments import validated
from fact_clip.core.extras import require
from fact_clip.core.io import read_mapping
from fact_clip.core.paths import inside, same_place
from fact_clip.metrics import figure_name
from fact_clip.models.heads import is_open, reads_text
from fact_clip.runs.files import PATTERNS
from fact_clip.runs.run import LoadedRun, Run

logger = logging.getLogger(__name__)

_TIMEOUT = 10.0  # seconds to wait for the hub before using only the cache
_LOGIN = "log in with 'hf auth login', or set HF_TOKEN"
_EVALUATION = "evaluation.json"
_WEIGHTS = ("model.safetensors", "ckpts/best.net")  # files that may be given instead of their run
_VERSIONS = ("fact_clip", "torch", "commit")
_CARD = Path(__file__).parents[1] / "configs" / "model_card.md"

# An absolute path and its last part, with or without the name of an encoder before it
# (transformers:/home/a, timm:MODEL//home/a).
_LOCAL = re.compile(
    r"((?:[^\\]*?[:/=])??)(?:/|~/|[A-Za-z]:[/\\]|\\\\).*?([^/\\]*)[/\\]*", re.DOTALL
)


def is_address(path: str | Path) -> bool:
    """Return whether a path is an address of the hub. A `Path` has only one of its slashes."""
    return re.match(r"hf:[/\\]", str(path)) is not None


def run_folder(path: str | Path) -> Path:
    """Return the run folder that a user names.

    Args:
        path: Run folder, its model.safetensors or ckpts/best.net, or an address of the hub,
            hf://OWNER/NAME, whose files are downloaded to the cache of the hub (docs/sharing.md).
    """
    if is_address(path):
        return fetch(path, PATTERNS)
    path = Path(path)
    if path.is_dir():
        return path
    for name in _WEIGHTS:
        if path.is_file() and path.match(name):
            return path.parents[name.count("/")]
    return path


def fetch(address: str | Path, patterns: Collection[str]) -> Path:
    """Download the files of a repository that are not yet in the cache.

    The files are compared with the hashes that the hub lists. Without a network, they are compared
    with the hashes of the earlier download.

    Args:
        address: Address hf://OWNER/NAME or hf://OWNER/NAME@REVISION.
        patterns: Patterns of file names.

    Returns:
        The cache folder with the files.

    Raises:
        InputError: The repository cannot be read, or a file differs from its hash. Such a file is
            removed.
    """
    match = re.fullmatch(r"hf:[/\\]+([\w.-]+)[/\\]([\w.-]+)(?:@(.+))?", str(address))
    where = "hf://" + re.sub(r"^hf:[/\\]+", "", str(address))
    if match is None:
        fix = "write hf://OWNER/NAME or hf://OWNER/NAME@REVISION"
        raise InputError(where, "not an address of the hub", fix)
    repository = f"{match[1]}/{match[2]}"
    revision = match[3]
    with _hub_errors(where):
        from huggingface_hub import snapshot_download

        hashes = _listed_hashes(repository, revision)
        folder = snapshot_download(
            repository,
            revision=revision,
            allow_patterns=[*patterns],
            local_files_only=not hashes,
        )
    _verify(Path(folder), patterns, hashes, where)
    return Path(folder)


def _listed_hashes(repository: str, revision: str | None) -> dict[str, str]:
    """Return the hash of each file in a repository, or no hashes without a network."""
    from huggingface_hub import HfApi, errors

    try:
        info = HfApi().model_info(
            repository, revision=revision, files_metadata=True, timeout=_TIMEOUT
        )
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError):
        raise
    except (OSError, errors.HTTPError):
        return {}
    return {
        file.rfilename: file.lfs.sha256 if file.lfs else str(file.blob_id)
        for file in info.siblings or ()
    }


def _verify(folder: Path, patterns: Collection[str], hashes: Mapping[str, str], where: str) -> None:
    """Compare downloaded files with their hashes. Remove the first file that differs."""
    for path in sorted(chain.from_iterable(map(folder.glob, patterns))):
        blob = path.resolve()
        expected = hashes.get(path.relative_to(folder).as_posix())
        if expected is None and path.is_symlink():
            # If the cache can create links, the targets are named after their hashes.
            expected = blob.name
        if expected is not None and _digest(blob, expected) != expected:
            blob.unlink()
            path.unlink(missing_ok=True)
            problem = f"{path.name} differs from the file that the hub lists, and was removed"
            fix = "download it again, and trust it only if the hashes agree"
            raise InputError(where, problem, fix)


def _digest(path: Path, like: str) -> str:
    """Return a hash of a file, of the same kind as `like`: SHA-256, or the SHA-1 of a git blob."""
    if len(like) == 64:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@contextmanager
def _hub_errors(where: str) -> Iterator[None]:
    """Convert errors of the hub's library to an InputError."""
    require(where, "huggingface_hub", "hub")
    from huggingface_hub import errors, utils

    if not sys.stderr.isatty():
        utils.disable_progress_bars()
    try:
        yield
    except InputError:
        raise
    except errors.RevisionNotFoundError:
        fix = "name a branch, a tag or a commit after the @"
        raise InputError(where, "no such revision", fix) from None
    except errors.RepositoryNotFoundError:
        # The hub gives the same answer for missing and for private repositories.
        problem = "no such repository, or you may not read it"
        raise InputError(where, problem, f"check the name, or {_LOGIN}") from None
    except errors.LocalEntryNotFoundError:
        problem = "not in the cache, and the hub cannot be reached"
        raise InputError(where, problem, "load it once with a network connection") from None
    except (OSError, ValueError, RuntimeError, errors.HTTPError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            raise InputError(where, "not logged in, or not permitted", _LOGIN) from None
        raise InputError(where, " ".join(str(error).split())) from None


@validated()
def share(
    run_dir: str | Path,
    repository: str,
    *,
    private: bool = False,
    license: str | None = None,
) -> str:
    """Upload a run and a model card to the Hugging Face hub.

    Absolute paths in settings are replaced by their last parts.

    Args:
        run_dir: Run folder.
        repository: OWNER/NAME. A new repository is created if it does not exist.
        private: Whether a new repository is private.
        license: Licence as the hub writes it, such as mit or cc-by-4.0. None leaves it out.

    Returns:
        The web address of the repository.

    Raises:
        InputError: A name is not valid, you are not logged in, or the hub rejects the upload.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise InputError(repository, "not the name of a repository", "write OWNER/NAME")
    where = f"hf://{repository}"
    with TemporaryDirectory(prefix="fact-clip-") as folder:
        save_pretrained(run_dir, folder, license=license, address=where)
        with _hub_errors(where):
            import huggingface_hub

            if huggingface_hub.get_token() is None:
                raise InputError(where, "not logged in", _LOGIN)
            api = huggingface_hub.HfApi()
            address = api.create_repo(repository, private=private, exist_ok=True)
            api.upload_folder(
                repo_id=repository,
                folder_path=folder,
                commit_message="Upload a run of FACT-CLIP",
                delete_patterns=[*PATTERNS, _EVALUATION],  # files that are not uploaded again
            )
    return str(address)


@validated()
def save_pretrained(
    run_dir: str | Path,
    folder: str | Path,
    *,
    license: str | None = None,
    address: str | None = None,
) -> Path:
    """Write a model card and the files that determine the results of a run to a folder.

    Args:
        run_dir: Run folder.
        folder: Folder to write.
        license: Licence as the hub writes it. None leaves it out.
        address: Address at which the model will be available. If None, the folder is used.

    Returns:
        The folder.

    Raises:
        InputError: The run cannot be read, or the licence has a spelling that the hub does not use.
    """
    loaded = Run.open(run_dir)
    if license is not None and not re.fullmatch(r"[a-z0-9.-]+", license):
        problem = f"{license!r} is not a licence name of the hub"
        raise InputError("license", problem, "write mit, apache-2.0, ...")
    address = address or Path(folder).name
    source = loaded.run.path
    target = Path(folder)
    if same_place(source, target):
        raise InputError(target, "this is the run folder", "name a different folder")
    evaluation: Json = {}
    if (source / _EVALUATION).is_file():
        evaluation = read_mapping(source / _EVALUATION, "what fact-clip evaluate wrote")
        evaluation["run"] = address
        if "overrides" in evaluation:
            evaluation["overrides"] = _portable(evaluation["overrides"])
        if evaluation.get("weights") != loaded.run.digest():
            location = source / _EVALUATION
            logger.warning("%s: from different weights, so the figures are left out", location)
            evaluation = {}
    card = _card(loaded, address, license, evaluation)
    for pattern in (*PATTERNS, "evaluation*.*"):  # files of a run that was saved there earlier
        for path in list(target.glob(pattern)):
            path.unlink()
    for pattern in PATTERNS:
        for path in source.glob(pattern):
            copy = inside(target, *path.relative_to(source).parts)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if path.name not in ("config.yaml", "run.json"):
                shutil.copyfile(path, copy)
                continue
            tree = _portable(read_mapping(path, "a run folder"))
            if path.suffix == ".json":
                content = json.dumps(tree, indent=1)
            else:
                content = yaml.safe_dump(tree, sort_keys=False)
            copy.write_text(content, encoding="utf-8")
    if evaluation:
        inside(target, _EVALUATION).write_text(json.dumps(evaluation, indent=1), encoding="utf-8")
    inside(target, "README.md").write_text(card, encoding="utf-8")
    return target


def _portable(value: Any) -> Any:
    """Return settings in which ./LAST replaces each absolute path .../LAST."""
    if isinstance(value, dict):
        return {key: _portable(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_portable(part) for part in value]
    if not isinstance(value, str) or "://" in value:
        return value
    match = _LOCAL.fullmatch(value)
    return value if match is None else f"{match[1]}./{match[2]}"


def _card(
    loaded: LoadedRun, address: str, license: str | None, evaluation: Mapping[str, Any]
) -> str:
    """Return the model card of a run in Markdown. Its figures form a model-index."""
    require(address, "huggingface_hub", "hub")
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    run = loaded.run
    config = run.config
    seen = loaded.trained_classes()
    name = address.rpartition("/")[2]
    figures = _figures(evaluation)
    results = []
    for key, value in figures.items():
        result = EvalResult(
            task_type="video-classification",
            task_name="temporal action segmentation",
            dataset_type=config.data.name,
            dataset_name=config.data.name,
            dataset_split=evaluation["split"],
            metric_type=key,
            metric_name=figure_name(key),
            metric_value=round(value, 1),
        )
        results.append(result)
    data = ModelCardData(
        license=license,
        library_name="fact-clip",
        pipeline_tag="video-classification",
        tags=["temporal-action-segmentation", "fact-clip"],
        model_name=name,
        eval_results=results or None,
    )
    facts = read_mapping(run.path / "run.json", "a run folder")
    root = _portable(str(config.data.root or "data"))
    head = config.model.head
    if reads_text(config.model.head):
        head += f", names by {_portable(config.text.encoder)}"
    values = {
        "name": name,
        "address": address,
        "license": license,
        "run": run,
        "is_open": is_open(config.model.head),
        "data": f"{config.data.name}, folder {root}, split {config.data.split}",
        "encoder": _portable(run.encoder),
        "head": head,
        "versions": ", ".join(f"{key} {facts.get(key) or 'unknown'}" for key in _VERSIONS),
        "seen": seen,
        "unseen": [name for name in run.vocabulary if name not in seen],
        "evaluation": evaluation,
        "figures": {figure_name(key): f"{value:.1f}" for key, value in figures.items()},
    }
    return str(ModelCard.from_template(data, template_path=str(_CARD), **values))


def _figures(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of an evaluation, in percent."""
    if not evaluation:
        return {}
    zero_shot = evaluation.get("zero_shot", {})
    figures = dict(evaluation["metrics"])
    figures |= zero_shot.get("ways", {}).get("in use", {})
    figures["AUSUC"] = zero_shot.get("ausuc")
    return {key: value for key, value in figures.items() if isinstance(value, int | float)}
