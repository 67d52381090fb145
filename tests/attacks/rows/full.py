"""File systems that are really full: every command that writes, with room for nothing, for its first files, and for most."""

from __future__ import annotations

from collections.abc import Iterator

from ..row import Row

# Command, what is copied into the working folder, rooms in bytes, and what may be left.
COMMANDS: dict[str, tuple[str, tuple[str, ...], tuple[int, ...], tuple[str, ...]]] = {
    "train": ("train {w}/tiny.yaml --out out", (), (0, 4096, 8192, 16384, 32768, 65536, 100_000), ("out*",)),
    "train members": (
        "train {w}/tiny.yaml train.members=2 --out out",
        (),
        (0, 16384, 65536, 131_072),
        ("out*",),
    ),
    "train resume": ("train run/config.yaml train.epochs=2 --out run --resume", ("run",), (0, 4096, 40_000), ("run*",)),
    "extract": ("extract {w}/clip.mp4 --encoder grid --out out", (), (0, 4096, 8192), ("out*",)),
    "segment": ("segment {w}/person1_video1.npy --run {w}/run --out out", (), (0, 4096, 8192), ("out*",)),
    "segment into every format": ("segment {w}/person1_video1.npy --run {w}/run --format csv,json,eaf,boris,srt,vtt,otio,txt --out out", (), (16384, 24576, 32768), ("out*",)),
    "convert": ("convert {w}/published.net --config {w}/reference.yaml --mapping {w}/data/mapping.txt --layout TD --out out", (), (0, 4096, 8192, 20480), ("out*",)),
    "evaluate": ("evaluate run", ("run",), (0, 4096, 24576, 40_000), ("run*",)),
    "report": ("report run --out page.html", ("run",), (0, 4096, 40_000), ("run*",)),
    "data convert eaf": ("data convert --from eaf {w}/a.eaf --fps 10 --out out", (), (0, 4096), ("out*",)),
    "data convert csv": ("data convert --from csv {w}/a.csv --unit seconds --fps 4000 --out out", (), (0, 4096, 16384), ("out*",)),
    "data convert boris": ("data convert --from boris {w}/a.boris --fps 4000 --out out", (), (0, 4096, 16384), ("out*",)),
    "data convert via": ("data convert --from via {w}/a.via.json --fps 4000 --out out", (), (0, 4096, 16384), ("out*",)),
    "data convert label-studio": ("data convert --from label-studio {w}/a.ls.json --fps 4000 --out out", (), (0, 4096), ("out*",)),
    "data convert epic": ("data convert --from epic {w}/epic.csv --fps 4000 --out out", (), (0, 4096), ("out*",)),
    "data sample": ("data sample out", (), (0, 4096, 65536), ("out*",)),
    "data init": ("data init data --fps 15", ("data",), (0,), ()),
    "scripts/train": ("scripts/train --cfg {w}/tiny.yaml", (), (0, 16384), ("logs*",)),
}  # fmt: skip


def _rows() -> Iterator[Row]:
    for what, (command, copies, rooms, leaves) in COMMANDS.items():
        for room in rooms:
            yield Row(
                f"really full disk/{what}, {room} bytes left",
                command,
                ("cannot be written", "No space left" if "sample" not in what else ""),
                {},
                copies,
                leaves=leaves,
                room=room,
            )


ROWS = tuple(_rows())
