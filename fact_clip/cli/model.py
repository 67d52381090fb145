"""The model that `segment` and `app` use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fact_clip.core import InputError, Names

if TYPE_CHECKING:
    from fact_clip.core.decode_settings import DecodeSettings
    from fact_clip.inference.segmenter import Segmenter


@dataclass(frozen=True)
class ModelOptions:
    """The options that select a model: a run, or an encoder without training."""

    run: Path | None
    training_free: bool
    actions: list[str] | None  # candidates; None: the classes of the run
    encoder: str | None
    fps: float | None
    device: str
    precision: Literal["auto", "float32", "bf16"]
    prompts: str
    window: float | None
    keep_going: bool
    more_actions: Sequence[str] = ()  # candidates in addition to the classes of the run
    smoothing: float = 1.0
    trust_encoder: bool = False

    def check(self, command: str) -> None:
        """Raise an InputError for options that contradict each other."""
        if self.training_free == (self.run is not None):
            raise InputError(command, "give exactly one of --run and --training-free")
        if self.actions is not None and self.more_actions:
            problem = "it goes with neither --actions nor --actions-file"
            fix = "name all actions with --actions, "
            fix += "or leave it out to have the classes of the run, too"
            raise InputError("--more-actions", problem, fix)

    def open(self, settings: DecodeSettings | None = None) -> tuple[Segmenter, list[str] | None]:
        """Load the model.

        Args:
            settings: of decoding, which are checked.

        Returns:
            The model, and the names of all candidates (None: the classes of the run).
        """
        from fact_clip.inference.loading import load
        from fact_clip.inference.training_free import load_training_free

        self._check_unread()
        actions = self.actions
        if self.run is not None:
            model = load(
                self.run,
                self.device,
                encoder=self.encoder,
                fps=self.fps,
                window=self.window,
                keep_going=self.keep_going,
                trust_encoder=self.trust_encoder,
                precision=self.precision,
            )
            if self.more_actions:
                actions = [*model.vocabulary, *self.more_actions]
        else:
            actions = [*(actions or []), *self.more_actions]
            if self.encoder is None or not actions:
                fix = 'give --encoder clip:ViT-B-32/openai --actions "pour milk, stir"'
                raise InputError("--training-free", "it needs an encoder and actions", fix)
            model = load_training_free(
                self.encoder,
                actions,
                self.device,
                prompts=self.prompts,
                smoothing=self.smoothing,
                fps=self.fps,
                keep_going=self.keep_going,
                precision=self.precision,
            )
        model.choose(actions, settings)  # wrong names are no fault of an input
        return model, actions

    def _check_unread(self) -> None:
        """Reject options that this kind of model does not read."""
        unread = {"--prompts": self.prompts != "ensemble", "--smoothing": self.smoothing != 1.0}
        if self.run is None:
            unread = {"--window": self.window is not None}
        for name, is_typed in unread.items():
            if is_typed:
                raise InputError(name, "this model does not read it", "leave it out")

    def command(self) -> Names:
        """Return the words of ``fact-clip segment`` with the options that select the model."""
        words = ["fact-clip", "segment"]
        if self.run is None:
            words += ["--training-free", "--prompts", self.prompts]
        else:
            words += ["--run", str(self.run)]
        values = {"--encoder": self.encoder, "--fps": self.fps, "--window": self.window}
        for name, value in values.items():
            if value is not None:
                words += [name, str(value)]
        if self.keep_going:
            words.append("--keep-going")
        return tuple(words)
