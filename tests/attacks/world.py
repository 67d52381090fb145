"""What the rows of the corpus share: a small data set, runs trained on it, a checkpoint, a video, annotations."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ..small import TINY

REFERENCE = """
dataset: breakfast
FACT: {ntoken: 40, block: iu, cmr: 0.0, mwt: 0.5}
Bi: {hid_dim: 40, a_dim: 8, a_ffdim: 8, a_layers: 1, a_nhead: 2, f: m, f_dim: 8, f_layers: 2}
Bu: {f_layers: 1}
"""

EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2024-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>
<TIME_ORDER>
<TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="0"/>
<TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="1000"/>
</TIME_ORDER>
<TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="action">
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
<ANNOTATION_VALUE>stir</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
</TIER>
<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>
</ANNOTATION_DOCUMENT>
"""

BORIS: dict[str, Any] = {
    "project_name": "p",
    "behaviors_conf": {"0": {"type": "State event", "code": "stir"}},
    "observations": {"clip": {
        "file": {"1": ["clip.mp4"]},
        "events": [[0.0, "", "stir", "", ""], [2.0, "", "stir", "", ""]],
        "media_info": {"length": {"clip.mp4": 4.0}, "fps": {"clip.mp4": 25.0}},
    }},
}  # fmt: skip

VIA: dict[str, Any] = {
    "attribute": {"1": {"aname": "action", "anchor_id": "FILE1_Z2_XY0", "type": 4, "options": {"0": "stir"}}},
    "file": {"1": {"fid": "1", "fname": "clip.mp4", "type": 4, "loc": 1, "src": "clip.mp4"}},
    "metadata": {"1_a": {"vid": "1", "flg": 0, "z": [0.0, 2.0], "xy": [], "av": {"1": "0"}}},
    "view": {"1": {"fid_list": ["1"]}},
}

_REGION = {"type": "timelinelabels", "id": "a", "from_name": "action", "to_name": "video"}
_VALUE = {"ranges": [{"start": 1, "end": 50}], "timelinelabels": ["stir"]}
LABEL_STUDIO: list[dict[str, Any]] = [
    {"id": 1, "data": {"video": "clip.mp4", "fps": 25.0}, "annotations": [{"result": [{**_REGION, "value": _VALUE}]}]}
]

CSV = "start,stop,label\n0,2,stir\n3,4,pour\n"

EPIC = "video_id,start_timestamp,stop_timestamp,verb_class,noun_class\nP01_01,00:00:00.0,00:00:02.0,1,2\n"


def make(folder: Path) -> None:
    """Write the world into an empty folder."""
    from fact_clip.config import Config, merged
    from fact_clip.datasets.synthetic import write_workbench
    from fact_clip.training import train

    warnings.simplefilter("ignore")
    data = write_workbench(folder / "data", videos=6, persons=3, dim=8)
    tree = merged(TINY, {"data": {"root": str(data), "fps": 15.0}, "train": {"epochs": 1}})
    recipe = Config.from_tree(tree, "world")
    (folder / "tiny.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    train(Config.from_tree(merged(tree, {"data": {"standardize": True}}), "world"), folder / "run")
    words = {
        "data": {"holdout": ["insert bolt", "tap shaft with mallet"]},
        "model": {"head": "text"},
        "text": {"encoder": "hash:16"},
    }
    train(Config.from_tree(merged(tree, words), "world"), folder / "words")
    (folder / "reference.yaml").write_text(REFERENCE, encoding="utf-8")
    _checkpoint(folder)
    name = "person1_video1"
    (folder / f"{name}.npy").write_bytes((data / "features" / f"{name}.npy").read_bytes())
    for file, content in {"a.eaf": EAF, "a.csv": CSV, "epic.csv": EPIC}.items():
        (folder / file).write_text(content, encoding="utf-8")
    for file, tree_ in {"a.boris": BORIS, "a.via.json": VIA, "a.ls.json": LABEL_STUDIO}.items():
        (folder / file).write_text(json.dumps(tree_), encoding="utf-8")
    _video(folder / "clip.mp4")


def _checkpoint(folder: Path) -> None:
    """Random weights under the names of the published code, in its two kinds of files."""
    import torch
    import yaml

    from fact_clip.models import FACT, Classes
    from fact_clip_compat.settings import read_config

    reference = yaml.safe_load(REFERENCE)
    ours, _ = read_config(reference)
    torch.manual_seed(0)
    weights = FACT(ours.model, 8, Classes(23), frame_weight=ours.decode.frame_weight).state_dict()
    torch.save(weights, folder / "published.net")


def _video(path: Path) -> None:
    """One second of grey pictures."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(10):
            picture = np.full((48, 64, 3), 20 * number, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
