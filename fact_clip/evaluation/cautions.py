"""Comparison of what a run has seen with what it is scored on."""

from __future__ import annotations

from fact_clip.core import InputError, Names
from fact_clip.datasets.dataset import Dataset
from fact_clip.runs.run import Run
from fact_clip.runs.seen import NO_RECORD, Seen


def check_seen(run: Run, dataset: Dataset, split: str) -> list[str]:
    """Compare what a run has seen with what it is scored on.

    Args:
        run: Run as it was trained.
        dataset: Data set to score.
        split: Split to score: test, validation or train.

    Returns:
        Sentences that a reader of the figures must know.

    Raises:
        InputError: The run has learned a test video or an unseen class, or a class that counts as
            seen was hidden from it.
    """
    seen = run.seen_by_all()
    if run.seen is None or seen is None:
        return [NO_RECORD]
    names = split_names(dataset, split)
    cautions = _record_cautions(run, seen, dataset)
    cautions += _class_cautions(run.seen, seen, dataset)
    cautions += _video_cautions(run, seen, dataset, split, names)
    if split != "train":
        same = seen.same_names(dataset, names)
        if same:
            cautions.append(f"{same[0]!r} has the name of a learned video, but different features")
    return cautions


def _record_cautions(run: Run, seen: Seen, dataset: Dataset) -> list[str]:
    """Return gaps in the record of a run, and information in training beyond labels."""
    cautions = []
    if not seen.is_complete:
        cautions.append(f"for a run that it started from: {NO_RECORD}")
    if run.is_unfinished():
        cautions.append("training is not finished")
    if dataset.holdout is not None and (seen.named or run.config.data.drafts is not None):
        cautions.append("not purely zero-shot: training used the names and unlabelled frames")
    return cautions


def _class_cautions(seen_by_run: Seen, seen: Seen, dataset: Dataset) -> list[str]:
    """Check that the unseen classes were not learned, and that the seen classes were not hidden.

    In an oracle run, unseen classes may be learned, which is only a caution.
    """
    if dataset.holdout is not None and dataset.holdout.mode == "oracle":
        learned = seen.learned_classes(dataset.unseen_names)
        return [f"not zero-shot: trained on {', '.join(map(repr, learned))}"] if learned else []
    seen.check_seen_classes(dataset, "data.holdout")
    seen.check_unseen_classes(dataset, "data.holdout")
    # A member of an ensemble may have learned the validation-unseen classes of a different member.
    seen_by_run.check_unlearned(dataset.validation_unseen_names, "data.holdout")
    return []


def _video_cautions(run: Run, seen: Seen, dataset: Dataset, split: str, names: Names) -> list[str]:
    """Check that test videos were not seen, and that validation videos were not trained on."""
    if split == "train":
        return [f"{len(seen.find_in(dataset, names))} of {len(names)} videos were learned"]
    cautions = []
    if split == "validation":
        assert run.seen is not None
        run.seen.check_videos(dataset, names, dataset.location, "trained")
        if run.config.train.member_parts and run.config.train.members > 1:
            cautions.append("the other members were trained on these videos: too good")
        if dataset.clicks(names):
            cautions.append("only clicked frames are counted, not the frames between them")
        return cautions
    where = dataset.location
    if str(dataset.config.split) != str(run.config.data.split):
        where = "data.split"
    elif dataset.holdout is not None and dataset.holdout.test_videos:
        where = "data.holdout"
    seen.check_videos(dataset, names, where)
    return cautions


def split_names(dataset: Dataset, split: str) -> Names:
    """Return the video names of a split. An empty split raises an InputError."""
    parts = {"test": dataset.test, "validation": dataset.validation, "train": dataset.train}
    if not isinstance(split, str) or split not in parts:
        raise InputError("split", f"{split!r}, not one of {', '.join(parts)}")
    if not parts[split]:
        raise InputError(dataset.location, f"the {split} split has no videos")
    return parts[split]
