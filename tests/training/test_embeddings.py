"""The vectors that plots show are those that the model compares."""

from __future__ import annotations

import numpy as np
import torch

from fact_clip import load, training
from fact_clip.datasets.dataset import Dataset
from fact_clip.training.embeddings import embedding_spaces


def test_vectors_of_a_text_head_give_its_scores(tiny, tmp_path):
    """score(frame, class) = sum over slots of exp(tau) * cos(frame, class), which is what the last block said."""
    config = tiny(model={"head": "text"}, text={"encoder": "hash:16", "parts": ["factors"]}, train={"epochs": 1})
    training.train(config, tmp_path / "run")
    vocabulary, spaces = embedding_spaces(tmp_path / "run", "test")
    segmenter, dataset = load(tmp_path / "run", device="cpu"), Dataset.open(config.data)
    assert vocabulary == dataset.vocabulary
    stride, name = config.data.stride, dataset.test[0]
    rows = torch.from_numpy(segmenter.run.transform(dataset.features(name))[::stride]).unsqueeze(0)
    with torch.inference_mode():
        last = segmenter.scorer.model(rows).blocks[-1]
    head = segmenter.scorer.model.block_list[-1].frame_head
    scale = head.log_scale.detach().exp().numpy()
    frames, text = spaces["frames"], spaces["frames"].text_vectors
    n_frames, shape = rows.shape[1], (len(scale), -1)
    cosines = np.einsum(
        "tsp,csp->tcs", frames.rows[:n_frames].reshape(n_frames, *shape), text.reshape(len(text), *shape)
    )
    np.testing.assert_allclose(cosines @ scale, last.frame_logits[0].numpy(), rtol=1e-4, atol=1e-4)
    assert frames.labels[:n_frames].tolist() == dataset.labels(name)[::stride].tolist()
    tokens, chosen = spaces["tokens"], last.token_logits[0].argmax(-1).numpy()
    expected = np.where(chosen < len(vocabulary), chosen, -1)  # the last one is null
    assert tokens.labels[: len(chosen)].tolist() == expected.tolist()
    assert len(tokens.text_vectors) == len(vocabulary)
    np.testing.assert_array_equal(spaces["features"].rows[:n_frames], rows[0].numpy())


def test_a_closed_set_model_has_no_texts(tiny_run):
    vocabulary, spaces = embedding_spaces(tiny_run, "test")
    assert all(of.text_vectors is None for of in spaces.values())
    assert spaces["frames"].rows.shape[1] == 40  # model.input.hidden
    assert len(vocabulary) == 23
