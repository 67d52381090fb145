"""Videos for batches, and a decoder that fails on some of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import pytest

pytest.importorskip("av")

from fact_clip.cli import main
from fact_clip_batch import BatchOptions, Inputs, Item, Outcome, SegmentSettings, segment_batch
from fact_clip_batch.segmentation import SEGMENT_SUFFIXES

from ..films import numbered, write_video
from ..refusals import Answer

SABOTAGE = '''
"""Make PyAV crash, hang or eat memory on files of these names, in every process."""

import os
import time

import av

real = av.open


def sabotaged(url, *rest, **how):
    name = str(url).rpartition("/")[2]
    if "crash" in name:
        os.abort()
    while "hang" in name:
        time.sleep(1)
    if "greedy" in name:
        hoard = []
        while True:
            hoard.append(bytes(1 << 28))
    return real(url, *rest, **how)


av.open = sabotaged
'''


def write_manifest(path: Path, items: Sequence[Item]) -> None:
    """Write inputs as a manifest."""
    rows = [f"{item.id},{item.path},{item.start},{'' if item.stop is None else item.stop}\n" for item in items]
    path.write_text("".join(["id,uri,start,stop\n", *rows]))


def segment_files(segmenter, inputs, out, overwrite: bool = False, **settings) -> list[Outcome]:
    """The outcomes of a batch of segment."""
    options = BatchOptions(overwrite=overwrite)
    return list(segment_batch(segmenter, Inputs(inputs, SEGMENT_SUFFIXES), out, SegmentSettings(**settings), options))


@pytest.fixture(scope="session")
def small_film(tmp_path_factory) -> Path:
    """A video of thirty pictures."""
    return write_video(tmp_path_factory.mktemp("film") / "film.mp4", numbered(30))


@pytest.fixture
def library(small_film, tmp_path) -> Callable[..., Path]:
    """Copy the video to some names below a folder."""

    def copies(*names: str, folder: str = "in") -> Path:
        root = tmp_path / folder
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(small_film, path)
        return root

    return copies


@pytest.fixture
def sabotage(tmp_path, monkeypatch) -> Path:
    """A folder for PYTHONPATH, whose sitecustomize.py sabotages the decoder of child processes."""
    folder = tmp_path / "sabotage"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SABOTAGE)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


@pytest.fixture
def fact_clip_command(capsys) -> Callable[..., Answer]:
    def run(*argv: object) -> Answer:
        capsys.readouterr()
        code = main([str(part) for part in argv])
        return Answer(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def s3_server() -> Iterator[dict[str, str]]:
    """The variables of an S3 server of this machine."""
    pytest.importorskip("fsspec")
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    yield {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address,
        "FSSPEC_S3_ENDPOINT_URL": address,
    }
    server.stop()


@pytest.fixture
def s3(s3_server, monkeypatch) -> Iterator[str]:
    """An address on the S3 server, empty."""
    import fsspec

    for name, value in s3_server.items():
        monkeypatch.setenv(name, value)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    bucket = f"lab{uuid4().hex}"
    fsspec.filesystem("s3").mkdir(bucket)
    yield f"s3://{bucket}"
    fsspec.get_filesystem_class("s3").clear_instance_cache()
