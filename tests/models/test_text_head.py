"""The text head and object columns, by hand and against slow loops."""

import math
from dataclasses import replace

import pytest
import torch

from fact_clip.config import BlockConfig
from fact_clip.models import FACT, Classes, ObjectSpec
from fact_clip.models.heads import Candidates, TextHead
from fact_clip.models.objects import ObjectEvidence

from ..small import model_config

SPEC = ObjectSpec(columns=((0, 4), (1, 5), (2, 6), (3, 7)), fixed=(3,), slot=1)
BLOCK = BlockConfig(
    hidden=16, frame_dim=8, frame_layers=2, action_dim=8, action_layers=1, heads=2, feedforward=16, frame="m"
)


def unit(*shape, seed=0):
    vectors = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(vectors, dim=-1)


NAMES = unit(4, 12, seed=9)


def texts(n_classes=5, seed=0):
    """(C, 2, 12): a verb and the name of an object; the last class, the background, has no word."""
    text = unit(n_classes, 2, 12, seed=seed)
    text[:, 1] = NAMES[torch.arange(seed, n_classes + seed) % 4]
    text[-1] = 0
    return text


def model(seed=0, objects=True, blocks="iuU"):
    torch.manual_seed(seed)
    evidence = {"evidence_slot": 1, "evidence_width": 6} if objects else {}
    classes = Classes(5, n_slots=2, text_width=12, **evidence)
    config = model_config(
        blocks=blocks,
        tokens=7,
        head="text",
        input=BLOCK,
        update=BLOCK.model_dump() | {"action": "sa"},
        pooled=BLOCK.model_dump() | {"action": "sa"},
    )
    spec = (replace(SPEC, hidden=10, width=6), NAMES) if objects else (None, None)
    return FACT(config, 8, classes, texts(), *spec).eval()


def test_scores_are_sums_of_scaled_cosines():
    torch.manual_seed(1)
    head = TextHead(16, Classes(5, n_slots=2, text_width=12), null=True)
    x, text = torch.randn(1, 3, 16), texts()
    features, scores = head(x, Candidates(text))
    assert features.shape == (1, 3, 16)
    assert scores.shape == (1, 3, 6)
    query = head.query(x)[0].view(3, 2, 64)
    for frame in range(3):
        for label in range(6):
            expected = 0.0
            for slot in range(2):
                if label == 5:
                    key = head.null_key[slot]
                elif label == 4:  # the background has no word in any slot
                    key = head.absent[slot]
                else:
                    key = head.key[slot] @ text[label, slot]
                expected += (1 / 0.07) * torch.cosine_similarity(query[frame, slot], key, dim=0).item()
            assert scores[0, frame, label].item() == pytest.approx(expected, abs=1e-4)


def test_the_scale_is_at_most_a_hundred():
    head, text = TextHead(64, Classes(5, n_slots=1, text_width=12), null=False), texts()[:, :1]
    with torch.no_grad():
        head.log_scale.fill_(math.log(1e6))
        head.query.weight.copy_(torch.eye(64))
        head.query.bias.zero_()
        _, scores = head((head.key[0] @ text[2, 0]).view(1, 1, 64), Candidates(text))
    assert scores[0, 0, 2].item() == pytest.approx(100)
    assert scores.max().item() == pytest.approx(100)


def test_other_candidates_change_nothing_in_the_first_block():
    built, x = model(), torch.randn(1, 20, 8, generator=torch.Generator().manual_seed(2))
    here = built(x)
    fewer = built(x, text=texts()[[0, 4]]).blocks[0].frame_logits
    torch.testing.assert_close(fewer, here.blocks[0].frame_logits[..., [0, 4]])
    more = built(x, text=torch.cat([texts(), texts(seed=5)[:2]])).blocks[0].frame_logits
    assert more.shape == (1, 20, 7)
    torch.testing.assert_close(more[..., :5], here.blocks[0].frame_logits)


def test_a_class_with_the_text_of_another_gets_its_scores():
    built, x = model(), torch.randn(1, 20, 8, generator=torch.Generator().manual_seed(2))
    text = torch.cat([texts(), texts()[1:2]])
    logits = built(x, text=text).blocks[0].frame_logits
    torch.testing.assert_close(logits[..., 5], logits[..., 1])


