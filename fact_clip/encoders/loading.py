"""Loading models of other libraries: from the cache if offline, never running code in files."""

import logging
import os
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

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
