"""Small CLIP checkpoints with random weights, and an encoder that counts what it is asked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fact_clip.text.encoders import HashEncoder


class Counting:
    """The hashed encoder under a name of its own; remembers the texts of each call."""

    def __init__(self, name: str = "counting", size: int = 32) -> None:
        self.name = name
        self.calls: list[list[str]] = []
        self._inner = HashEncoder(size)

    def encode(self, texts: list[str]) -> np.ndarray:
        self.calls.append(list(texts))
        return self._inner.encode(texts)


@pytest.fixture
def counting() -> Counting:
    return Counting()


TINY = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="session")
def open_clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with `tiny-clip.json` and `open_clip_config.json`, the same model, and its random weights."""
    open_clip = pytest.importorskip("open_clip")
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("open_clip")
    (folder / "tiny-clip.json").write_text(json.dumps(TINY))
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY}))
    open_clip.add_model_config(folder / "tiny-clip.json")
    torch.manual_seed(0)
    weights = open_clip.create_model("tiny-clip").state_dict()
    save_file({key: value.contiguous() for key, value in weights.items()}, folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random CLIP model of transformers, with a tokeniser that knows single letters."""
    pytest.importorskip("transformers")
    import torch
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

    folder = tmp_path_factory.mktemp("clip")
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    letters = sorted(ByteLevel.alphabet())
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    text = {**tower, "vocab_size": len(tokens), "max_position_embeddings": 24, "bos_token_id": 0, "eos_token_id": 1}
    config = CLIPConfig(text_config=text, vision_config={**tower, "image_size": 32, "patch_size": 16}, projection_dim=8)
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(folder)
    CLIPTokenizer(vocab={token: index for index, token in enumerate(tokens)}, merges=[]).save_pretrained(folder)
    return folder
