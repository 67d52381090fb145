"""Loading files for models of other libraries: from the cache if offline, never running code."""

import hashlib
import logging
import os
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from fact_clip.core import InputError
from fact_clip.core.paths import expanded

PATIENCE = 5.0  # seconds to wait for a response of the site of the weights


@contextmanager
def safe_loading(*, is_offline: bool) -> Iterator[None]:
    """Let the libraries read files in the block quietly, without running code in the files.

    Args:
        is_offline: Whether huggingface_hub reads only its cache.
    """
    with _quiet(), _no_questions(), _only_weights(), _only_cached(is_offline):
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence logging in the block, because libraries also log the errors that they raise."""
    level = logging.root.manager.disable
    logging.disable(max(level, logging.ERROR))
    try:
        yield
    finally:
        logging.disable(level)


@contextmanager
def _only_cached(is_offline: bool) -> Iterator[None]:
    """Keep huggingface_hub from the network in the block.

    The library reads this constant at each request. Its environment variable is only read when
    the library is imported.
    """
    from huggingface_hub import constants

    was_offline = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = was_offline or is_offline
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = was_offline


@contextmanager
def _no_questions() -> Iterator[None]:
    """Within the block, empty the standard input, so no library can ask whether to run code."""
    stdin = sys.stdin
    with Path(os.devnull).open() as empty:
        sys.stdin = empty
        try:
            yield
        finally:
            sys.stdin = stdin


@contextmanager
def _only_weights() -> Iterator[None]:
    """Keep torch.load from running pickled code in the block."""
    environment = dict(os.environ)
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    try:
        yield
    finally:
        del os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"]
        os.environ.update(environment)


def why_offline() -> str:
    """Return why nothing can be downloaded from the model hub, or "" if it answers."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "no network: HF_HUB_OFFLINE=1"
    return why_unreachable(constants.ENDPOINT)


def why_unreachable(url: str) -> str:
    """Return why a site cannot be reached, or "" if it answers."""
    try:
        urlopen(Request(url, method="HEAD"), timeout=PATIENCE).close()
    except HTTPError:
        return ""  # a response
    except OSError as error:
        # An unknown certificate is a response as well. The libraries bring their own certificates.
        if isinstance(error, URLError) and isinstance(error.reason, ssl.SSLError):
            return ""
        return f"no network: {url} does not answer"
    return ""


def looks_local(path: str) -> bool:
    """Return whether a string is a path, rather than a tag or the name of a model on a hub.

    A path starts with "/", "." or "~", has two slashes or more, or ends with .pt or .safetensors.
    """
    return (
        path.startswith(("/", ".", "~"))
        or path.count("/") > 1
        or Path(path).suffix in (".pt", ".safetensors")
    )


def local_folder(path: str, where: str) -> Path:
    """Return the path of an existing folder."""
    folder = expanded(path)
    if not folder.is_dir():
        raise InputError(where, f"no folder {folder}", "give a folder that has the model's files")
    return folder.resolve()


def content_name(path: Path) -> str:
    """Return the name of a file or folder with a digest of its content.

    Raises:
        InputError: There is no such file or folder, so it has no content.
    """
    if not path.exists():
        raise InputError(path, "no such file or folder")
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(f"{file.relative_to(path)}\n{file.stat().st_size}\n".encode())
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return f"{path.name}@{digest.hexdigest()[:16]}"