def test_objects_without_names_change_places_with_their_words():
    """Equivariance: columns of two objects swapped, and the words that mean them, give swapped scores."""
    built, x = model(), torch.randn(1, 30, 8, generator=torch.Generator().manual_seed(4))
    names = built.objects.names
    text = torch.stack([unit(4, 12, seed=3)[[0, 0, 1, 1]], names[[0, 1, 0, 1]]], dim=1)
    swapped = x[..., [1, 0, 2, 3, 5, 4, 6, 7]]
    before, after = built(x, text=text), built(swapped, text=text)
    swap = [1, 0, 3, 2]
    # the pointing term moves along; the cosine term with the word itself reads no identity, and stays
    for one, other in zip(before.blocks, after.blocks, strict=True):
        assert not torch.allclose(one.frame_logits, other.frame_logits, atol=1e-3)
    with torch.no_grad():
        for module in built.modules():
            if isinstance(module, TextHead):
                module.key[1] = 0  # without the words' own say
    before, after = built(x, text=text), built(swapped, text=text)
    torch.testing.assert_close(
        before.blocks[0].frame_logits, after.blocks[0].frame_logits[..., swap], atol=1e-4, rtol=1e-4
    )


def test_swap_moves_columns_and_words_alike():
    names = NAMES
    objects = ObjectEvidence(SPEC, names)
    x = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(1))
    text = torch.stack([unit(6, 12, seed=3), names[[0, 1, 2, 3, 1, 0]]], dim=1)
    text[5] = 0  # the background
    seen, kept_x, kept_text = set(), x.clone(), text.clone()
    for seed in range(30):
        torch.manual_seed(seed)
        new_x, new_text = objects.swapped(x, text)
        torch.testing.assert_close(new_text[:, 0], text[:, 0])
        torch.testing.assert_close(new_text[[3, 5]], text[[3, 5]])  # object 3 is fixed
        torch.testing.assert_close(new_x[..., [3, 7]], x[..., [3, 7]])
        # where each word went, the columns of its object went
        target = [int((names @ new_text[index, 1]).argmax()) for index in range(3)]
        torch.testing.assert_close(new_text[[0, 1, 2, 4], 1], names[[*target, target[1]]])
        assert sorted(target) == [0, 1, 2]
        for index in range(3):
            torch.testing.assert_close(new_x[..., [target[index], 4 + target[index]]], x[..., [index, 4 + index]])
        seen.add(tuple(target))
    assert len(seen) == 6  # every order of three objects
    torch.testing.assert_close(x, kept_x)
    torch.testing.assert_close(text, kept_text)


def test_evidence_of_each_object_is_that_of_one_network():
    torch.manual_seed(0)
    objects = ObjectEvidence(replace(SPEC, hidden=5, width=3), unit(4, 12)).eval()
    x = torch.randn(2, 6, 8)
    stream, evidence = objects(x)
    assert evidence.shape == (2, 6, 3, 4)  # (B, T, E, O)
    assert stream.shape == (2, 6, objects.width)
    fixed = x[..., [3, 7]]
    for index in range(4):
        own = x[..., [index, 4 + index]]
        expected = torch.relu(objects.out(torch.relu(objects.own(own) + objects.beside(fixed))))
        torch.testing.assert_close(evidence[..., index], expected)
    torch.testing.assert_close(stream[..., :2], fixed)
    torch.testing.assert_close(stream[..., -3:], evidence[..., :3].amax(-1))  # object 3 keeps its identity


def at_cosine(name, cosine, seed=4):
    """A unit vector at this cosine to a name."""
    other = unit(1, len(name), seed=seed)[0]
    other = torch.nn.functional.normalize(other - (other @ name) * name, dim=0)
    return cosine * name + math.sqrt(1 - cosine**2) * other


def test_words_find_their_objects():
    names = unit(4, 384)
    objects = ObjectEvidence(SPEC, names)
    text = torch.zeros(5, 2, 384)
    near = torch.nn.functional.normalize(names[0] + 0.1 * names[3], dim=-1)
    text[:4, 1] = torch.stack([names[2], near, at_cosine(names[1], 0.61), at_cosine(names[1], 0.59)])
    text[3, 0] = names[0]  # the word of another slot does not matter
    share = objects.objects_of(text)
    assert share.argmax(1)[:3].tolist() == [2, 0, 1]
    torch.testing.assert_close(share.sum(1), torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0]))
    cosines = (text[:3, 1] @ names.T) * 50
    torch.testing.assert_close(share[:3], cosines.softmax(-1))
    # the last class has no word, so no word of it is unmatched
    assert objects.unmatched(text).tolist() == [False, False, False, True, False]


def test_a_word_without_an_object_is_scored_by_its_text_alone():
    """Other columns of the objects, and the frame stream held still: its scores stay, those of the others change."""
    built, x = model(blocks="i"), torch.randn(1, 20, 8, generator=torch.Generator().manual_seed(2))
    text = torch.cat([texts(), texts()[:1]])
    text[5, 1] = at_cosine(NAMES[0], 0.5)
    head = built.block_list[0].frame_head
    stream = torch.randn(1, 20, 16, generator=torch.Generator().manual_seed(3))
    one, other = (head(stream, built._candidates(text), built.objects(values)[1])[1] for values in (x, x.flip(1)))
    changed = (one != other).flatten(0, 1).any(0)
    assert changed.tolist() == [True, True, True, True, False, False]
