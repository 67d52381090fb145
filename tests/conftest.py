"""What every test may rely on."""

from __future__ import annotations

import errno
import gc
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

import fact_clip
from fact_clip.config import Config, merged
from fact_clip.datasets.synthetic import write_workbench

from .small import TINY

if TYPE_CHECKING:
    from .browser import Browser
    from .hub_server import Hub

# numba, by which movement fills gaps of poses, gives torch as many threads as itself. Where processes have more threads
# than there are cores, these wait for each other: each test of a model after one of poses took ten times as long.
os.environ["NUMBA_NUM_THREADS"] = "1"

# The same examples in every run; no time limit an example, because the machines of CI are shared.
settings.register_profile("house", derandomize=True, deadline=None)
settings.load_profile("house")


LONGEST_FILES = (
    "tests/app/test_recording.py",  # waits for films, and lets others compute
    "tests/test_readme.py",
    "tests/app/test_page_labels.py",
    "tests/app/test_day.py",
    "tests/attacks/test_corpus.py",
    "tests/batch/test_kills.py",
    "tests/test_cookbook.py",
    "tests/app/test_blind.py",
    "tests/batch/test_ray.py",
    "tests/training/test_processes.py",
    "tests/training/test_kills.py",
    "tests/app/test_page.py",
    "tests/app/test_page_views.py",
    "tests/app/test_tutorial.py",
    "tests/training/test_options.py",
    "tests/app/test_learn.py",
    "tests/inference/test_export.py",
    "tests/unseen/test_permuted.py",
    "tests/app/test_page_edges.py",
    "tests/app/test_events.py",
    "tests/test_stranger.py",
    "tests/app/test_uploads.py",
    "tests/cli/test_data.py",
    "tests/runs/test_seen.py",
    "tests/unseen/test_holdout_training.py",
    "tests/batch/test_batches.py",
    "tests/evaluation/test_zero_shot.py",
    "tests/app/test_removals.py",
    "tests/compat/test_command_lines.py",
    "tests/app/test_serving.py",
    "tests/devices/test_processes.py",
    "tests/app/test_page_scale.py",
    "tests/test_plugins.py",
    "tests/training/test_ensemble.py",
    "tests/training/test_sweep.py",
    "tests/encoders/test_vit_b_32.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no process waits for one of them at the end."""
    ranks = {name: rank for rank, name in enumerate(LONGEST_FILES)}
    items.sort(key=lambda item: ranks.get(item.nodeid.partition("::")[0], len(ranks)))


def pytest_collection_finish() -> None:
    """Leave the modules out of later collections of garbage, each of which would read all their memory."""
    gc.freeze()


def pytest_sessionfinish() -> None:
    """The same for what the tests left, since pytest collects garbage five times at its end."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Sockets of the tests reach this machine alone; what would ask another one finds no network."""

    def is_here(host: object) -> bool:
        return host in (None, "", "localhost", "0.0.0.0", "::", "::1", socket.gethostname()) or str(host).startswith(
            "127."
        )

    def connecting(plain: Callable[..., Any]) -> Callable[..., Any]:
        def connect(self: socket.socket, address: Any) -> Any:
            if self.family != getattr(socket, "AF_UNIX", None) and not is_here(address[0]):
                raise OSError(errno.ENETUNREACH, "tests have no network")
            return plain(self, address)

        return connect

    def resolving(plain: Callable[..., Any]) -> Callable[..., Any]:
        def resolve(host: Any, *args: Any, **how: Any) -> Any:
            if not is_here(host.decode() if isinstance(host, bytes) else host):
                raise socket.gaierror(socket.EAI_AGAIN, "tests have no network")
            return plain(host, *args, **how)

        return resolve

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, connecting(getattr(socket.socket, name)))
        patch.setattr(socket, "getaddrinfo", resolving(socket.getaddrinfo))
        yield


@pytest.fixture(scope="session", autouse=True)
def _forked_members() -> Iterator[None]:
    """Members of ensembles are forks, as a new Python takes longer to begin than to train a small model."""
    ensemble = sys.modules.get("fact_clip.training.ensemble")
    # Importing it takes seconds, also if the tests train nothing. Windows has no forks.
    if ensemble is None or not hasattr(os, "fork"):
        yield
        return
    from .launch import ForkedMember

    names = {"Popen": ForkedMember, "PIPE": subprocess.PIPE, "TimeoutExpired": subprocess.TimeoutExpired}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ensemble, "subprocess", SimpleNamespace(**names))
        yield


@pytest.fixture
def new_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members of ensembles are new processes, as they are outside the tests."""
    from fact_clip.training import ensemble

    monkeypatch.setattr(ensemble, "subprocess", subprocess)


@pytest.fixture
def heard() -> Iterator[None]:
    """Signals as in a terminal: `nohup` ignores SIGHUP, and background jobs of scripts SIGINT, for children too."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def kscgr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Write KSCGR, the real data set of the package. Tests only read it."""
    from fact_clip.datasets.kscgr import write_kscgr

    folder = write_kscgr(tmp_path_factory.mktemp("data") / "kscgr")
    before = _sizes_and_times(folder)
    yield folder
    assert _sizes_and_times(folder) == before, "a test wrote into the data set that all tests share"


