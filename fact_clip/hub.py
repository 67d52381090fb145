"""Repositories of the Hugging Face hub (docs/sharing.md): verified downloads, and uploads.

The address ``hf://OWNER/NAME@REVISION`` can be given wherever a run folder is opened.
"""

import hashlib
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from fact_clip.core.errors import InputError
from fact_clip.core.extras import require

_TIMEOUT = 10.0  # seconds to wait for the hub before only the cache is searched
_LOGIN = "log in with 'hf auth login', or set HF_TOKEN"


def is_address(path: str | Path) -> bool:
    """Return whether a path is an address of the hub; a `Path` has lost one of its slashes."""
    return re.match(r"hf:[/\\]", str(path)) is not None


def fetch(address: str | Path, patterns: Collection[str]) -> Path:
    """Download files of a repository that the cache lacks.

    The files are compared with the hashes that the hub lists; without a network, with those of the
    download.

    Args:
        address: hf://OWNER/NAME or hf://OWNER/NAME@REVISION.
        patterns: of the files.

    Returns:
        The folder of the cache that holds them.

    Raises:
        InputError: the repository cannot be read, or a file is not the one listed, which is
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
    """Return the hash of each file of a repository; none without a network."""
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
    """Compare downloaded files with their hashes; remove the first that differs."""
    for path in sorted(chain.from_iterable(map(folder.glob, patterns))):
        blob = path.resolve()
        expected = hashes.get(path.relative_to(folder).as_posix())
        if expected is None and path.is_symlink():
            # The cache names files by their hashes where it can make links to them.
            expected = blob.name
        if expected is not None and _digest(blob, expected) != expected:
            blob.unlink()
            path.unlink(missing_ok=True)
            problem = f"{path.name} is not the file that the hub lists; the download was removed"
            fix = "download it again, and trust it only if the hashes agree"
            raise InputError(where, problem, fix)


def _digest(path: Path, like: str) -> str:
    """Return the hash of a file, of the kind of another: SHA-256, or the SHA-1 of a git blob."""
    if len(like) == 64:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@contextmanager
def _hub_errors(where: str) -> Iterator[None]:
    """Turn errors of the hub's library into an InputError of one line."""
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
        # The hub answers alike for missing and private ones.
        problem = "no such repository, or it is not yours to read"
        raise InputError(where, problem, f"check the name, or {_LOGIN}") from None
    except errors.LocalEntryNotFoundError:
        problem = "not in the cache, and the hub cannot be reached"
        raise InputError(where, problem, "load it once where there is a network") from None
    except (OSError, ValueError, RuntimeError, errors.HTTPError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            raise InputError(where, "not logged in, or no right to do this", _LOGIN) from None
        raise InputError(where, " ".join(str(error).split())) from None


def upload(
    repository: str, folder: str | Path, patterns: Collection[str], *, private: bool, message: str
) -> str:
    """Upload a folder in one commit, to a repository that is made if there is none.

    Args:
        repository: OWNER/NAME.
        folder: the folder.
        patterns: of files that are removed from the repository unless they are uploaded.
        private: whether a new repository is private.
        message: of the commit.

    Returns:
        The address of the repository on the web.

    Raises:
        InputError: nobody is logged in, or the hub refuses.
    """
    where = f"hf://{repository}"
    with _hub_errors(where):
        import huggingface_hub

        if huggingface_hub.get_token() is None:
            raise InputError(where, "not logged in", _LOGIN)
        api = huggingface_hub.HfApi()
        address = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            commit_message=message,
            delete_patterns=[*patterns],
        )
    return str(address)
