"""KSCGR, the real data set in the package: unpacking its archive in the common layout."""

import io
import zipfile
from pathlib import Path

import numpy as np

from fact_clip.core.paths import inside, whole_file

ARCHIVE = Path(__file__).with_suffix(".zip")
"""The files of the data set. Features are stored column by column for better compression."""

_DATE = (2020, 10, 14, 0, 0, 0)  # date of the annotations; makes the archive reproducible


def write_kscgr(root: str | Path) -> Path:
    """Write KSCGR in the common layout, for `data.name=kscgr`.

    The data set has 30 recordings of people who cook, 67 action names, and hold-outs in
    `zero_shot`. README.md in the folder describes it and names its source and licence.

    Args:
        root: Folder to write.

    Returns:
        The folder.
    """
    root = Path(root)
    with zipfile.ZipFile(ARCHIVE) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            with whole_file(inside(root, *name.split("/"))) as unfinished:
                if name.endswith(".npy"):
                    columns = np.load(io.BytesIO(content))
                    np.save(unfinished, np.ascontiguousarray(columns))
                else:
                    unfinished.write_bytes(content)
    return root


def pack_kscgr(root: Path, archive_path: Path) -> None:
    """Write the archive from the folder that `experiments/data/kscgr.py` builds.

    Args:
        root: Folder of the data set.
        archive_path: Archive to write. The same folder gives the same bytes.
    """
    with zipfile.ZipFile(archive_path, "w") as archive:
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            content = path.read_bytes()
            if path.suffix == ".npy":
                buffer = io.BytesIO()
                np.save(buffer, np.asfortranarray(np.load(path)))
                content = buffer.getvalue()
            information = zipfile.ZipInfo(path.relative_to(root).as_posix(), _DATE)
            archive.writestr(
                information, content, compress_type=zipfile.ZIP_DEFLATED, compresslevel=9
            )
