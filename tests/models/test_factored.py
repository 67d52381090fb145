"""The factored closed-set head by hand."""

from __future__ import annotations

import pytest
import torch

from fact_clip.checkpoint import classes_of
from fact_clip.core import Vocabulary
from fact_clip.models import Classes
from fact_clip.models.heads import FactoredHead

# verb (2) and object (3): class 0 = (0, 2), class 1 = (1, 0), class 2 = (1, 2)
CLASSES = Classes(3, factors=((0, 1, 1), (2, 0, 2)))


def test_a_class_has_the_sum_of_its_factors_scores():
    head = FactoredHead(7, CLASSES, null=True)
    x = torch.tensor([[[9.0, 0.5, 1.0, 2.0, 10.0, 20.0, 30.0]]])  # rest, null, two verbs, three objects
    features, scores = head(x, None)
    assert scores.tolist() == [[[1 + 30, 2 + 10, 2 + 30, 0.5]]]
    assert features.shape == x.shape
    assert features[0, 0, 0].item() == 9
    assert features[0, 0, 1].item() == pytest.approx(torch.tensor(0.5).sigmoid().item())
    assert features[0, 0, 2:4].sum().item() == pytest.approx(1)
    assert features[0, 0, 4:].sum().item() == pytest.approx(1)


def test_factors_of_a_vocabulary():
    """'no action' lacks verb and object, 'cut ham' a tool: each takes the slot's last place."""
    vocabulary = Vocabulary.from_names(
        ["no action", "cut ham", "move ham with knife"],
        background=["no action"],
        factors={
            "no action": (None, None, None),
            "cut ham": ("cut", "ham", None),
            "move ham with knife": ("move", "ham", "knife"),
        },
        slots=("verb", "object", "tool"),
    )
    assert classes_of(vocabulary, "factored").factors == ((2, 0, 1), (1, 0, 0), (1, 1, 0))


def test_sizes_that_do_not_fit_are_told():
    with pytest.raises(ValueError, match="6 scores do not fit in 6 channels"):
        FactoredHead(6, CLASSES, null=True)
    with pytest.raises(ValueError, match="needs a vocabulary with slots"):
        FactoredHead(6, Classes(3), null=False)
