"""The wiring of a real CLIP: ViT-B-32, random weights in a local checkpoint; video in, segments out; no download."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fact_clip.cli import main


@pytest.mark.slow
def test_vit_b_32_from_a_local_checkpoint_end_to_end(video, tmp_path, capsys):
    open_clip = pytest.importorskip("open_clip")
    import torch
    from PIL import Image
    from safetensors.torch import save_file

    from fact_clip.video.frames import frames

    torch.manual_seed(0)
    model, _, preprocess = open_clip.create_model_and_transforms("ViT-B-32")
    model.eval()
    weights = tmp_path / "vit.safetensors"
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, weights)
    spec, path = f"clip:ViT-B-32/{weights}", video("a.mp4")
    command = ["extract", str(path), "--encoder", spec, "--fps", "2"]
    assert main([*command, "--precision", "float32", "--out", str(tmp_path)]) == 0
    assert main([*command, "--precision", "bf16", "--out", str(tmp_path / "half")]) == 0
    rows = np.load(tmp_path / "a.npy")
    pictures = torch.stack([preprocess(Image.fromarray(frame.image)) for frame in frames(path, fps=2)])
    with torch.no_grad():
        expected = model.encode_image(pictures).numpy()
    np.testing.assert_allclose(rows, expected, atol=2e-3)
    half = np.load(tmp_path / "half" / f"{path.stem}.npy").astype(np.float32)
    lengths = np.linalg.norm(half, axis=1) * np.linalg.norm(rows.astype(np.float32), axis=1)
    assert ((half * rows).sum(1) / lengths >= 0.999).all()
    assert rows.shape == (10, 512)

    # texts as features: what is written on a picture is what is seen in it
    with torch.no_grad():
        texts = model.encode_text(open_clip.get_tokenizer("ViT-B-32")(["stir", "pour milk"])).numpy()
    np.save(tmp_path / "a.npy", texts[[0] * 4 + [1] * 6].astype(np.float16))
    capsys.readouterr()
    rules = ["--minimal-duration", "0", "--json"]
    names = ["--training-free", "--encoder", spec, "--actions", "pour milk, stir", "--out", str(tmp_path / "o")]
    assert main(["segment", str(tmp_path / "a.npy"), *names, *rules]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert [(each["label"], each["start"], each["stop"]) for each in found["segments"]] == [
        ("stir", 0, 4), ("pour milk", 4, 10)
    ]  # fmt: skip
