"""Decoding and the built-in encoder: frames a second and peak memory on a video of 640 x 360.

python benchmarks/video.py
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TARGET_RATE, TARGET_MB = 300.0, 500.0
WIDTH, HEIGHT, FPS = 640, 360, 30


def write(path: Path, seconds: float) -> int:
    """A textured picture that pans, with a patch of noise; H.264 at its usual settings. Gives the number of frames."""
    import av

    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(30, 220, (24, 64, 3)), np.ones((20, 20, 1))).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(round(seconds * FPS)):
            x = abs(number * 2 % 1200 - 600)
            image = texture[60 : 60 + HEIGHT, x : x + WIDTH].copy()
            image[100:160, 200:300] = rng.integers(0, 255, (60, 100, 3))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return round(seconds * FPS)


def measured(path: Path, what: str) -> tuple[float, int]:
    """Seconds and rows of one pass; every frame of the file is a row."""
    from fact_clip.encoders import frame_encoder
    from fact_clip.video.extract import Settings, extract
    from fact_clip.video.frames import frames

    start = time.perf_counter()
    if what == "decode":
        rows = sum(1 for _ in frames(path, size=(64, 48)))
    else:
        with tempfile.TemporaryDirectory() as folder:
            rows = len(np.load(extract(path, frame_encoder("grid"), folder, Settings(fps=FPS))))
    return time.perf_counter() - start, rows


def main() -> int:
    """Print the table; exit code 1 where a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=600.0, help="of the video")
    parser.add_argument("--measure", nargs=2, metavar=("FILE", "WHAT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        seconds, rows = measured(Path(given.measure[0]), given.measure[1])
        print(seconds, rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        n_frames = write(path, given.seconds)
        print(
            f"{n_frames} frames of {WIDTH} x {HEIGHT}, {path.stat().st_size / 2**20:.0f} MB of H.264"
        )
        print(f"{'':<28}{'frames/s':>10}{'peak MB':>10}")
        met = True
        for what, title in {
            "decode": "decode, scaled to 64 x 48",
            "extract": "decode + grid encoder",
        }.items():
            # a process each, so that the peak is its own
            command = [sys.executable, __file__, "--measure", str(path), what]
            answer = subprocess.run(
                command, check=True, capture_output=True, text=True
            ).stdout.split()
            seconds, rows, memory = float(answer[0]), int(answer[1]), float(answer[2])
            assert rows == n_frames, f"{rows} rows of {n_frames} frames"
            print(f"{title:<28}{rows / seconds:>10.0f}{memory:>10.0f}")
            met = rows / seconds >= TARGET_RATE and memory < TARGET_MB
    print(f"target: {TARGET_RATE:g} frames/s, {TARGET_MB:g} MB: {'met' if met else 'MISSED'}")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{os.cpu_count()} cores, load {load:.1f}; under load times are upper bounds")
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
