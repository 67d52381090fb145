"""`load`: a run folder, or an image-text model and names of actions, as a `Segmenter`."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from fact_clip.core import InputError
from fact_clip.core.arguments import number_of, validated
from fact_clip.core.distributed import Precision, pick_device
from fact_clip.encoders import (
    FRAME_ENCODERS,
    EncodeImages,
    FrameEncoder,
    ImageTextEncoder,
    Runtime,
    frame_encoder,
)
from fact_clip.hub import run_folder
from fact_clip.inference.scorer import Scorer
from fact_clip.inference.segmenter import Segmenter
from fact_clip.inference.training_free import load_training_free
from fact_clip.run import Run
from fact_clip.video.extract import Settings


@validated("run_dir", "encoder")
def load(
    run_dir: str | Path | ImageTextEncoder,
    device: str = "auto",
    *,
    actions: Sequence[str] | None = None,
    encoder: str | FrameEncoder | EncodeImages | None = None,
    fps: float | None = None,
    window: float | None = None,
    keep_going: bool = False,
    trust_encoder: bool = False,
    precision: Precision = "auto",
) -> Segmenter:
    """Return the segmenter of a run folder, or of an image-text model and names of actions.

    Nothing in the folder is executed. A model without training is loaded as by
    `load_training_free`, which has more options.

    Args:
        run_dir: the folder, or its ckpts/best.net; or the image-text model, as
            "clip:ViT-B-32/openai".
        device: auto, cpu, cuda, cuda:N or mps.
        actions: the candidates for calls that name none; None: the classes of the run.
        encoder: frame encoder for videos, as "clip:ViT-B-32/openai", an object with its methods, or
            a function of pictures (N, H, W, 3) to features (N, D); None: that of the training.
        fps: rows a second of features that are made from videos; None: those of the run, or 5.
        window: seconds of a video that the model reads in one pass; None: ``decode.window``.
        keep_going: decode what can be decoded of a damaged video, with a warning.
        trust_encoder: load an encoder that the run names by a path (docs/security.md).
        precision: float32, bf16, or auto: bf16 for an encoder of pictures where the device computes
            in it natively, and float32 for the model.

    Returns:
        The segmenter.

    Raises:
        InputError: the folder holds no readable run, or an option does not fit it.
    """
    source = str(run_dir) if isinstance(run_dir, Path) else run_dir
    prefix, colon, _ = str(source).partition(":")
    if not isinstance(source, str) or (colon and prefix in FRAME_ENCODERS):
        unread = {"encoder": encoder, "window": window}
        for name, value in unread.items():
            if value is not None:
                raise InputError(name, "a model without training does not read it", "leave it out")
        if actions is None:
            raise InputError("actions", "a model without training needs them", "set actions=")
        return load_training_free(
            source, actions, device, fps=fps, keep_going=keep_going, precision=precision
        )
    reopen = partial(
        load,
        source,
        device=device,
        actions=actions,
        encoder=encoder,
        fps=fps,
        window=window,
        keep_going=keep_going,
        trust_encoder=trust_encoder,
        precision=precision,
    )
    loaded = Run.open(run_folder(source))
    run = loaded.run
    torch_device = pick_device(device, "device")
    run.check_rate(fps, "fps")
    named_encoder = None
    if encoder is not None:
        named_encoder = frame_encoder(encoder, Runtime(str(torch_device), precision))
        if run.encoder not in (None, named_encoder.name):
            problem = f"{named_encoder.name}, but {run.path} was trained with {run.encoder}"
            raise InputError("encoder", problem)
    rate = run.fps or Settings().fps
    if fps is not None:
        rate = fps
    extraction = Settings(fps=rate, keep_going=keep_going)
    window_rows = None
    if window is not None:
        if fps is None and run.fps is None and named_encoder is None:
            problem = f"seconds, but {run.path} has no frame rate"
            raise InputError("window", problem, "set fps=")
        meaning = f"seconds, two rows at {rate:g} a second at least"
        number_of(window, "window", meaning, 2 / rate, 1e7)
        window_rows = round(window * rate)
    scorer = Scorer(
        loaded,
        torch_device,
        window=window_rows,
        trust_encoder=trust_encoder,
        precision=precision,
    )
    segmenter = Segmenter(scorer, named_encoder, extraction, precision)
    segmenter.reopen = reopen
    segmenter.actions = actions
    segmenter.choose()  # the names fit the model
    return segmenter
