"""How well `inference.new_words` tells synonyms of trained words from words of other worlds, by threshold.

Trained words are those of some mapping files (ROOT/mapping.txt in the common layout, verb first), and ten verbs and
thirty nouns drawn from the annotations of Epic-Kitchens 100, thirty times. The annotations list synonyms for each
class, some of them loose ("draw" for "take")::

    .venv/bin/python experiments/words.py EPIC_100_verb_classes.csv EPIC_100_noun_classes_v2.csv mapping.txt ...
"""

from __future__ import annotations

import ast
import csv
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import Vocabulary
from fact_clip.encoders import text_encoder
from fact_clip.inference.new_words import ACTION_TEMPLATE, FAR, JUDGE, OBJECT_TEMPLATE
from fact_clip.text.prompts import tidy

DRAWS = 30
SIZES = {"verb": 10, "noun": 30}
KINDS = ("synonyms", "other classes", "other worlds")

OTHER_WORLDS = {
    "verb": (
        "juggle, surf, ski, skate, kayak, tango, yodel, knit, weld, sew, hammer, saw, drill, mow, shave, hug, "
        "kiss, salute, kneel, swim, dive, sprint, box, wrestle, fence, bowl, golf, paint, type, vote, solder, "
        "gallop, parachute, strum, whistle, yawn, sneeze, tickle, tattoo, vacuum, lasso, busk, meditate, "
        "excavate, vaccinate, compute, negotiate, refuel, moonwalk"
    ),
    "noun": (
        "chainsaw, trombone, giraffe, skateboard, dumbbell, guitar, violin, snowboard, tractor, helicopter, "
        "parachute, cannon, elephant, motorcycle, drumstick kit, harpsichord, tennis racket, basketball, "
        "surfboard, canoe, telescope, lawnmower, volcano, passport, lipstick, sneaker, necktie, piano, tattoo "
        "needle, horse, saddle, mortgage, algebra, spaceship, dinosaur, stethoscope, toothbrush, hair dryer, "
        "wedding ring, bicycle, trampoline, javelin, hurdle, anvil, welding torch, bulldozer, microscope, "
        "fishing rod, tent, flagpole"
    ),
}


def listed(path: Path) -> list[list[str]]:
    """The words of each class of Epic-Kitchens, its key first; "spoon:wooden" is "wooden spoon"."""
    rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    words = ([row["key"], *ast.literal_eval(row["instances"])] for row in rows)
    return [
        list(dict.fromkeys(" ".join(word.split(":")[::-1]).replace("-", " ") for word in own))
        for own in words
    ]


def parts(path: Path) -> dict[str, list[str]]:
    """The verbs and the rest of the names of a mapping file; a name of one word is background."""
    names = [tidy(name).split(maxsplit=1) for name in Vocabulary.from_mapping(path)]
    verbs, rest = zip(*(name for name in names if len(name) == 2 and name[0] != "no"), strict=True)
    return {"verb": sorted(set(verbs)), "noun": sorted(set(rest))}


class Cosines:
    """The largest cosine of words to trained words; each text is embedded once."""

    def __init__(self) -> None:
        self.encoder, self.rows = text_encoder(JUDGE), dict[str, NDArray[np.float32]]()

    def __call__(self, words: list[str], known: list[str], slot: str) -> NDArray[np.float32]:
        """(N,) for N words and a list of trained ones."""
        template = ACTION_TEMPLATE if slot == "verb" else OBJECT_TEMPLATE
        texts = [[template.format(word) for word in each] for each in (words, known)]
        new = list(dict.fromkeys(text for each in texts for text in each if text not in self.rows))
        self.rows.update(zip(new, self.encoder.encode_texts(new), strict=True))
        own, theirs = (np.stack([self.rows[text] for text in each]) for each in texts)
        found: NDArray[np.float32] = (own @ theirs.T).max(1)
        return found


def main() -> int:
    """Print the shares of far words by threshold."""
    verbs, nouns, *mappings = map(Path, sys.argv[1:])
    classes = {"verb": listed(verbs), "noun": listed(nouns)}
    sets, rng, cosines = [parts(path) for path in mappings], np.random.default_rng(0), Cosines()
    for _ in range(DRAWS):
        chosen = {
            slot: rng.choice(len(classes[slot]), size, replace=False).tolist()
            for slot, size in SIZES.items()
        }
        sets.append(
            {slot: [classes[slot][index][0] for index in own] for slot, own in chosen.items()}
        )
    found: dict[str, dict[str, NDArray[np.float32]]] = {}
    for slot, own in classes.items():
        of_kind: dict[str, list[NDArray[np.float32]]] = {kind: [] for kind in KINDS}
        for each in sets:
            known = each[slot]
            near = [words for words in own if set(words) & set(known)]
            synonyms = [word for words in near for word in words if word not in known]
            others = [words[0] for words in own if words not in near]
            for kind, words in zip(
                KINDS, (synonyms, others, OTHER_WORLDS[slot].split(", ")), strict=True
            ):
                strange = [word for word in map(tidy, words) if word not in known]
                if strange:
                    of_kind[kind].append(cosines(strange, known, slot))
        found[slot] = {kind: np.concatenate(values) for kind, values in of_kind.items()}
    print(
        "threshold  " + "  ".join(f"{slot}: {', '.join(KINDS)} far (mean right)" for slot in found)
    )
    for threshold in np.arange(0.50, 0.70, 0.02):
        cells = []
        for values in found.values():
            far = [100 * float((values[kind] < threshold).mean()) for kind in KINDS]
            cells.append(
                ", ".join(f"{share:.0f}" for share in far) + f" ({(100 - far[0] + far[2]) / 2:.1f})"
            )
        print(f"{threshold:.2f}{'*' if abs(threshold - FAR) < 1e-6 else ' '}  " + "  ".join(cells))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
