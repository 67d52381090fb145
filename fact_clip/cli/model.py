"""The model that `segment` and `app` use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fact_clip.cli.options import Device, KeepGoing, Precision, option
from fact_clip.core import InputError, Names

if TYPE_CHECKING:
    from fact_clip.core.decode_settings import DecodeSettings
    from fact_clip.inference.segmenter import Segmenter


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The options that select a model: a run, or an encoder without training."""

    run: Annotated[Path | None, option("Run folder of a trained model.")] = None
    training_free: Annotated[
        bool,
        option("No training: --encoder compares pictures with the --actions.", "--training-free"),
    ] = False
    actions: Annotated[
        str | None,
        option('Only these: "pour milk, stir". A run whose head reads text takes any.'),
    ] = None
    actions_file: Annotated[
        Path | None, option("As --actions, a name a line, or a mapping.txt.")
    ] = None
    encoder: Annotated[
        str | None,
        option("Frame encoder for videos, as clip:ViT-B-32/openai or grid. Default: the run's."),
    ] = None
    fps: Annotated[
        float | None, option("Pictures a second of a video. Default: the run's, or 5.")
    ] = None
    device: Device = "auto"
    precision: Precision = "auto"
    prompts: Annotated[
        str, option("Training-free: wording of names, plain, person or ensemble.")
    ] = "ensemble"
    window: Annotated[
        float | None,
        option("Seconds that a run's model reads at once; longer videos are read in windows."),
    ] = None
    keep_going: KeepGoing = False

    def check(self, command: str) -> None:
        """Raise an InputError unless the options select one model."""
        if self.training_free == (self.run is not None):
            raise InputError(command, "give exactly one of --run and --training-free")

    def open(
        self,
        actions: Sequence[str] | None,
        settings: DecodeSettings | None = None,
        *,
        more_actions: Sequence[str] = (),
        smoothing: float = 1.0,
        trust_encoder: bool = False,
        adapt_to: Path | None = None,
    ) -> tuple[Segmenter, list[str] | None]:
        """Load the model.

        Args:
            actions: the candidates; None: the classes of the run.
            settings: of decoding, which are checked.
            more_actions: candidates beside the classes of the run.
            smoothing: of --smoothing.
            trust_encoder: of --trust-encoder.
            adapt_to: folder of unlabelled videos.

        Returns:
            The model, and the names of all candidates (None: the classes of the run).
        """
        from fact_clip.inference.loading import load
        from fact_clip.inference.training_free import load_training_free

        unread = {"--prompts": self.prompts != "ensemble", "--smoothing": smoothing != 1.0}
        if self.run is None:
            unread = {"--window": self.window is not None}
        for name, is_typed in unread.items():
            if is_typed:
                raise InputError(name, "this model does not read it", "leave it out")
        names = [*(actions or ()), *more_actions]
        if self.run is None:
            if self.encoder is None or not names:
                fix = 'give --encoder clip:ViT-B-32/openai --actions "pour milk, stir"'
                raise InputError("--training-free", "it needs an encoder and actions", fix)
            model = load_training_free(
                self.encoder,
                names,
                self.device,
                prompts=self.prompts,
                smoothing=smoothing,
                fps=self.fps,
                keep_going=self.keep_going,
            )
        else:
            model = load(
                self.run,
                self.device,
                encoder=self.encoder,
                fps=self.fps,
                window=self.window,
                keep_going=self.keep_going,
                trust_encoder=trust_encoder,
                precision=self.precision,
            )
            if more_actions:
                names = [*model.vocabulary, *more_actions]
        if adapt_to is not None:
            from fact_clip.batch import Inputs
            from fact_clip.batch.segmentation import SEGMENT_SUFFIXES

            model.adapt_to([item.path for item in Inputs([adapt_to], SEGMENT_SUFFIXES)])
        model.choose(names or None, settings)  # wrong names are no fault of an input
        return model, names or None

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
