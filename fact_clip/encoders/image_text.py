"""Pretrained frame encoders: how they load and run, and the image towers of open_clip and transformers.

As with text encoders, each function looks for packages and local files at once and loads when first used; weights that
are nowhere are one InputError that says what to download and where to put it. No model ever stands in for another.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError
from fact_clip.encoders.joint import looks_local, no_progress_bars, told
from fact_clip.encoders.joint import named as content_name

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

# From a picture to (3, H, W), the model, and how it is asked.
Loaded: TypeAlias = "tuple[Callable[[Image], torch.Tensor], torch.nn.Module, Callable[[Any, torch.Tensor], Any]]"


@dataclass(frozen=True)
class Runtime:
    """How a model is run.

    Args:
        device: "auto" (CUDA where there is one), or what torch calls it.
        precision: "bf16" keeps weights and activations in bfloat16, which many CPUs take at twice the speed.
        compile: compile with torch.compile; pays off over many pictures.
    """

    device: str = "auto"
    precision: Literal["float32", "bf16"] = "float32"
    compile: bool = False


class PretrainedEncoder:
    """A frame encoder that loads when it is first used.

    Args:
        name: names the model's content.
        load: gives preprocessing, model, and the call.
        todo: what a person can do where it does not load.
        runtime: how it is run.
    """

    size: tuple[int, int] | None = None
    context = 0

    def __init__(self, name: str, load: Callable[[], Loaded], todo: Callable[[], str], runtime: Runtime) -> None:
        self.name = name
        self._load, self._todo, self._runtime = load, todo, runtime

    @cached_property
    def _loaded(self) -> Loaded:
        import torch

        with self._told("a model that loads"):
            prepare, model, call = self._load()
            place = self._runtime.device
            if place == "auto":
                # ranks of torchrun take a device each
                rank = int(os.environ.get("LOCAL_RANK", "0"))
                place = f"cuda:{rank % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"
            kind = torch.bfloat16 if self._runtime.precision == "bf16" else torch.float32
            model = model.eval().to(device=place, dtype=kind)
            return prepare, model, torch.compile(call) if self._runtime.compile else call

    def _told(self, expected: str) -> AbstractContextManager[None]:
        return told(f"frame encoder {self.name!r}", expected, self._todo)

    def load(self) -> None:
        """Load the weights now.

        Raises:
            InputError: a model that does not load; it says what to download and where to put it.
        """
        _ = self._loaded

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(H, W, 3) -> (3, h, w) float32 by the model's own preprocessing."""
        from PIL import Image

        prepared: NDArray[np.float32] = self._loaded[0](Image.fromarray(image)).numpy()
        return prepared

    def encode(self, prepared: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 3, h, w) -> (N, D) float32, not normalised."""
        import torch

        _, model, call = self._loaded
        like = next(model.parameters())
        with torch.inference_mode(), self._told("pictures that the model can take"):
            values = torch.from_numpy(prepared).to(device=like.device, dtype=like.dtype)
            features = call(model, values)
            # transformers 5 gives an object, transformers 4 the tensor
            rows = features if isinstance(features, torch.Tensor) else features.pooler_output
            found: NDArray[np.float32] = rows.float().cpu().numpy()
        return found


def clip(rest: str, runtime: Runtime) -> PretrainedEncoder:
    """An image tower of open_clip: MODEL/TAG, MODEL/FILE, local-dir:FOLDER or hf-hub:OWNER/NAME."""
    need(f"clip:{rest}", "clip", "open_clip")
    schema, colon, place = rest.partition(":")
    if colon and schema == "local-dir":
        folder = _folder(f"clip:{rest}", place)
        return _open_clip(content_name(folder), f"local-dir:{folder}", None, runtime)
    if colon and schema == "hf-hub":
        return _open_clip(rest, rest, None, runtime)
    model, weights = split("clip", rest, "clip:MODEL/TAG or clip:MODEL/FILE", needs_weights=True)
    file = local_file(f"clip:{rest}", weights)
    if file is not None:
        return _open_clip(f"{model}/{content_name(file)}", model, str(file), runtime)
    return _open_clip(rest, model, weights, runtime)


def transformers(rest: str, runtime: Runtime) -> PretrainedEncoder:
    """The image side of CLIP or SigLIP in transformers; `rest` is a local folder or OWNER/NAME on the hub."""
    need(f"transformers:{rest}", "backbones", "transformers", "torchvision")
    if not rest:
        where = "frame encoder 'transformers:'"
        raise InputError(where, "nothing after the colon", "transformers:FOLDER or transformers:OWNER/NAME")
    local = Path(rest).expanduser().is_dir() or looks_local(rest)
    source = str(_folder(f"transformers:{rest}", rest)) if local else rest
    name = content_name(Path(source)) if local else rest

    def todo() -> str:
        wanted = "a folder that has config, weights and preprocessor_config.json"
        return f"give {wanted}" if local else f"hf download {rest} --local-dir DIR, then transformers:DIR"

    return PretrainedEncoder(f"transformers:{name}", lambda: _load_transformers(source), todo, runtime)


def need(spec: str, extra: str, *packages: str) -> None:
    """An InputError where one of the packages is not installed."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            found = f"the package {package} is not installed"
            raise InputError(f"frame encoder {spec!r}", found, todo=f"pip install 'fact-clip[{extra}]'")


