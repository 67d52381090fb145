"""Image-text models, CLIP and SigLIP, of open_clip and transformers: one loaded model for pictures and texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fact_clip.core import InputError
from fact_clip.core.paths import expanded
from fact_clip.encoders.pretrained import PictureModel, Runtime, TextModel, content_name, local_folder, looks_local

if TYPE_CHECKING:
    import torch

    from fact_clip.encoders.pretrained import PictureSide, TextSide


class ImageTextModel(PictureModel, TextModel):
    """One loaded model whose pictures and texts lie in one space."""


class OpenClip(ImageTextModel):
    """A model of open_clip: MODEL/TAG (`list_pretrained()`), MODEL/FILE, local-dir:FOLDER or hf-hub:OWNER/NAME."""

    def __init__(self, prefix: str, rest: str, where: str, runtime: Runtime) -> None:
        self._prefix, self._weights = prefix, None
        schema, _, path = rest.partition(":")
        if schema == "local-dir":
            folder = local_folder(path, where)
            self._model_name, name, is_local = f"local-dir:{folder}", content_name(folder), True
        elif schema == "hf-hub":
            self._model_name, name, is_local = rest, rest, False
        else:
            self._model_name, _, weights = rest.partition("/")
            if not self._model_name or not weights:
                fix = f"give {prefix}:MODEL/TAG (open_clip.list_pretrained() names them) or {prefix}:MODEL/FILE"
                raise InputError(where, "no model and weights", fix)
            file = expanded(weights)
            is_local = file.is_file() or looks_local(weights)
            if is_local and not file.is_file():
                raise InputError(where, f"no file {file}", f"a folder is {prefix}:local-dir:FOLDER")
            self._weights = str(file) if is_local else weights
            name = f"{self._model_name}/{content_name(file) if is_local else weights}"
        super().__init__(f"{prefix}:{name}", where, runtime, is_local)

    def _known(self) -> dict[str, Any]:
        """Return what the library knows of a tag."""
        import open_clip

        return dict(open_clip.get_pretrained_cfg(self._model_name, self._weights)) if self._weights else {}

    def _copy(self) -> str:
        if self._weights is None:
            hub = self._model_name.removeprefix("hf-hub:")
            return f"folder: hf download {hub} --local-dir DIR, then {self._prefix}:local-dir:DIR"
        pretrained = self._known()
        hub, url = str(pretrained.get("hf_hub", "")).strip("/"), pretrained.get("url", "")
        weights = f"open_clip_model.safetensors from https://huggingface.co/{hub}" if hub else f"the weights {url}"
        # a file by itself does not say with which activation it was trained
        quick = "-quickgelu" if pretrained.get("quick_gelu") and not self._model_name.endswith("-quickgelu") else ""
        return f"copy: download {weights.strip()} and give {self._prefix}:{self._model_name}{quick}/FILE"

    def _load(self) -> Any:
        import open_clip

        if self._weights and not self._is_local and not self._known():
            fix = f"use one of open_clip.list_pretrained(), or {self._prefix}:MODEL/FILE"
            raise InputError(self._where, f"no model {self._model_name} with weights {self._weights}", fix)
        # OpenAI's weights need the activation that they were trained with, whatever the model's name says
        quick = bool(self._known().get("quick_gelu"))
        return open_clip.create_model(
            self._model_name, self._weights, require_pretrained=True, weights_only=True, force_quick_gelu=quick
        )

    def _picture_side(self) -> PictureSide:
        import open_clip

        settings = open_clip.transform.PreprocessCfg(**open_clip.get_model_preprocess_cfg(self.model))
        return open_clip.transform.image_transform_v2(settings, is_train=False), self.model.encode_image

    def _text_side(self) -> TextSide:
        import open_clip

        config = open_clip.get_model_config(self._model_name) or {}
        if "hf_tokenizer_name" in config.get("text_cfg", {}):
            self._is_local = False  # a checkpoint may be local and its tokeniser on the hub
        with self._loading():
            tokeniser = open_clip.get_tokenizer(self._model_name)
        return lambda texts: {"text": tokeniser(texts)}, self.model.encode_text


class Transformers(ImageTextModel):
    """A CLIP or SigLIP model of transformers, in a folder or OWNER/NAME on the hub: safetensors alone, and no code."""

    def __init__(self, rest: str, where: str, runtime: Runtime) -> None:
        if not rest:
            raise InputError(where, "no model", "give transformers:FOLDER or transformers:OWNER/NAME")
        is_local = expanded(rest).is_dir() or looks_local(rest)
        self._source = str(local_folder(rest, where)) if is_local else rest
        name = content_name(Path(self._source)) if is_local else rest
        super().__init__(f"transformers:{name}", where, runtime, is_local)

    def _copy(self) -> str:
        return f"folder: hf download {self._source} --local-dir DIR, then transformers:DIR"

    def _load(self) -> Any:
        from transformers import AutoModel
        from transformers.utils import logging

        logging.disable_progress_bar()
        how = {"output_loading_info": True, "trust_remote_code": False, "use_safetensors": True}
        model, report = AutoModel.from_pretrained(self._source, **how)
        self._missing: list[str] = sorted(report["missing_keys"])
        return model

    def _check_side(self, side: str, *others: str) -> None:
        """Check that the model has a side, and all its weights but those that `others` begin with."""
        if not hasattr(self.model, f"get_{side}_features"):
            raise ValueError(f"a model of type {self.model.config.model_type!r}, which has no {side} features")
        missing = [key for key in self._missing if not key.startswith((*others, "logit_"))]
        if missing:
            raise ValueError(f"no weights for {missing[0]}, which would be random")

    def _picture_side(self) -> PictureSide:
        from transformers import AutoImageProcessor

        self._check_side("image", "text_model", "text_projection")
        processor, model = AutoImageProcessor.from_pretrained(self._source, trust_remote_code=False), self.model
        return (
            lambda image: processor(images=image, return_tensors="pt")["pixel_values"][0],
            lambda pixels: model.get_image_features(pixel_values=pixels),
        )

    def _text_side(self) -> TextSide:
        from transformers import AutoTokenizer

        self._check_side("text", "vision_model")
        tokeniser, config = AutoTokenizer.from_pretrained(self._source, trust_remote_code=False), self.model.config
        length = config.text_config.max_position_embeddings
        # SigLIP was trained on texts padded to full length, without a mask
        siglip = config.model_type.startswith("siglip")
        padding: dict[str, Any] = {"padding": "max_length", "max_length": length} if siglip else {"padding": True}

        def tokenise(texts: list[str]) -> dict[str, torch.Tensor]:
            tokens = tokeniser(texts, return_tensors="pt", **padding)
            if tokens["input_ids"].shape[1] > length:
                raise ValueError(f"a text of {tokens['input_ids'].shape[1]} tokens, where the model takes {length}")
            return {key: tokens[key] for key in (("input_ids",) if siglip else ("input_ids", "attention_mask"))}

        return tokenise, self.model.get_text_features
