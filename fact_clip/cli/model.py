"""The model that `segment` and `app` use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fact_clip.core import InputError, Names

if TYPE_CHECKING:
    from fact_clip.core.decode_settings import DecodeSettings
    from fact_clip.inference import ModelOptions, Segmenter


@dataclass(frozen=True)
class ModelChoice:
    """The options that select a model: a run, or an encoder without training."""

    run: Path | None
    training_free: bool
    options: ModelOptions
    more_actions: Sequence[str] = ()  # candidates in addition to the classes of the run

    def check(self, command: str) -> None:
        """Raise an InputError for options that contradict each other."""
        if self.training_free == (self.run is not None):
            raise InputError(command, "give exactly one of --run and --training-free")
        if self.options.actions is not None and self.more_actions:
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
        from fact_clip.inference import open_model

        names = None if self.options.actions is None else [*self.options.actions]
        if self.run is not None:
            model = open_model(self.run, replace(self.options, actions=None))
            if self.more_actions:
                names = [*model.vocabulary, *self.more_actions]
        else:
            names = [*(names or []), *self.more_actions]
            encoder = self.options.encoder
            if not isinstance(encoder, str) or not names:
                fix = 'give --encoder clip:ViT-B-32/openai --actions "pour milk, stir"'
                raise InputError("--training-free", "it needs an encoder and actions", fix)
            model = open_model(encoder, replace(self.options, encoder=None, actions=names))
        model.choose(names, settings)  # wrong names are no fault of an input
        return model, names

    def command(self) -> Names:
        """Return the words of ``fact-clip segment`` with the options that select the model."""
        words = ["fact-clip", "segment"]
        if self.run is None:
            words += ["--training-free", "--prompts", self.options.prompts or "ensemble"]
        else:
            words += ["--run", str(self.run)]
        for name, value in self.options.given("encoder", "fps", "window").items():
            words += [f"--{name}", str(value)]
        if self.options.keep_going:
            words.append("--keep-going")
        return tuple(words)
