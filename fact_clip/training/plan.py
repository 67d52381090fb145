"""The plan of a training run: every ``auto`` decided, data opened, texts and objects read."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fact_clip import metrics
from fact_clip.config import Config, with_values
from fact_clip.core import WHOLE_NAME, InputError, Json, Vocabulary
from fact_clip.core.launch import place_in_launch
from fact_clip.datasets.benchmarks import IN_MEMORY
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.layout import DataFolder, DataStore
from fact_clip.datasets.naming import guess_names
from fact_clip.datasets.object_detection import objects_of
from fact_clip.datasets.objects import OBJECT_SLOT, ObjectColumns
from fact_clip.devices.device import pick_device
from fact_clip.encoders import text_encoder
from fact_clip.encoders.sentence import StoredVectors
from fact_clip.encoders.vectors import class_texts, class_vectors, embed, twins
from fact_clip.evaluation.calibration import check_prior
from fact_clip.models.heads import is_open, reads_text
from fact_clip.runs.run import Run
from fact_clip.training.callbacks import check_loggers
from fact_clip.training.start import read_start
from fact_clip.unseen.parts import MemberPart


@dataclass(frozen=True)
class Note:
    """A message about a decision made for the user."""

    message: str
    level: int = logging.INFO


@dataclass(frozen=True)
class Plan:
    """Everything that a training run needs to start.

    Attributes:
        config: Configuration with all decisions and with absolute paths.
        dataset: Data set of the split, without the held-out classes.
        device: Device for training.
        objects: Object columns, or None if there are none or if `start` provides them.
        texts: Text vectors for building the model: "text" (C, S, E) and "object_text" (O, E).
            The object texts of `start` are not included.
        start: Run of ``train.init``, which provides the initial weights.
        parts: Validation videos and hidden classes of each member, or () if all members of the run
            have the same.
        notes: Messages about the decisions.
    """

    config: Config
    dataset: Dataset
    device: torch.device
    objects: ObjectColumns | None = None
    texts: Mapping[str, Tensor] = field(default_factory=dict)
    start: Run | None = None
    parts: tuple[MemberPart, ...] = ()
    notes: tuple[Note, ...] = ()


def resolve(config: Config, folder: DataStore | None = None, is_checked: bool = False) -> Plan:
    """Decide everything that a configuration leaves open, and open the files that it names.

    Args:
        config: Configuration of a run.
        folder: Data of the run, if already open.
        is_checked: Whether a different process has checked all files. In a launch, only the main
            process checks them. The other processes read only the labels that they need.

    Returns:
        The plan.

    Raises:
        InputError: Files cannot be read, or settings do not fit the data.
    """
    planner = _Planner(config, folder)
    check_loggers(config.train.loggers)
    return planner.plan(is_checked)


class _Planner:
    """The steps of `resolve`. Each step may read the results of the previous steps."""

    def __init__(self, config: Config, folder: DataStore | None) -> None:
        self.config = config
        self.folder = folder or DataFolder(config.data)
        self.reads_text = reads_text(config.model.head)
        self.takes_any_name = is_open(config.model.head)
        self.is_zero_shot = self.takes_any_name and config.data.has_untrained_classes
        self.device = pick_device(config.train.device, "train.device")
        self.notes: list[Note] = []
        self.objects: ObjectColumns | None = None

    def plan(self, is_checked: bool) -> Plan:
        """Return the plan."""
        self._check_settings()
        self._decide(self._class_names())
        self._decide(self._paths())
        self.dataset = Dataset.open(self.config.data, self.folder)
        if not is_checked and place_in_launch()[0] == 0:
            self.dataset.check()
        self._decide(self._groups())
        self._decide(self._validation_unseen())
        parts = self._member_parts()
        if parts:
            self._decide({"data.validation_videos": parts[0].validation})
            if parts[0].validation != self.dataset.validation:
                self.dataset = Dataset.open(self.config.data, self.folder)
        if self.config.train.init is None:
            ties_factors = self.config.model.head == "text" and "factors" in self.config.text.parts
            self.objects = objects_of(self.dataset, ties_factors)
            if parts and self.objects is not None and not self.config.data.objects.names_file:
                # Members learn from different videos, in which they could find different objects.
                self._decide(self.objects.settings())
        if self.is_zero_shot:
            check_prior(self.config.decode, self.dataset)
        self.start = read_start(self.config, self.dataset, self.reads_text, self.takes_any_name)
        self._decide(self._start_and_objects())
        texts = self._texts()
        return Plan(
            config=self.config,
            dataset=self.dataset,
            device=self.device,
            objects=self.objects,
            texts=texts,
            start=self.start,
            parts=parts,
            notes=tuple(self.notes),
        )

    def _decide(self, values: Json) -> None:
        """Set values by dotted key."""
        self.config = with_values(self.config, values)

    def _check_settings(self) -> None:
        """Report settings that would fail only after minutes, with a half-written run folder."""
        metrics.figure_keys(self.config.evaluation.profile)
        has_transcript = self.config.model.transcript
        if self.config.loss.match == "seq" and not has_transcript:
            problem = "seq matches the tokens of a transcript, but the model has none"
            fix = "choose o2o or o2m, or set model.transcript=true"
            raise InputError("loss.match", problem, fix)
        if self.is_zero_shot and has_transcript:
            problem = "a transcript, but classes are held out from a head that reads text"
            raise InputError("model.transcript", problem, "set model.head=closed")

    def _class_names(self) -> Json:
        """Decide what follows from class names: background, grammar and text parts."""
        data = self.config.data
        values: Json = {}
        messages = []
        if data.name == "folder":
            guess, _ = guess_names(data, self.folder.class_names, self.folder.root)
            if data.background is None:
                background = ", ".join(guess.background or ()) or "no class"
                messages.append(f"background by its name: {background}")
            if guess.unlabelled != data.unlabelled:
                messages.append(f"ignored because of their names: {', '.join(guess.unlabelled)}")
            if guess.grammar != data.grammar:
                messages.append(f"names are parsed as {guess.grammar}")
            for key in ("background", "unlabelled", "grammar"):
                values[f"data.{key}"] = getattr(guess, key)
            data = guess
        if self.config.text.parts == "auto" and self.takes_any_name:
            if self.folder.vocabulary(data).slots == WHOLE_NAME:
                values["text.parts"] = ("sentence",)
                messages.append("class names are embedded as a sentence")
            else:
                values["text.parts"] = ("sentence", "factors")
                messages.append("class names are embedded as a sentence plus their parts")
        if messages:
            self.notes.append(Note("; ".join(messages)))
        return values

    def _groups(self) -> Json:
        """Decide whether whole groups of videos are used for validation."""
        groups = self.dataset.roles.parts.groups
        if not groups.note:
            return {}
        self.notes.append(Note(groups.note))
        return {"data.groups": None}

    def _member_parts(self) -> tuple[MemberPart, ...]:
        """Decide which videos and classes each member uses for validation."""
        settings = self.config.train
        data = self.config.data
        dataset = self.dataset
        if not settings.member_parts or settings.members == 1 or not dataset.validation:
            return ()
        n_members = settings.members
        parts = dataset.roles.parts
        holdout = dataset.holdout
        hidden = [() if holdout is None else holdout.validation_unseen] * n_members
        # With drafts, all members hide the same classes, because the teacher named only the frames
        # of these classes.
        if holdout is not None and data.validation_unseen is not None and data.drafts is None:
            hidden = parts.hidden_groups(n_members)
        videos = parts.choose(hidden, data.validation_part, data.validation_videos)
        pairs = zip(videos, hidden, strict=True)
        member_parts = tuple(MemberPart(validation, names) for validation, names in pairs)
        for message in parts.check(member_parts):
            self.notes.append(Note(message))
        return member_parts

    def _paths(self) -> Json:
        """Make stored paths absolute, so that a run can be evaluated from any folder."""
        root = self.folder.root
        values: Json = {"data.root": IN_MEMORY if root is None else str(root.resolve())}
        holdout = self.config.data.holdout
        if isinstance(holdout, str) and Path(holdout).is_file():
            if root is None or not (root / holdout).is_file():
                values["data.holdout"] = str(Path(holdout).resolve())
        encoder = self.config.text.encoder
        if encoder.startswith("file:") and self.reads_text:
            values["text.encoder"] = StoredVectors(encoder.removeprefix("file:")).setting
        teacher = self.config.train.self_training
        if isinstance(teacher, str):
            path = Path(teacher)
            if path.is_file() or (path / "run.json").is_file():
                values["train.self_training"] = str(path.resolve())
        return values

    def _validation_unseen(self) -> Json:
        """Replace ``auto`` with the validation-unseen classes that the data set selected."""
        data = self.config.data
        setting = data.validation_unseen
        holdout = self.dataset.holdout
        if holdout is None or setting not in (None, "auto"):
            return {}
        names = holdout.validation_unseen
        rule = "gamma is chosen only by the accuracy of seen classes"
        if setting is None:
            if not names and self.takes_any_name:
                fix = "data.validation_unseen=auto selects some"
                message = f"data.holdout lists no validation-unseen classes, so {rule}; {fix}"
                self.notes.append(Note(message, logging.WARNING))
            return {}
        if names:
            counts = self.dataset.class_counts(self.dataset.validation).tolist()
            frames_of = dict(zip(self.dataset.vocabulary.names, counts, strict=True))
            classes = ", ".join(f"{name!r} ({frames_of[name]} frames)" for name in names)
            message = (
                "selected as validation-unseen: excluded from training, and used on the "
                f"validation videos to tune settings: {classes}"
            )
            self.notes.append(Note(message))
        else:
            reason = "there are no validation videos"
            if data.validation:
                reason = (
                    "no class can be validation-unseen, because none has enough frames and "
                    "all of its factors in other seen classes"
                )
            self.notes.append(Note(f"{reason}; {rule}", logging.WARNING))
        return {"data.validation_unseen": names}

    def _start_and_objects(self) -> Json:
        """Decide the path of ``train.init``, and ``data.objects.file: auto``."""
        values: Json = {}
        if self.start is not None:
            values["train.init"] = str(self.start.path.resolve())
            has_objects = self.start.objects is not None
        else:
            has_objects = self.objects is not None
            if self.objects is not None and len(self.objects.fixed) == len(self.objects.names):
                problem = "all objects keep their identity, so no object is identified by its name"
                fix = "leave one out of data.objects.fixed, or set data.objects.file to null"
                raise InputError("data.objects", problem, fix)
            if any(self.config.augment.swap) and not has_objects:
                fix = "set it to 0, or data.objects"
                raise InputError("augment.swap", "no object columns to swap", fix)
        if self.config.data.objects.file == "auto":
            values["data.objects.file"] = None
            if has_objects:
                values["data.objects.file"] = "find"
                message = (
                    "the columns contain objects that come and go, and their names follow from the "
                    "labels (data.objects.file)"
                )
                self.notes.append(Note(message))
        return values

    def _check_text_parts(self) -> None:
        """Raise an InputError for parts that the names lack, or that cannot separate background."""
        parts = self.config.text.parts
        vocabulary = self.dataset.vocabulary
        if "factors" in parts and vocabulary.slots == WHOLE_NAME:
            problem = f"{list(parts)}, but the names have no parts"
            fix = "choose sentence, or define the parts: data.grammar or ROOT/factors.csv"
            raise InputError("text.parts", problem, fix)
        if len(vocabulary.background) > 1 and "sentence" not in parts:
            problem = f"{list(parts)}, which are the same for all background classes"
            raise InputError("text.parts", problem, "add sentence, or merge these classes")

    def _texts(self) -> dict[str, Tensor]:
        """Return the text vectors for building the model.

        For a head that reads any name, these are "text" (C, S, E) and, with object columns,
        "object_text" (O, E). For the head "fact-clip", "text" is (C, E). Other heads need none.
        """
        if not self.reads_text:
            return {}
        config = self.config.text
        vocabulary = self.dataset.vocabulary
        if self.takes_any_name:
            self._check_text_parts()
        encoder = text_encoder(config.encoder, self.config.train.device)
        if not self.takes_any_name:
            return {"text": torch.from_numpy(class_vectors(encoder, vocabulary, config.phrase))}
        vectors = class_texts(config, vocabulary, encoder)
        groups = twins(vocabulary.names, vectors)
        if groups:
            names_alike = "; for ".join(", ".join(map(repr, group)) for group in groups)
            message = (
                f"{config.encoder} has (nearly) the same vector for {names_alike}, so a model can "
                "hardly distinguish them: write their parts in English into factors.csv, or choose "
                "a text encoder for their language (docs/names.md)"
            )
            self.notes.append(Note(message, logging.WARNING))
        texts = {"text": torch.from_numpy(vectors)}
        if self.objects is not None:
            if "factors" not in config.parts:
                problem = "object columns are tied to factors"
                raise InputError("text.parts", problem, "add factors")
            # An object without a name has a zero row.
            names = [name for name in self.objects.names if name]
            factors = {name: (name,) for name in names}
            words = Vocabulary.from_names(names, factors=factors, slots=(OBJECT_SLOT,))
            word_vectors = embed(encoder, words, phrase=config.phrase).slots[OBJECT_SLOT]
            rows = np.zeros((len(self.objects.names), word_vectors.shape[1]), np.float32)
            rows[[bool(name) for name in self.objects.names]] = word_vectors
            texts["object_text"] = torch.from_numpy(rows)
        return texts
