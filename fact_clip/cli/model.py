"""The options that select a model for `segment` and `app`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fact_clip.cli.arguments import read_actions
from fact_clip.cli.options import Device, Precision, TrustEncoder, option
from fact_clip.core import InputError, Names

if TYPE_CHECKING:
    from fact_clip.inference import ModelOptions, Segmenter


@dataclass(frozen=True)
class ModelChoice:
    """The options that select a model: a run, or an encoder that needs no training."""

    run: Annotated[Path | None, option("Run folder of a trained model.", panel="Model")] = None
    training_free: Annotated[
        bool,
        option(
            "Use --encoder to compare video frames with --actions.",
            "--training-free",
            panel="Model",
        ),
    ] = False
    actions: Annotated[
        str | None,
        option('Candidate actions, such as "pour milk, stir".', panel="Model"),
    ] = None
    actions_file: Annotated[
        Path | None, option("File with one action per line, or a mapping.txt.", panel="Model")
    ] = None
    encoder: Annotated[
        str | None,
        option("Image encoder for videos, such as clip:ViT-B-32/openai.", panel="Model"),
    ] = None
    fps: Annotated[
        float | None,
        option("Rows per second of a video. Default: the run's rate, or 5.", panel="Model"),
    ] = None
    device: Device = "auto"
    precision: Precision = "auto"
    window: Annotated[
        float | None,
        option("Longest part of a video, in seconds, that is read at once.", panel="Model"),
    ] = None
    trust_encoder: TrustEncoder = False

    @cached_property
    def names(self) -> list[str] | None:
        """Return the actions of --actions or --actions-file, or None."""
        return read_actions(self.actions, self.actions_file)

    def options(self) -> ModelOptions:
        """Return the options with which the library opens the model."""
        from fact_clip.inference import ModelOptions

        return ModelOptions(
            device=self.device,
            actions=self.names,
            encoder=self.encoder,
            fps=self.fps,
            window=self.window,
            trust_encoder=self.trust_encoder,
            precision=self.precision,
        )

    def check(self, command: str) -> None:
        """Raise an InputError for options that contradict each other."""
        if self.training_free == (self.run is not None):
            raise InputError(command, "give exactly one of --run and --training-free")

    def open(self, more_actions: Sequence[str] = ()) -> tuple[Segmenter, list[str] | None]:
        """Load the model.

        Args:
            more_actions: Candidates in addition to the classes of the run.

        Returns:
            The model, and the names of all candidates or None for the classes of the run. The names
            are not checked yet.
        """
        from fact_clip.inference import open_model

        names = self.names
        options = self.options()
        if self.run is not None:
            model = open_model(self.run, replace(options, actions=None))
            if more_actions:
                names = [*dict.fromkeys([*model.vocabulary, *more_actions])]
        else:
            names = [*(names or []), *more_actions]
            if self.encoder is None or not names:
                fix = 'give --encoder clip:ViT-B-32/openai --actions "pour milk, stir"'
                raise InputError("--training-free", "it needs an encoder and actions", fix)
            model = open_model(self.encoder, replace(options, encoder=None, actions=names))
        return model, names

    def command(self) -> Names:
        """Return a ``fact-clip segment`` command with the options that select the model."""
        words = ["fact-clip", "segment"]
        if self.run is None:
            words.append("--training-free")
        else:
            words += ["--run", str(self.run)]
        for name, value in self.options().given("encoder", "fps", "window").items():
            words += [f"--{name}", str(value)]
        return tuple(words)
