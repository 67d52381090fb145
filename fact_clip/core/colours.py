"""Colours of classes, which plots, the report and the labelling page share."""

from collections.abc import Collection, Iterable
from itertools import cycle, islice
from typing import TypedDict

from fact_clip.core.types import Names

BACKGROUND_COLOUR = "#d9d9d9"

# Colours that are easy to distinguish. Each one is the colour of a grid of sRGB that is farthest,
# in OKLab (Björn Ottosson, 2020), from the previous ones, from white paper and from the grey of
# background. Greyish, glaring, very dark and very light colours are omitted, and also reds, which
# look like errors. tests/core/test_colours.py computes the list.
_COLOURS = """
1e78b4 c37800 3c5a00 872d69 c387e1 00c396 d2c33c 4bb4ff 5a875a a56987 964b0f 3c4b78 d2a596 4be1f0
ffa5e1 96a51e 7896b4 785ab4 87e196 b4b4f0 006969 ffa54b 96c3b4 b48778 5a87e1 786900 785a78 d269a5
87a587 783c3c 00783c 2db4c3 a569c3 3ca55a 009696 693c96 a5694b e1c396 87c369 005aa5 b496b4 694b00
878700 d2964b 7878a5 f087c3 4b7887 96d2ff b4b478 9696e1 964b96 69c3e1 1e96c3 00e1c3 4b871e e1b4c3
5a5a96 96875a c3a50f e196f0 4b5a3c 785a3c b4d2a5 693c69 e1b4ff 4ba587 4b69c3 965a5a 5ad296 8778d2
b478a5 009669 005a78 0f5a4b 78965a 5ac3b4 3c785a 69b478 2d6987 00d2ff 4b4ba5 2da5e1 4b692d b45a00
d2a5d2 a5964b 87b4f0 87783c d287b4 b45aa5 1e87a5 b4d278 9687b4 a5a5ff e1b45a 00690f 0087d2 ffb487
008778 9669a5 a57800 87b4c3 784b87 78a5d2 5a87b4 87694b 5a782d 876987 874b5a 69a5a5 00d2d2 a5a5d2
69962d 78d2d2 78a5ff c38796 783c0f f0965a 696996 4b5a78 b487c3 a57878 b4784b 699687 6978c3 78e1c3
a5c3e1 c39678 a5b44b 00694b f0c34b 963c78 96b496 00b4a5 965ab4 87a55a c3874b f0a5a5 00a5b4 d296a5
007878 1e874b b478d2 d278c3 966900 875a00 6996d2 c396d2 5a8796 5a4b69 1eb478 3c7800 d2b487 c3c3ff
2d4b96 87d2a5 0069b4 69693c 5a5a0f 78c396 6996f0 007896 4b69a5 d28700 4bb4e1 874b3c 965a87 00c3e1
3c5ab4 69c3ff c3c387 a5a569 1e96e1 b48700 5a8778 5a4b87 967896 5a96a5 c3a5ff c3b44b a5c378 e1b4e1
787800 69784b e1874b 4b3c96 7887c3 6969b4 96785a 00d2b4 a5d2c3 a59600 a587e1 5ac378 c3692d b496f0
e1a52d e1b4a5 782d78 b4c34b 69b496 69d2f0 4b78d2 69b4b4 a5d2e1 c3a569 785a96 3c964b 4b9678 c3961e
9696c3 5a78a5 8787e1 3c5a96 f0a5ff 00a578 96c3ff e196c3 8769c3 87d278 694ba5 e1a578 96b478 5aa5c3
9678b4 873c87 d2783c 69872d 1ec3ff 4b694b 78874b 87962d 5a5ab4 78a53c 87b44b 966969 5aa5f0 969669
692d87 a54b87 a5c396 874ba5 874b78 d2a5b4 784b1e 784b69 d2c369 00c3c3 5a3c87 965a2d 2d5a2d 5ae1a5
69a569 ffb44b 3c6900 694b78 c369b4 78c3c3 b4a54b 875a4b a55a96 a5873c e1961e b46900 b46996 875aa5
5a965a 875a69 e178b4 784b4b b47887 ff96d2 695a2d d278a5 c378b4 e187d2 5ad2c3 3c8787 a578c3 00a596
5a6987 c39696 695a87 e1a55a 2d5a69 f096e1 a58769 695aa5 e1b42d d296e1 f0a5d2 87692d 783c78 69b45a
b49669 b487a5 a5783c c3a587 7869a5 e1a5f0
"""


def palette(count: int) -> Names:
    """Return colours that are easy to distinguish.

    Args:
        count: Number of colours. They repeat after 300.

    Returns:
        The colours as "#rrggbb". A shorter palette is the beginning of a longer one.
    """
    return tuple(f"#{digits}" for digits in islice(cycle(_COLOURS.split()), count))


class Colour(TypedDict):
    """The colour and number with which timeline.js shows a class."""

    colour: str | None  # "#rrggbb"; None for background
    number: int | None  # shown next to the colour, starting at 1; None for background
    index: int  # class index


def class_colours(names: Iterable[str], background: Collection[str] = ()) -> dict[str, Colour]:
    """Assign colours and numbers to classes.

    Args:
        names: Names of the classes, which may be repeated.
        background: Names that get neither a colour nor a number.

    Returns:
        The colour of each name. A longer list of names begins with the same colours.
    """
    distinct_names = dict.fromkeys(names)
    colours = palette(len(distinct_names))  # more than needed, because background has no colour
    n_actions = 0
    looks: dict[str, Colour] = {}
    for index, name in enumerate(distinct_names):
        look: Colour = {"colour": None, "number": None, "index": index}
        if name not in background:
            n_actions += 1
            look |= {"colour": colours[n_actions - 1], "number": n_actions}
        looks[name] = look
    return looks
