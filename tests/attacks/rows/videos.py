"""Videos and what is none, for `extract` and `segment`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..row import Content, Row, cut, fifo, folder, link, sparse

DIGITS = "9" * 5000


def shown(times: list[int], size: tuple[int, int] = (64, 48), ending: str = "mkv") -> Content:
    """A video whose pictures are shown at these milliseconds."""

    def make(path: Path) -> None:
        from fractions import Fraction

        import av

        with av.open(str(path), "w", format="matroska" if ending == "mkv" else None) as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            stream.codec_context.time_base = Fraction(1, 1000)
            for time in times:
                frame = av.VideoFrame.from_ndarray(np.zeros((size[1], size[0], 3), np.uint8), format="rgb24")
                frame.pts, frame.time_base = time, Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))

    return make


def sound(path: Path) -> None:
    """A file of sound alone."""
    import av

    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


VIDEOS: dict[str, tuple[Content, tuple[str, ...]]] = {
    "empty": (b"", ("empty",)),
    "text": ("no such thing", ("not a video",)),
    "an image": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), ()),
    "NUL bytes": (b"\0" * 10_000, ()),
    "a folder": (folder, ()),
    "a pipe": (fifo, ()),
    "an endless device": (link("/dev/zero"), ()),
    "a link to itself": (link("v.mp4"), ()),
    "sound alone": (sound, ("no video stream",)),
    "a list of files": ("ffconcat version 1.0\nfile ../canary.txt\n", ()),
    "a playlist": ("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", ()),
    "a description of a stream": ("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 5004 RTP/AVP 96\n", ()),
    "10 GB of nothing": (sparse(10 << 30), ()),
    "a picture that lasts a day": (shown([0, 40, 86_400_000]), ("v.mp4",)),
}


def _rows() -> Iterator[Row]:
    for what, (content, words) in VIDEOS.items():
        yield Row(
            f"extract/{what}",
            "extract v.mp4 --encoder grid --out out",
            ("v.mp4", *words),
            {"v.mp4": content},
            leaves=("out",),
        )
    for what in ("empty", "text", "a pipe", "a list of files", "sound alone"):
        content, words = VIDEOS[what]
        yield Row(
            f"segment a video/{what}",
            "segment v.mp4 --run {w}/run --encoder grid --out out",
            ("v.mp4", *words),
            {"v.mp4": content},
        )
    for what, change in {"cut off": cut(-300), "cut to its head": cut(100)}.items():
        leaves = ("out",)
        command = "extract clip.mp4 --encoder grid --out out"
        yield Row(f"extract/{what}", command, ("clip.mp4",), {"clip.mp4": change}, ("clip.mp4",), leaves=leaves)
    yield Row(
        "extract/missing", "extract none.mp4 --encoder grid --out out", ("none.mp4", "no such file"), leaves=("out",)
    )
    for name in (
        "concat:clip.mp4",
        "file:clip.mp4",
        "http:x.mp4",
        "subfile,,start,0,end,100,,:clip.mp4",
        "pipe:0",
        "data:video/mp4;base64,AAAA",
        "crypto:clip.mp4",
        "cache:clip.mp4",
    ):
        yield Row(
            f"extract/{name[:30]}",
            ["extract", name, "--encoder", "grid", "--out", "out"],
            (name[:10],),
            copies=("clip.mp4",),
            leaves=("out",),
        )
    for option, values in {
        "--fps": ("0", "-1", "nan", "inf", "1e300", "1e-300", "x", DIGITS),
        "--batch": ("0", "-1", "1000000000000", "x", DIGITS),
        "--device": ("tpu", ""),
        "--precision": ("int1",),
    }.items():
        for value in values:
            yield Row(
                f"extract {option}/{value[:20] or 'empty'}",
                ["extract", "{w}/clip.mp4", "--encoder", "grid", "--out", "out", option, value],
                (option.removeprefix("--"),),
            )
    for encoder in (
        "",
        "gpt",
        "grid:0",
        "grid:x",
        f"grid:{DIGITS}",
        "grid:1000000000",
        "timm:none",
        "torchvision:none",
        "clip:none",
        "transformers:none",
        "transformers:/etc",
    ):
        yield Row(
            f"extract --encoder/{encoder[:30] or 'empty'}",
            ["extract", "{w}/clip.mp4", "--out", "out", "--encoder", encoder],
            (),
            leaves=("out",),
        )
    yield Row("extract/out is a file", "extract {w}/clip.mp4 --encoder grid --out f", ("f",), {"f": ""})
    yield Row("extract/out is a pipe", "extract {w}/clip.mp4 --encoder grid --out o", ("o",), {"o": fifo})
    yield Row(
        "extract/a full disk",
        "extract {w}/clip.mp4 --encoder grid --out out",
        ("cannot be written",),
        disk=256,
        leaves=("out*",),
    )
    yield Row(
        "extract/a part that is damaged",
        "extract {w}/clip.mp4 --encoder grid --out out",
        ("1 extracted",),
        {"out/clip.part": '{"dim": 5, "format":'},
        code=0,
        leaves=("out*",),
    )
    yield Row(
        "extract/a part of 10^12 columns",
        "extract {w}/clip.mp4 --encoder grid --out out",
        ("1 extracted",),
        {"out/clip.part": '{"dim": 1000000000000}\n'},
        code=0,
        leaves=("out*",),
    )
    yield Row(
        "extract/a part that is deep",
        "extract {w}/clip.mp4 --encoder grid --out out",
        ("1 extracted",),
        {"out/clip.part": "[" * 100_000 + "\n"},
        code=0,
        leaves=("out*",),
    )
    yield Row(
        "extract/a part that is a pipe",
        "extract {w}/clip.mp4 --encoder grid --out out",
        ("clip.part",),
        {"out/clip.part": fifo},
        leaves=("out*",),
    )
    yield Row(
        "extract/a description that is damaged",
        "extract {w}/clip.mp4 --encoder grid --out out",
        ("1 extracted",),
        {"out/clip.json": "[" * 100_000},
        code=0,
        leaves=("out*",),
    )
    yield Row(
        "extract/one bad of two",
        "extract {w}/clip.mp4 v.mp4 --encoder grid --out out",
        ("v.mp4", "1 failed"),
        {"v.mp4": "x"},
        code=1,
        leaves=("out*",),
    )


ROWS = tuple(_rows())
