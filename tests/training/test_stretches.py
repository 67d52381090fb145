"""Names of unlabelled stretches by a teacher's scores and by what stands around them."""

from __future__ import annotations

import numpy as np

from fact_clip.training.stretches import (
    OpenVideo,
    Trial,
    count_divided,
    do_neighbours_help,
    name_stretches,
)

OPEN = -1


def videos_of(contexts: dict[int, tuple[int, int]], names, confusion: float, seed: int = 0):
    """Videos of a before, an open stretch and an after; the scores tell the names apart a little."""
    rng = np.random.default_rng(seed)
    videos, truths = [], []
    for number in range(40):
        name = names[number % 2]
        before, after = contexts[name]
        truth = np.repeat([before, name, after], [5, 10, 5])
        labels = np.where(truth == name, OPEN, truth)
        is_confused = rng.random() < confusion
        shown = names[(number + is_confused) % 2]
        table = np.full((20, 6), -3.0)
        table[:, shown] = -1.0
        videos.append(OpenVideo.scored(labels, table, np.array(names), penalty=1.0))
        truths.append(truth)
    return videos, truths


def test_neighbours_tell_names_apart_that_the_scores_confuse():
    names = np.array([4, 5])
    videos, truths = videos_of({4: (0, 1), 5: (2, 3)}, names, confusion=0.35)

    def right(named):
        for video, labels in zip(videos, named, strict=True):
            known = video.labels != OPEN
            assert (labels[known] == video.labels[known]).all()
        return np.mean([(one == true).mean() for one, true in zip(named, truths, strict=True)])

    assert right([video.decoded for video in videos]) < 0.87
    assert right(name_stretches(videos, names, [])) == 1.0
    assert do_neighbours_help([Trial(videos, names, truths)], ())
    assert do_neighbours_help([], ())


def test_misleading_neighbours_are_switched_off():
    """The scores are right. Each name usually stands in its own context, and sometimes in that of the other."""
    names = np.array([4, 5])
    videos, truths = [], []
    for number in range(60):
        name = names[number % 2]
        usual = {4: (0, 1), 5: (2, 3)}[name if number % 12 > 1 else 9 - name]
        truth = np.repeat([usual[0], name, usual[1]], [5, 10, 5])
        table = np.full((20, 6), -3.0)
        table[:, name] += 0.4
        videos.append(OpenVideo.scored(np.where(truth == name, OPEN, truth), table, names, 0.0))
        truths.append(truth)
    trial = Trial(videos, names, truths)
    assert trial.n_right([video.decoded for video in videos]) == 600
    assert trial.n_right(name_stretches(videos, names, ())) == 500
    assert not do_neighbours_help([trial], ())


def test_stretches_of_several_names_are_counted():
    """Of two names that follow each other without a label between them, a single name would be half wrong."""
    names = np.array([4, 5])
    truth = np.repeat([0, 4, 5, 1, 4, 0], [5, 10, 8, 5, 6, 5])
    table = np.full((len(truth), 6), -6.0)
    table[np.arange(len(truth)), truth] = 0.0
    video = OpenVideo.scored(np.where(truth > 3, OPEN, truth), table, names, penalty=1.0)
    assert (video.decoded == truth).all()
    assert count_divided([video, video]) == (2, 4)
    assert count_divided([]) == (0, 0)
