"""The roles of videos (train, validation, test) and of classes (seen, unseen) in one split."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from fact_clip.config import DataConfig
from fact_clip.core import InputError, Names, Vocabulary
from fact_clip.core.messages import suggest
from fact_clip.unseen.groups import SplitVideos, read_groups
from fact_clip.unseen.holdout import Holdout
from fact_clip.unseen.parts import FrameCounts, ValidationParts


@dataclass(frozen=True)
class ClassRoles:
    """Class indices by their role in a hold-out. Without a hold-out, all classes are seen."""

    seen: tuple[int, ...]
    unseen: tuple[int, ...]
    validation_unseen: tuple[int, ...]
    learned: tuple[int, ...]  # classes that training scores
    hidden: tuple[int, ...]  # classes whose labels are hidden from training

    @classmethod
    def of(
        cls, vocabulary: Vocabulary, holdout: Holdout | None, has_drafts: bool = False
    ) -> "ClassRoles":
        """Return the roles of the classes of a vocabulary.

        If there are drafts, hidden classes are learned from names that a model gave to frames.
        """
        everything = tuple(range(len(vocabulary)))
        if holdout is None:
            return cls(everything, (), (), learned=everything, hidden=())

        unseen = tuple(vocabulary.encode(holdout.unseen).tolist())
        validation_unseen = tuple(vocabulary.encode(holdout.validation_unseen).tolist())
        held_out = {*unseen, *validation_unseen}
        seen = tuple(index for index in everything if index not in held_out)
        if holdout.mode == "oracle":
            return cls(seen, unseen, validation_unseen, learned=everything, hidden=())
        hidden = tuple(sorted(held_out))
        learned = everything if has_drafts else seen
        return cls(seen, unseen, validation_unseen, learned, hidden)


@dataclass(frozen=True)
class VideoRoles:
    """The videos of a split by role, with the classes that are hidden in each role.

    Labels are hidden as described in docs/protocol.md, Masking.
    """

    train: Names
    validation: Names
    test: Names
    all_learning: Names  # all training videos of the split
    parts: ValidationParts  # videos that different models may use for validation
    holdout: Holdout | None  # hold-out with the validation-unseen classes that were chosen
    classes: ClassRoles
    hidden_in: Mapping[str, tuple[int, ...]]  # hidden classes of validation and test videos

    @classmethod
    def decide(
        cls,
        config: DataConfig,
        vocabulary: Vocabulary,
        split: SplitVideos,
        holdout: Holdout | None,
        count_frames: Callable[[Sequence[str]], FrameCounts],
    ) -> "VideoRoles":
        """Decide the roles of the videos of a split.

        Args:
            config: Configuration with the share of validation videos and their groups.
            vocabulary: Classes of the data set.
            split: Videos of the split.
            holdout: Held-out classes, or None.
            count_frames: Function that counts the frames of classes in videos. It is called only
                if there are held-out classes or validation videos.

        Returns:
            The roles.

        Raises:
            InputError: No training video remains, or the settings do not fit the videos.
        """
        if holdout is not None:
            split = holdout_videos(split, holdout.check(vocabulary))
        frames: FrameCounts = {}
        if holdout is not None or config.validation > 0:
            frames = count_frames(split.learning)
        parts = ValidationParts.of(config, vocabulary, holdout, split.learning, frames)
        _check_groups_of_lists(config, split, holdout)
        if holdout is not None and config.validation_unseen == "auto" and config.validation > 0:
            (names,) = parts.hidden_groups(1)
            holdout = replace(holdout, validation_unseen=names)
            parts = replace(parts, holdout=holdout)

        classes = ClassRoles.of(vocabulary, holdout, config.drafts is not None)
        hidden = () if holdout is None else holdout.validation_unseen
        if config.validation_videos is None:
            (validation,) = parts.choose([hidden], first_part=config.validation_part)
        else:
            validation = _listed(config.validation_videos, parts)
        # A video without a label also shows its group.
        group_of = read_groups(split.learning, parts.groups.pattern)
        validating = {group_of[name] for name in validation}
        train = tuple(name for name in split.learning if group_of[name] not in validating)
        if holdout is not None and holdout.mode == "drop":
            hidden_classes = set(classes.hidden)
            train = tuple(name for name in train if not hidden_classes & frames[name].keys())
        if not train:
            problem = f"'drop' leaves none of {len(split.learning)} training videos"
            raise InputError("holdout.mode", problem, "use mask")

        hidden_in = dict.fromkeys(split.test, tuple[int, ...]())
        hidden_in |= dict.fromkeys(validation, classes.unseen if classes.hidden else ())
        return cls(
            train=train,
            validation=validation,
            test=split.test,
            all_learning=split.learning,
            parts=parts,
            holdout=holdout,
            classes=classes,
            hidden_in=hidden_in,
        )


def _check_groups_of_lists(config: DataConfig, split: SplitVideos, holdout: Holdout | None) -> None:
    """Raise an InputError if the lists of a hold-out train on and test the same group."""
    if holdout is None or config.groups is None:
        return
    if not holdout.train_videos and not holdout.test_videos:
        return
    learned = {*read_groups(split.learning, config.groups).values()}
    for group in read_groups(split.test, config.groups).values():
        if group in learned:
            problem = f"videos of {group!r} are trained on and tested"
            raise InputError("data.groups", problem, "put each group into only one list")


def _listed(names: Names, parts: ValidationParts) -> Names:
    """Return the validation videos that a configuration lists, after checking them."""
    labelled = parts.groups.of_video
    for name in names:
        if name not in labelled:
            problem = f"{name!r} is not a training video with a label"
            fix = "leave data.validation_videos out to choose some"
            raise InputError("data.validation_videos", problem, fix)
    if labelled.keys() <= {*names}:
        problem = "all labelled training videos"
        raise InputError("data.validation_videos", problem, "leave some for training")
    return names


def holdout_videos(split: SplitVideos, holdout: Holdout) -> SplitVideos:
    """Return the videos that a hold-out names, or else the videos of the split."""
    split_names = dict.fromkeys((*split.learning, *split.test))
    for field in ("train_videos", "test_videos"):
        for name in getattr(holdout, field) or ():
            if name not in split_names:
                problem = f"no video {name!r} in this split"
                raise InputError(f"holdout.{field}", problem, suggest(name, split_names))

    learning = split.learning if holdout.train_videos is None else holdout.train_videos
    test = split.test if holdout.test_videos is None else holdout.test_videos
    if not learning:
        raise InputError("holdout.train_videos", "no videos", "name some, or leave it out")
    for name in set(test).intersection(learning):
        problem = f"{name!r} is also a training video"
        raise InputError("holdout.test_videos", problem, "remove it from one list")
    return SplitVideos(learning, test)
