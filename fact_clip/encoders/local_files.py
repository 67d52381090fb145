"""Files of models on this machine: names that are paths, and digests of their content."""

import hashlib
from pathlib import Path

from fact_clip.core import InputError
from fact_clip.core.paths import expanded


def looks_local(path: str) -> bool:
    """Return whether a string is a path, rather than a tag or the name of a model on a hub.

    A path starts with "/", "." or "~", has two slashes or more, or ends with .pt or .safetensors.
    """
    return (
        path.startswith(("/", ".", "~"))
        or path.count("/") > 1
        or Path(path).suffix in (".pt", ".safetensors")
    )


def local_folder(path: str, where: str) -> Path:
    """Return the path of an existing folder."""
    folder = expanded(path)
    if not folder.is_dir():
        raise InputError(where, f"no folder {folder}", "give a folder that has the model's files")
    return folder.resolve()


def content_name(path: Path) -> str:
    """Return the name of a file or folder with a digest of its content.

    Raises:
        InputError: There is no such file or folder, so it has no content.
    """
    if not path.exists():
        raise InputError(path, "no such file or folder")
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(f"{file.relative_to(path)}\n{file.stat().st_size}\n".encode())
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return f"{path.name}@{digest.hexdigest()[:16]}"
