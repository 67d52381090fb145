"""The real data set in the package."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np

from fact_clip.datasets.kscgr import ARCHIVE, pack_kscgr, write_kscgr

DIGEST = "2ce2512fb9d0561d702f7d5cc0a16fc28f5af4cf1b307421b3a71ba6daeb3b12"
"""SHA-256 over the names and bytes of the files, in the order of their names."""


def digest_of(root: Path) -> str:
    """The digest of a folder."""
    digest = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def test_the_files_are_those_of_the_source(tmp_path):
    root = write_kscgr(tmp_path / "kscgr")
    labels = sorted((root / "groundTruth").glob("*.txt"))
    rows = [len(path.read_text(encoding="utf-8").splitlines()) for path in labels]
    assert len(labels) == 30
    assert sum(rows) == 35_795
    first = np.load(root / "features" / "subj1_boiledegg.npy")
    assert first.shape == (rows[0], 180)
    assert first.dtype == np.float16
    assert first.flags.c_contiguous
    assert "Copyright (c) 2020 Roger Granada" in (root / "LICENSE").read_text(encoding="utf-8")
    assert digest_of(root) == DIGEST


def test_packing_gives_the_archive_again(tmp_path):
    root = write_kscgr(tmp_path / "kscgr")
    pack_kscgr(root, tmp_path / "kscgr.zip")
    again = tmp_path / "again"
    assert write_again(tmp_path / "kscgr.zip", again) == digest_of(root)
    assert ARCHIVE.stat().st_size < 600_000


def write_again(archive: Path, folder: Path) -> str:
    """Unpack an archive without the package, and return the digest of its files."""
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    for path in folder.rglob("*.npy"):
        np.save(path, np.ascontiguousarray(np.load(path)))
    return digest_of(folder)