def split(prefix: str, rest: str, form: str, needs_weights: bool = False) -> tuple[str, str]:
    """MODEL and what stands behind the slash."""
    model, _, weights = rest.partition("/")
    if not model or (needs_weights and not weights):
        raise InputError(f"frame encoder '{prefix}:{rest}'", repr(rest), form)
    return model, weights


def local_file(spec: str, place: str) -> Path | None:
    """The local file that a specification names; None where it names a tag, or nothing."""
    path = Path(place).expanduser()
    if place and path.is_file():
        return path
    if place and (looks_local(place) or not spec.startswith("clip:")):
        raise InputError(f"frame encoder {spec!r}", f"no file {path}", "a checkpoint")
    return None


def _folder(spec: str, place: str) -> Path:
    folder = Path(place).expanduser()
    if not folder.is_dir():
        raise InputError(f"frame encoder {spec!r}", f"no folder {folder}", "a folder that has the model's files")
    return folder.resolve()


def _open_clip(name: str, model_name: str, weights: str | None, runtime: Runtime) -> PretrainedEncoder:
    def todo() -> str:
        import open_clip

        known = open_clip.get_pretrained_cfg(model_name, weights) if weights and not Path(weights).exists() else {}
        hub, url = str(known.get("hf_hub", "")).strip("/"), known.get("url", "")
        place = f"https://huggingface.co/{hub}" if hub else url
        what = f"open_clip_model.safetensors from {place}" if hub else f"the weights{f' from {place}' if place else ''}"
        # a file by itself does not say which activation it was trained with
        quick = "-quickgelu" if known.get("quick_gelu") and not model_name.endswith("-quickgelu") else ""
        model = model_name if weights else "MODEL"
        return f"download {what} and give clip:{model}{quick}/FILE, or a whole folder as clip:local-dir:FOLDER"

    return PretrainedEncoder(f"clip:{name}", lambda: _load_open_clip(model_name, weights), todo, runtime)


def _load_open_clip(model_name: str, weights: str | None) -> Loaded:
    import open_clip

    # weights of OpenAI want the activation that they were trained with, whatever the model's name says
    quick = bool(open_clip.get_pretrained_cfg(model_name, weights).get("quick_gelu")) if weights else False
    model = open_clip.create_model(
        model_name, weights, require_pretrained=True, weights_only=True, force_quick_gelu=quick
    )
    settings = open_clip.transform.PreprocessCfg(**open_clip.get_model_preprocess_cfg(model))
    return (
        open_clip.transform.image_transform_v2(settings, is_train=False),
        model,
        lambda whole, x: whole.encode_image(x),
    )


def _load_transformers(source: str) -> Loaded:
    from transformers import AutoImageProcessor, AutoModel

    with no_progress_bars():
        model, report = AutoModel.from_pretrained(source, output_loading_info=True)
        if not hasattr(model, "get_image_features"):
            raise ValueError(f"a model of type {model.config.model_type!r}, which has no image features")
        missing = [
            key for key in sorted(report["missing_keys"]) if not key.startswith(("text_model", "text_pro", "logit_"))
        ]
        if missing:
            raise ValueError(f"no weights for {missing[0]}, which would be random")
        processor = AutoImageProcessor.from_pretrained(source)
    return (
        lambda image: processor(images=image, return_tensors="pt")["pixel_values"][0],
        model,
        lambda whole, x: whole.get_image_features(pixel_values=x),
    )
