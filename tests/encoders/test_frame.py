from __future__ import annotations

import io
import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from fact_clip.core import InputError
from fact_clip.encoders import FRAME_ENCODERS, FunctionEncoder, Runtime, frame_encoder

from ..refusals import refused

IMAGES = np.random.default_rng(0).integers(0, 255, (3, 50, 70, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """No library asks the network, whatever the machine: it would wait for a while, and a name might exist."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


EXACT = Runtime(precision="float32")


def encoded(encoder, images=IMAGES) -> np.ndarray:
    return encoder.encode_images(np.stack([encoder.prepare(image) for image in images]))


def test_every_encoder_has_an_example():
    for prefix, entry in FRAME_ENCODERS.items():
        assert frame_encoder(entry.example).name == entry.example
        assert entry.example.split(":")[0] == prefix


def slow_grid(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """The definition, cell by cell."""
    weights = np.array([77, 150, 29]) / 256 / 255
    old, new = before @ weights, now @ weights
    rows = []
    for top in range(0, 48, 8):
        for left in range(0, 64, 8):
            sums = np.zeros(8)
            for y in range(top, top + 8):
                for x in range(left, left + 8):
                    across = new[y, x + 1] - new[y, x - 1] if 0 < x < 63 else 0
                    down = new[y + 1, x] - new[y - 1, x] if 0 < y < 47 else 0
                    change = new[y, x] - old[y, x]
                    sums[:3] += now[y, x] / 255
                    sums[3:] += [
                        4 * abs(across), 4 * abs(down), 4 * abs(change), -16 * change * across, -16 * change * down
                    ]  # fmt: skip
            rows.append(sums / 64)
    return np.concatenate(rows)


def test_grid_is_its_definition():
    images = np.random.default_rng(1).integers(0, 255, (3, 48, 64, 3), dtype=np.uint8)
    rows = frame_encoder("grid").encode_images(images)
    assert (rows.dtype, rows.shape) == (np.float32, (2, 384))
    for row, before, now in zip(rows, images[:-1], images[1:], strict=True):
        np.testing.assert_allclose(row, slow_grid(before, now), atol=1e-4)


@pytest.mark.parametrize(("axis", "column"), [(1, 6), (0, 7)])
def test_grid_tells_the_direction_of_a_movement(axis, column):
    y, x = np.mgrid[:48, :64]
    blobs = []
    for shift in (0, 2):
        centre = (24 + shift * (axis == 0), 32 + shift * (axis == 1))
        bright = 200 * np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / 50)
        blobs.append(np.repeat(bright[..., None], 3, axis=2).astype(np.uint8))
    forth, back = (
        frame_encoder("grid").encode_images(np.stack(pair)).reshape(48, 8).sum(axis=0) for pair in (blobs, blobs[::-1])
    )
    other = 13 - column
    assert forth[column] > 0.5
    assert back[column] < -0.5
    assert abs(forth[other]) < 0.1


def test_open_clip_is_the_image_half_of_the_model(open_clip_folder):
    import open_clip
    import torch
    from PIL import Image

    weights = open_clip_folder / "open_clip_model.safetensors"
    model, _, preprocess = open_clip.create_model_and_transforms("tiny-clip", str(weights))
    with torch.no_grad():
        expected = model.eval().encode_image(torch.stack([preprocess(Image.fromarray(each)) for each in IMAGES]))
    from_file = frame_encoder(f"clip:tiny-clip/{weights}", EXACT)
    from_folder = frame_encoder(f"clip:local-dir:{open_clip_folder}", EXACT)
    for encoder in (from_file, from_folder):
        np.testing.assert_allclose(encoded(encoder), expected.numpy(), atol=1e-5)
    assert re.fullmatch(r"clip:tiny-clip/open_clip_model\.safetensors@[0-9a-f]{16}", from_file.name)


def test_bf16_weights_are_near(open_clip_folder):
    spec = f"clip:local-dir:{open_clip_folder}"
    exact, near = (encoded(frame_encoder(spec, Runtime(precision=kind))) for kind in ("float32", "bf16"))
    assert near.dtype == np.float32
    cosines = (exact * near).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(near, axis=1)
    assert (cosines >= 0.999).all()
    assert np.abs(exact - near).max() > 0


def test_a_timm_backbone_from_a_file(tmp_path):
    import timm
    import torch

    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=10).eval()
    torch.save(model.state_dict(), tmp_path / "w.pt")
    encoder = frame_encoder(f"timm:test_resnet/{tmp_path / 'w.pt'}", EXACT)
    rows = encoded(encoder)
    settings = timm.data.resolve_model_data_config(model)
    assert encoder.prepare(IMAGES[0]).shape == settings["input_size"]
    with torch.no_grad():
        values = torch.from_numpy(np.stack([encoder.prepare(image) for image in IMAGES]))
        expected = model.forward_head(model.forward_features(values), pre_logits=True)
    np.testing.assert_allclose(rows, expected.numpy(), atol=1e-5)


def test_compressed_weights_of_a_backbone_are_refused_before_they_are_unpacked(tmp_path):
    import timm
    import torch

    path = tmp_path / "w.pt"
    torch.save(timm.create_model("test_resnet", num_classes=10).state_dict(), path)
    stored = zipfile.ZipFile(io.BytesIO(path.read_bytes()))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in stored.namelist():
            packed.writestr(name, bytes(1 << 24) if name.endswith("/data/0") else stored.read(name))
    with pytest.raises(InputError, match="compressed"):
        encoded(frame_encoder(f"timm:test_resnet/{path}", EXACT))


def test_a_function_without_a_name_is_another_encoder_each_time():
    def mean(images):
        return images.mean((1, 2))

    first, second = (frame_encoder(mean).name for _ in range(2))
    assert first != second  # what it calls may have changed
    assert first.startswith("mean@")
    assert FunctionEncoder(mean, "mine").name == "mine"


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        ("dino:v2", "frame encoder"),
        ("torchvision:resnet50", "frame encoder"),  # until 1.0
        ("grid:8", "frame encoder 'grid:8'"),
        ("clip:ViT-B-32", "frame encoder 'clip:ViT-B-32'"),
        ("timm:resnet18/none.pt", "frame encoder 'timm:resnet18/none.pt'"),
        ("transformers:/none", "frame encoder 'transformers:/none'"),
    ],
)
def test_a_specification_that_cannot_be_is_told_before_anything_is_loaded(spec, place):
    with refused(place):
        frame_encoder(spec)


def test_the_table_is_light():
    code = "import sys, fact_clip.encoders; print([m for m in ('torch', 'av', 'transformers') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
