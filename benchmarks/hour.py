"""Seconds of one core for an hour of video: training, segmenting and extraction of features.

Training and segmenting use KSCGR (real features, 6 rows per second) and the recipe of `fact-clip data init`.
Extraction reads a made-up video of 640 x 360 pixels at 30 frames per second, from which 5 frames per second are encoded.
The weights of ViT-B-32 are random, because the speed does not depend on them and nothing is downloaded.

    PYTHONPATH=. OMP_NUM_THREADS=1 python benchmarks/hour.py
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.video import write

HOUR = 3600.0
KSCGR_FPS = 6.0
EXTRACTION_FPS = 5.0
VIDEO_SECONDS = 20.0


def cpu_seconds(work: Callable[[], object]) -> float:
    """Processor seconds of a call in this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def measure_own_model(folder: Path) -> tuple[float, float]:
    """Seconds of an epoch for an hour of training video, and of segmenting an hour of video."""
    import fact_clip
    from fact_clip.cli import main
    from fact_clip.config import Config
    from fact_clip.datasets.dataset import Dataset
    from fact_clip.datasets.kscgr import write_kscgr

    data = write_kscgr(folder / "kscgr")
    assert main(["data", "init", str(data), "--fps", "6", "--split", "5"]) == 0
    config = Config.load(str(data / "recipe.yaml"), ["data.split=5", "train.device=cpu"])
    dataset = Dataset.open(config.data)
    trained_hours = sum(map(dataset.length, dataset.learning)) / KSCGR_FPS / HOUR
    training = cpu_seconds(lambda: fact_clip.training.train(config, folder / "run"))

    segmenter = fact_clip.load(folder / "run", "cpu")
    features = [dataset.features(name) for name in (*dataset.learning, *dataset.test)]
    segmented_hours = sum(map(len, features)) / KSCGR_FPS / HOUR
    segmenter.segment(features[0])
    segmenting = cpu_seconds(lambda: [segmenter.segment(array) for array in features])
    return training / config.train.epochs / trained_hours, segmenting / segmented_hours


def measure_extraction(folder: Path, encoder_name: str) -> float:
    """Seconds of extracting features from an hour of video."""
    from fact_clip.encoders import frame_encoder
    from fact_clip.video.extract import Settings, extract

    video = folder / "video.mp4"
    if not video.exists():
        write(video, VIDEO_SECONDS)
    encoder = frame_encoder(encoder_name)
    settings = Settings(fps=EXTRACTION_FPS)
    extract(video, encoder, folder / "loading", settings)
    seconds = cpu_seconds(lambda: extract(video, encoder, folder / "features", settings))
    return seconds / VIDEO_SECONDS * HOUR


def write_random_vit(folder: Path) -> str:
    """Write weights of a ViT-B-32, and return the name of the encoder."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    weights = open_clip.create_model("ViT-B-32").state_dict()
    path = folder / "vit.safetensors"
    save_file({key: value.contiguous() for key, value in weights.items()}, path)
    return f"clip:ViT-B-32/{path}"


def processor() -> str:
    """The model name of the processor."""
    listing = subprocess.run(["lscpu"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"Model name:\s*(.+)", listing)
    return match[1] if match else "unknown processor"


def main() -> int:
    """Print the table."""
    print(f"{processor()}, one thread; processor seconds for an hour of video")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        epoch, segmenting = measure_own_model(folder)
        print(f"| an epoch of training | {epoch:.1f} |")
        print(f"| segmenting features | {segmenting:.1f} |")
        print(f"| extraction, grid | {measure_extraction(folder, 'grid'):.0f} |")
        vit = write_random_vit(folder)
        print(f"| extraction, CLIP ViT-B-32 | {measure_extraction(folder, vit):.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
