"""A small kitchen: four classes with factors, and the frames that each was trained on."""

from __future__ import annotations

import numpy as np

from fact_clip.core import Vocabulary

WORDS = Vocabulary.from_names(
    ("rest", "cut ham", "cut egg with knife", "hold egg"),
    background=("rest",),
    factors={
        "rest": (None, None, None),
        "cut ham": ("cut", "ham", None),
        "cut egg with knife": ("cut", "egg", "knife"),
        "hold egg": ("hold", "egg", None),
    },
    slots=("verb", "object", "tool"),
)
FRAMES = np.array([10, 30, 20, 0])  # hold egg was never trained