def _sizes_and_times(folder: Path) -> dict[Path, tuple[int, int]]:
    """Return the size and modification time of each file of a folder."""
    return {
        path: (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.rglob("*")) if path.is_file()
    }


REAL_DATA = os.environ.get("FACT_CLIP_DATA")
"""The folder of public data sets that `experiments/data` builds, as the tests were started."""


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Return the folder of a public data set, ``real_data("salads")``, or skip the test."""

    def find(name: str) -> Path:
        if not REAL_DATA:
            pytest.skip(f"set FACT_CLIP_DATA to a folder that has {name}, as experiments/data builds it")
        folder = Path(REAL_DATA) / name
        if not folder.is_dir():
            pytest.skip(f"{folder} is missing; experiments/data builds it")
        return folder.resolve()

    return find


@pytest.fixture(scope="session")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six small videos; split 1 trains on three, validates on one and tests on two. Tests only read it."""
    return write_workbench(tmp_path_factory.mktemp("workbench"), videos=6, persons=3, dim=8)


@pytest.fixture(autouse=True)
def _needs_pynwb(request: pytest.FixtureRequest) -> None:
    """Tests of NWB files run where the extra `nwb` is installed, which takes 100 MB with pandas."""
    params = getattr(getattr(request.node, "callspec", None), "params", {})
    if any(isinstance(value, str) and value in ("nwb", ".nwb") for value in params.values()):
        pytest.importorskip("pynwb")


@pytest.fixture(scope="session")
def tiny(workbench: Path) -> Callable[..., Config]:
    """Make a small configuration on the workbench: ``tiny(train={"epochs": 3})`` changes one key."""

    def make(**groups: dict[str, Any]) -> Config:
        here = {"data": {"root": str(workbench)}}
        return Config.from_tree(merged(merged(TINY, here), groups), "tests")

    return make


@pytest.fixture(scope="session")
def tiny_run(tiny: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A trained run folder; tests only read it."""
    folder = tmp_path_factory.mktemp("tiny") / "run"
    fact_clip.training.train(tiny(data={"standardize": True, "context": [5]}), folder)
    before = sorted(folder.rglob("*"))
    yield folder
    assert sorted(folder.rglob("*")) == before, "a test wrote into the run that all tests share"


@pytest.fixture(autouse=True)
def _logged() -> Iterator[None]:
    """The command of the page, run in this process, quiets the models' logger; other tests read its warnings."""
    logger = logging.getLogger("fact_clip.inference")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    """Losses and metrics that a test registers are gone after it, so that logs of others have none of them."""
    loaded = [sys.modules.get(name) for name in ("fact_clip.losses.criterion", "fact_clip.metrics.report")]
    tables = [module.LOSSES if "losses" in module.__name__ else module.METRICS for module in loaded if module]
    before = [dict(table.data) for table in tables]
    yield
    for table, rows in zip(tables, before, strict=True):
        table.data = rows


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a file of `numbered` images: ``video("a.mkv", 150)``; the same call gives the same file."""
    from .films import numbered, write_video

    folder = tmp_path_factory.mktemp("videos")

    def make(name: str, count: int = 150, **how: object) -> Path:
        values = repr(sorted(how.items())).encode()
        path = folder / f"{zlib.crc32(values):08x}" / str(count) / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_video(path, numbered(count), **how)
        return path

    return make


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium; the tests that use it are marked slow."""
    from .browser import started

    with started() as running:
        yield running


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hugging Face hub that this process talks to, with an empty cache and a login."""
    constants = pytest.importorskip("huggingface_hub.constants")
    from .hub_server import TOKEN, serving

    with serving() as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.address)
        template = running.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield running


TINY_CLIP = {
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
    (folder / "tiny-clip.json").write_text(json.dumps(TINY_CLIP))
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY_CLIP}))
    open_clip.add_model_config(folder / "tiny-clip.json")
    torch.manual_seed(0)
    weights = open_clip.create_model("tiny-clip").state_dict()
    save_file({key: value.contiguous() for key, value in weights.items()}, folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="session")
def video_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random VideoMAE model of transformers, which reads clips of four pictures."""
    transformers = pytest.importorskip("transformers")
    import torch

    folder = tmp_path_factory.mktemp("videomae")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.VideoMAEConfig(image_size=32, patch_size=16, num_frames=4, tubelet_size=2, **sizes)
    torch.manual_seed(0)
    transformers.VideoMAEModel(config).save_pretrained(folder)
    crop = {"height": 32, "width": 32}
    transformers.VideoMAEImageProcessor(size={"shortest_edge": 32}, crop_size=crop).save_pretrained(folder)
    return folder
