"""Frame encoders of timm and torchvision: what a classifier of pictures feeds its last layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fact_clip.video.pretrained import Loaded, PretrainedEncoder, Runtime, content_name, local_file, need, split

if TYPE_CHECKING:
    import torch


def timm(rest: str, runtime: Runtime) -> PretrainedEncoder:
    """The pooled features of a backbone of timm: MODEL or MODEL/FILE."""
    need(f"timm:{rest}", "backbones", "timm")
    model, weights = split("timm", rest, "timm:MODEL or timm:MODEL/FILE")
    file = local_file(f"timm:{rest}", weights)

    def todo() -> str:
        import timm as library

        known = library.get_pretrained_cfg(model, allow_unregistered=True)
        hub = known.hf_hub_id if known else None
        place = f"https://huggingface.co/{hub}" if hub else known.url if known else None
        return f"download the weights{f' from {place}' if place else ''} and give timm:{model}/FILE"

    name = f"timm:{model}" if file is None else f"timm:{model}/{content_name(file)}"
    return PretrainedEncoder(name, lambda: _load_timm(model, file), todo, runtime)


def torchvision(rest: str, runtime: Runtime) -> PretrainedEncoder:
    """What a classifier of torchvision feeds its last layer: MODEL or MODEL/FILE."""
    need(f"torchvision:{rest}", "backbones", "torchvision")
    model, weights = split("torchvision", rest, "torchvision:MODEL or torchvision:MODEL/FILE")
    file = local_file(f"torchvision:{rest}", weights)

    def todo() -> str:
        import torch
        from torchvision import models

        if model not in models.list_models(module=models):
            return "torchvision.models.list_models() names the models"
        url, folder = models.get_model_weights(model).DEFAULT.url, Path(torch.hub.get_dir()) / "checkpoints"
        return f"download {url} into {folder}, or give torchvision:{model}/FILE"

    name = f"torchvision:{model}" if file is None else f"torchvision:{model}/{content_name(file)}"
    return PretrainedEncoder(name, lambda: _load_torchvision(model, file), todo, runtime)


def _load_timm(name: str, file: Path | None) -> Loaded:
    import timm

    model: Any = timm.create_model(name, pretrained=file is None, num_classes=0)
    if file is not None:
        head = model.pretrained_cfg.get("classifier") or ()
        _fill(model, file, (head,) if isinstance(head, str) else tuple(head))
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    return transform, model, lambda whole, x: whole(x)


def _load_torchvision(name: str, file: Path | None) -> Loaded:
    import torch
    from torchvision import models

    if name not in models.list_models(module=models):
        raise ValueError(f"no classifier {name!r}")
    weights = models.get_model_weights(name).DEFAULT
    model = models.get_model(name, weights=weights if file is None else None)
    if file is not None:
        _fill(model, file, ())
    last = [key for key, module in model.named_modules() if isinstance(module, torch.nn.Linear)][-1]
    model.set_submodule(last, torch.nn.Identity())
    return weights.transforms(), model, lambda whole, x: whole(x)


def _fill(model: torch.nn.Module, file: Path, left_out: tuple[str, ...]) -> None:
    """Load a checkpoint strictly but for the classifier, which the model no longer has."""
    import torch
    from safetensors.torch import load_file

    state: Any = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
    prefixes = tuple(f"{name}." for name in left_out)
    state = state.get("state_dict", state)
    model.load_state_dict(
        {key: value for key, value in state.items() if not key.startswith(prefixes)} if prefixes else state
    )
