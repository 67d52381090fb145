"""`load`: opens a run folder, or an image-text model with action names, as a `Segmenter`."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from fact_clip.core import InputError
from fact_clip.core.arguments import number_of, validated
from fact_clip.devices.device import Precision, pick_device
from fact_clip.encoders import (
    FRAME_ENCODERS,
    EncodeImages,
    FrameEncoder,
    ImageTextEncoder,
    Runtime,
    frame_encoder,
)
from fact_clip.inference.scorer import Scorer
from fact_clip.inference.segmenter import Segmenter
from fact_clip.inference.sources import ModelOptions
from fact_clip.inference.training_free import SimilarityScorer
from fact_clip.runs.hub import run_folder
from fact_clip.runs.run import Run


@validated("run_dir", "encoder")
def load(
    run_dir: str | Path | ImageTextEncoder,
    device: str = "auto",
    *,
    actions: Sequence[str] | None = None,
    encoder: str | FrameEncoder | EncodeImages | None = None,
    fps: float | None = None,
    window: float | None = None,
    prompts: str | None = None,
    smoothing: float | None = None,
    trust_encoder: bool = False,
    precision: Precision = "auto",
) -> Segmenter:
    """Return the segmenter of a run folder, or of an image-text model with action names.

    No code from the folder is executed.

    Args:
        run_dir: Run folder, or its ckpts/best.net. Alternatively, an image-text model that compares
            frames with names without training: an object or a name ("clip:ViT-B-32/openai").
        device: Device: auto, cpu, cuda, cuda:N or mps.
        actions: Candidates for calls that name none, or None for the classes of the run.
        encoder: Frame encoder for videos, or None for the encoder used in training. It is a name
            ("clip:ViT-B-32/openai"), an object with the same methods, or a function from images
            (N, H, W, 3) to features (N, D).
        fps: Rows per second of features extracted from videos. None uses the rate of the run, or 5
            without training.
        window: Seconds of a video that the model reads in one pass, or None for ``decode.window``.
        prompts: Wording around the names: plain, person or ensemble (the default). Only without
            training.
        smoothing: Seconds over which similarities are averaged, 1 by default. Only without
            training.
        trust_encoder: Whether to load an encoder that the run names by a path (docs/security.md).
        precision: Precision: float32, bf16 or auto. With auto, an image encoder uses bf16 if the
            device supports it natively, and the model uses float32.

    Returns:
        The segmenter.

    Raises:
        InputError: The folder does not contain a readable run, the model cannot read names, or an
            option does not apply.
    """
    options = ModelOptions(
        device=device,
        actions=actions,
        encoder=encoder,
        fps=fps,
        window=window,
        prompts=prompts,
        smoothing=smoothing,
        trust_encoder=trust_encoder,
        precision=precision,
    )
    return open_model(run_dir, options)


def open_model(source: str | Path | ImageTextEncoder, options: ModelOptions) -> Segmenter:
    """Return the segmenter of a run folder or an image-text model; see `load`.

    Args:
        source: Model, as `run_dir` of `load`.
        options: Options for opening it.

    Returns:
        The segmenter.
    """
    if isinstance(source, Path):
        source = str(source)
    if isinstance(source, str) and not _names_encoder(source):
        segmenter = _open_run(source, options)
    else:
        segmenter = _open_encoder(source, options)
    segmenter.reopen = partial(open_model, source)
    return segmenter


def _names_encoder(source: str) -> bool:
    """Return whether a string is the name of an encoder and not of a folder."""
    kind, colon, _ = source.partition(":")
    return kind in FRAME_ENCODERS and (bool(colon) or not Path(source).exists())


def _open_run(source: str, options: ModelOptions) -> Segmenter:
    """Load the models of a run."""
    _check_unread(options, "prompts", "smoothing")
    loaded = Run.open(run_folder(source))
    run = loaded.run
    device = pick_device(options.device, "device")
    run.check_rate(options.fps, "fps")
    encoder = None
    if options.encoder is not None:
        encoder = frame_encoder(options.encoder, Runtime(str(device), options.precision))
        if run.encoder not in (None, encoder.name):
            problem = f"{encoder.name}, but {run.path} was trained with {run.encoder}"
            raise InputError("encoder", problem)
    scorer = Scorer(
        loaded,
        device,
        window=_window_rows(run, options),
        trust_encoder=options.trust_encoder,
        precision=options.precision,
    )
    segmenter = Segmenter(scorer, encoder, options)
    segmenter.choose()  # check that the names fit the model
    return segmenter


def _window_rows(run: Run, options: ModelOptions) -> int | None:
    """Return the rows of a window, or None for the window of the run."""
    window = options.window
    if window is None:
        return None
    rate = run.fps if options.fps is None else options.fps
    if rate is None:
        problem = f"seconds, but {run.path} has no frame rate"
        raise InputError("window", problem, "set fps=")
    meaning = f"seconds, at least two rows at {rate:g} rows per second"
    number_of(window, "window", meaning, 2 / rate, 1e7)
    return round(window * rate)


def _open_encoder(source: str | ImageTextEncoder, options: ModelOptions) -> Segmenter:
    """Create a segmenter that compares frames with names."""
    _check_unread(options, "encoder", "window")
    if options.actions is None:
        raise InputError("actions", "a model without training needs names", "set actions=")
    scorer = SimilarityScorer(
        source,
        options.actions,
        device=options.device,
        precision=options.precision,
        **options.given("prompts", "smoothing", "fps"),
    )
    return Segmenter(scorer, scorer.encoder, options)


def _check_unread(options: ModelOptions, *names: str) -> None:
    """Raise an InputError for options that this kind of model does not use."""
    for name in options.given(*names):
        raise InputError(name, "this model does not use it", "omit it")
