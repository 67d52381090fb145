"""Models as files that run without this package: `torch.export` and ONNX (docs/streaming.md)."""

from __future__ import annotations

import importlib.util
import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fact_clip.core import ConfigKey, InputError, library_errors
from fact_clip.core.arguments import path_of
from fact_clip.core.paths import check_place, whole_file
from fact_clip.decoding import voters
from fact_clip.inference.scorer import Scorer
from fact_clip.models import FACT

SUFFIXES = (".pt2", ".onnx")
_MOST_ROWS = 1_000_000


class Pass(nn.Module):
    """One pass of all K models of a run: what is decoded, before an offset, the fusion and the switching penalty."""

    def __init__(self, models: Sequence[FACT], blocks: str) -> None:
        super().__init__()
        self.models, self.blocks = nn.ModuleList(models), blocks

    def forward(self, features: Tensor, text: Tensor | None = None) -> tuple[Tensor, ...]:
        """(1, T, D) and (C, S, E) to the frames (K, T, C) of `Voters` and, where tokens vote, tokens and has_token."""
        parts = [voters(model(features, text=text), self.blocks) for model in self.models]
        frames, has_token = (
            torch.cat([part.frames for part in parts]),
            torch.cat([part.has_token for part in parts]),
        )
        tokens = [part.tokens for part in parts if part.tokens is not None]
        return (frames, torch.cat(tokens), has_token) if tokens else (frames,)


def export(scorer: Scorer, path: str | Path) -> Path:
    """Write the models of a run as a file of `SUFFIXES`; see `Segmenter.export`."""
    path, config = path_of(path, "path"), scorer.run.config
    if path.suffix not in SUFFIXES:
        raise InputError(path, f"the ending {path.suffix!r}", f"give {' or '.join(SUFFIXES)}")
    check_place(path)
    lacking = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if path.suffix == ".onnx" and lacking:
        raise InputError(
            path, f"the package {lacking[0]} is not installed", "pip install 'fact-clip[onnx]'"
        )
    if config.model.transcript:
        raise InputError(
            ConfigKey("model.transcript"), "a model that aligns transcripts is not exported"
        )
    if pooling := {"U", "I"} & set(config.model.blocks):
        problem = f"block {min(pooling)} runs a GRU over the segments that it cuts, whose number no exporter knows"
        raise InputError(
            ConfigKey("model.blocks"), problem, "train with model.blocks=iu, as data init does"
        )
    n_rows = (
        config.model.tokens + 1
    )  # with fewer rows than tokens the model multiplies in another order
    rows, classes = (
        torch.export.Dim("rows", min=n_rows, max=_MOST_ROWS),
        torch.export.Dim("classes", min=2),
    )
    inputs: dict[str, Tensor] = {
        "features": torch.zeros(1, n_rows + 37, scorer.run.transform.width)
    }
    shapes: dict[str, Any] = {"features": {1: rows}}
    if config.model.is_open:
        text = scorer.model.text
        assert text is not None
        inputs["text"], shapes["text"] = (
            text.cpu().clone(),
            {0: classes},
        )  # the buffer itself would be taken for one
    model = Pass([member.cpu() for member in scorer.models], config.decode.blocks).eval()
    facts = {
        "names": scorer.vocabulary.names, "background": scorer.vocabulary.background, "fps": scorer.fps,
        "stride": config.data.stride, "frame_weight": config.decode.frame_weight,
        "switch_penalty": config.decode.switch_penalty,
    }  # fmt: skip
    failure = library_errors(scorer.run.path, "this model cannot be exported", RuntimeError)
    try:
        with failure, torch.no_grad(), whole_file(path) as part, warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch's, of itself
            program = torch.export.export(model, (), inputs, dynamic_shapes=shapes, strict=False)
            if path.suffix == ".pt2":
                torch.export.save(program, part, extra_files={"fact_clip.json": json.dumps(facts)})
            else:
                logging.getLogger("onnxscript").setLevel(
                    logging.ERROR
                )  # it warns of each operator that it leaves
                names = ["frames", "tokens", "has_token"][
                    : len(program.graph_signature.user_outputs)
                ]
                onnx = torch.onnx.export(program, dynamo=True, verbose=False, output_names=names)
                assert onnx is not None
                onnx.model.metadata_props["fact_clip"] = json.dumps(facts)
                onnx.save(part)
    finally:
        for member in scorer.models:
            member.to(scorer.device)
    return path
