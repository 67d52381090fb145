"""Video files made on the spot."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")


def write_video(
    path: Path,
    images: Iterable[np.ndarray],
    *,
    rate: int = 30,
    times: Sequence[int] | None = None,
    codec: str | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Encode (H, W, 3) images at a constant rate, or at `times` in milliseconds."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = None
        for number, image in enumerate(images):
            if stream is None:
                codec = codec or ("mpeg4" if path.suffix == ".avi" else "libx264")
                stream = container.add_stream(codec, rate=rate, options={"g": "12"})
                stream.height, stream.width, stream.pix_fmt = *image.shape[:2], "yuv420p"
                if times is not None:
                    stream.codec_context.time_base = Fraction(1, 1000)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts = number if times is None else times[number]
            frame.time_base = Fraction(1, rate) if times is None else Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def numbered(count: int, width: int = 64, height: int = 48) -> Iterable[np.ndarray]:
    """Images that show their number in binary: eight columns, bright or dark, in the upper half; noise below."""
    rng = np.random.default_rng(0)
    for number in range(count):
        image = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
        bits = [255 * (number >> bit & 1) for bit in range(8)]
        image[: height // 2] = np.repeat(bits, width // 8)[None, :, None]
        yield image


def number_of(image: np.ndarray) -> int:
    """The number that an image of `numbered` shows."""
    height, width = image.shape[:2]
    columns = image[: height // 2].mean(axis=(0, 2)).reshape(8, width // 8).mean(axis=1)
    return sum(1 << bit for bit in range(8) if columns[bit] > 127)


@pytest.fixture(scope="session")
def video(tmp_path_factory) -> Callable[..., Path]:
    """Make a file of `numbered` images: ``video("a.mkv", 150)``; the same call gives the same file."""
    folder = tmp_path_factory.mktemp("videos")

    def make(name: str, count: int = 150, **how: object) -> Path:
        path = folder / str(sorted(how)) / str(count) / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_video(path, numbered(count), **how)
        return path

    return make


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
