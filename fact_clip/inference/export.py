"""Export of models to `torch.export` and ONNX, to run without this package (docs/streaming.md)."""

import json
import logging
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fact_clip.core import InputError, Json, library_errors
from fact_clip.core.arguments import path_of
from fact_clip.core.extras import require
from fact_clip.core.paths import check_place, whole_file
from fact_clip.decoding import voters
from fact_clip.inference.scorer import Scorer
from fact_clip.models import FACT
from fact_clip.models.heads import is_open

logger = logging.getLogger(__name__)

SUFFIXES = (".pt2", ".onnx")
METADATA = "fact_clip"

_MAX_ROWS = 1_000_000


class Pass(nn.Module):
    """One pass of all K models of a run, up to the scores, which are decoded elsewhere."""

    def __init__(self, models: Sequence[FACT], blocks: str) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)
        self.blocks = blocks

    def forward(self, features: Tensor, text: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the frames (K, T, C) of `Voters` and, if there are tokens, tokens and has_token.

        Args:
            features: Transformed features, (1, T, D).
            text: Text vectors (C, S, E), for a head that reads text.
        """
        parts = [voters(model(features, text=text), self.blocks) for model in self.models]
        frames = torch.cat([part.frames for part in parts])
        has_token = torch.cat([part.has_token for part in parts])
        tokens = [part.tokens for part in parts if part.tokens is not None]
        if not tokens:
            return (frames,)
        return frames, torch.cat(tokens), has_token


def export(scorer: Scorer, path: str | Path) -> Path:
    """Write the models of a run as a file of `SUFFIXES`; see `Segmenter.export`.

    Args:
        scorer: Models of a run.
        path: Path of the file.

    Returns:
        The path.

    Raises:
        InputError: The file type is unknown, a package is missing, or the model cannot be exported.
    """
    path = path_of(path, "path")
    _check(scorer, path)
    values, dimensions = _example_inputs(scorer)
    metadata = json.dumps(_metadata(scorer), default=np.ndarray.tolist)
    models = [model.cpu() for model in scorer.models]
    network = Pass(models, scorer.run.config.decode.blocks).eval()
    failure = library_errors(scorer.run.path, "this model cannot be exported", RuntimeError)
    try:
        with failure, torch.no_grad(), whole_file(path) as part, warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch warns about its own code
            program = torch.export.export(
                network, (), values, dynamic_shapes=dimensions, strict=False
            )
            if path.suffix == ".pt2":
                torch.export.save(program, part, extra_files={f"{METADATA}.json": metadata})
            else:
                _save_onnx(program, part, metadata)
    finally:
        for model in scorer.models:
            model.to(scorer.device)
    return path


def _check(scorer: Scorer, path: Path) -> None:
    """Raise an InputError if the model or the path cannot be exported."""
    config = scorer.run.config
    if path.suffix not in SUFFIXES:
        raise InputError(path, f"the ending {path.suffix!r}", f"give {' or '.join(SUFFIXES)}")
    check_place(path)
    if path.suffix == ".onnx":
        for package in ("onnx", "onnxscript"):
            require(path, package, "onnx")
    if config.model.transcript:
        problem = "a model that aligns transcripts cannot be exported"
        raise InputError("model.transcript", problem)
    if scorer.window:
        problem = "an exported model reads a video in one pass"
        raise InputError(
            "decode.window", problem, "set it to 0 in config.yaml, and load without it"
        )
    pooling = {"U", "I"} & set(config.model.blocks)
    if pooling:
        problem = (
            f"block {min(pooling)} runs a GRU over the segments that it predicts, "
            "and no exporter supports their varying number"
        )
        fix = "train with model.blocks=iu, as data init does"
        raise InputError("model.blocks", problem, fix)


def _example_inputs(scorer: Scorer) -> tuple[dict[str, Tensor], Json]:
    """Return example inputs of a pass, and their dynamic dimensions."""
    # With fewer rows than tokens, the model multiplies in a different order.
    n_rows = scorer.run.config.model.tokens + 1
    values = {"features": torch.zeros(1, n_rows + 37, scorer.run.transform.width)}
    dimensions: Json = {"features": {1: torch.export.Dim("rows", min=n_rows, max=_MAX_ROWS)}}
    if is_open(scorer.run.config.model.head):
        assert scorer.model.text is not None
        # The exporter would treat the buffer itself as a constant.
        values["text"] = scorer.model.text.cpu().clone()
        dimensions["text"] = {0: torch.export.Dim("classes", min=2)}
    return values, dimensions


def _metadata(scorer: Scorer) -> Json:
    """Return what decoding needs in addition to the scores (docs/streaming.md)."""
    config = scorer.run.config
    candidates = scorer.choose()
    if candidates.costs.rules is not None:
        logger.warning("an exported model decodes without decode.always and decode.returns")
    changes = candidates.costs.transitions
    durations = candidates.costs.durations  # weight, and mean and deviation (C,) of log rows
    return {
        "names": scorer.vocabulary.names,
        "background": scorer.vocabulary.background,
        "fps": scorer.fps,
        "stride": config.data.stride,
        "interleave": config.data.interleave,
        "frame_weight": config.decode.frame_weight,
        "offset": candidates.offset,
        "switch_penalty": config.decode.switch_penalty,
        "changes": None if changes is None else asdict(changes),
        "durations": None if durations is None else asdict(durations),
        "factor_weight": config.decode.factor_weight,
        "slots": scorer.vocabulary.slots,
        "factors": scorer.vocabulary.factors,
    }


def _save_onnx(program: torch.export.ExportedProgram, path: Path, metadata: str) -> None:
    # The exporter warns about each operator that it does not optimise.
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    n_outputs = len(program.graph_signature.user_outputs)
    names = ["frames", "tokens", "has_token"][:n_outputs]
    onnx = torch.onnx.export(program, dynamo=True, verbose=False, output_names=names)
    assert onnx is not None
    onnx.model.metadata_props[METADATA] = metadata
    onnx.save(path)
