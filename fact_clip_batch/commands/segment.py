"""fact-clip segment.

segment
    _segment_live: Segments one stream. `live.py` prints the segments.
    _segment_files: Segments a batch. `run_task` of `batching.py` writes the files.
        _results, _print_json, _print_segments: Read the results from their files and print them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from fact_clip.cli.arguments import read_formats, read_names
from fact_clip.cli.console import note, segment_table
from fact_clip.cli.model import ModelChoice
from fact_clip.cli.options import argument, option
from fact_clip.core import InputError
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.core.messages import join_names, printable
from fact_clip_batch.commands.batching import BatchChoice, read_sources, run_task
from fact_clip_batch.commands.output import Output

if TYPE_CHECKING:
    from fact_clip.core import Segmentation
    from fact_clip.inference import Segmenter
    from fact_clip_batch.inputs import Inputs, Item
    from fact_clip_batch.segmentation import SegmentTask


def _setting(field: str, name: str) -> Any:
    """Declare the option of a field of `DecodeSettings`, with the description of the field."""
    return option(str(DecodeSettings.model_fields[field].description), name, panel="Decoding")


@dataclass(frozen=True)
class SegmentChoice(ModelChoice):
    """The options that select a model, its candidates and the decoding settings.

    `ModelChoice` has the run, the candidates, the rate and the device, and opens the model.
    """

    more_actions: Annotated[
        str | None, option("Candidates in addition to the classes of the run.", panel="Model")
    ] = None
    threshold: Annotated[float | None, _setting("threshold", "--background-threshold")] = None
    gamma: Annotated[float | None, _setting("gamma", "--gamma")] = None
    switch_penalty: Annotated[float | None, _setting("switch_penalty", "--switch-penalty")] = None
    shortest: Annotated[float | None, _setting("shortest", "--minimal-duration")] = None
    reject: Annotated[float | None, _setting("reject", "--reject")] = None

    def check(self, command: str) -> None:
        """Raise an InputError for options that contradict each other."""
        super().check(command)
        if self.names is not None and self.more_actions is not None:
            problem = "it cannot be combined with --actions or --actions-file"
            fix = "name all actions with --actions, or leave it out to use the classes of the run"
            raise InputError("--more-actions", problem, fix)

    def settings(self) -> DecodeSettings:
        """Return the decoding settings. None keeps the value of the model."""
        return DecodeSettings(
            threshold=self.threshold,
            gamma=self.gamma,
            switch_penalty=self.switch_penalty,
            shortest=self.shortest,
            reject=self.reject,
        )

    def load(self) -> tuple[Segmenter, list[str] | None]:
        """Load the model, and return it with its candidates, or None for the classes of the run."""
        return self.open(read_names(self.more_actions, "--more-actions"))


def segment(
    inputs: Annotated[
        list[str],
        argument(
            "INPUT",
            "Feature files (.npy), videos, folders, globs in quotes, manifests, or - for stdin.",
        ),
    ],
    *,
    choice: SegmentChoice,
    output: Output,
    how: BatchChoice,  # not named `batch`, which is the batch size of `extract`
    live: Annotated[
        bool,
        option(
            "Segment one stream: rtsp://..., camera:0, a file, or - for rows on stdin.",
            "--live",
            panel="Live",
        ),
    ] = False,
    delay: Annotated[
        float | None, option("Seconds until a label is final. Default: 5.", panel="Live")
    ] = None,
) -> None:
    """Segment videos into actions.

    The command prints the segments of one input, or one line about several inputs. It writes each
    file as soon as the video is done. Inputs that fail are listed at the end and in failures.jsonl,
    and the exit code is 1. After three attempts, an input is set aside. To continue an interrupted
    batch, repeat the command. Different actions need a different --out or --overwrite. See
    docs/formats.md, docs/scaling.md (--shard, --engine) and docs/streaming.md (--live).

    \b
    Example:
      fact-clip segment --run runs/k5 data/features/subj5_omelette.npy --out segments
      fact-clip segment --run runs/k5 data/features --more-actions "slice ham"
      fact-clip segment --live rtsp://192.168.1.20/stream --run runs/k5 --encoder grid --delay 5
      fact-clip segment my.mp4 --training-free --encoder clip:ViT-B-32/openai \\
        --actions "pour milk, stir"
    """
    choice.check("segment")
    if live:
        # Only --json of the options of output and batch may differ from its default.
        if how != BatchChoice() or replace(output, as_json=False) != Output():
            fix = "leave out --out, --format, --media, --with-background, --overwrite, --shard, ..."
            raise InputError("--live", "it writes nothing", fix)
        _segment_live(inputs, choice, output.as_json, delay)
        return
    if delay is not None:
        raise InputError("--delay", "only --live reads it", "leave it out")
    _segment_files(inputs, choice, output, how)


def _segment_live(
    inputs: Sequence[str], choice: SegmentChoice, as_json: bool, delay: float | None
) -> None:
    """Segment one stream, and print its segments."""
    from fact_clip_batch.commands.live import rate_of_file, segment_live

    if len(inputs) != 1:
        raise InputError("--live", f"{len(inputs)} inputs", "give one")
    model, candidates = choice.load()
    fps = choice.fps or rate_of_file(inputs[0], model)
    stream = model.stream(5.0 if delay is None else delay, candidates, choice.settings(), fps=fps)
    segment_live(inputs[0], model, stream, as_json)


def _segment_files(
    paths: Sequence[str], choice: SegmentChoice, output: Output, how: BatchChoice
) -> None:
    """Segment files, write the results, and print them or a line about them."""
    from fact_clip_batch.inputs import Inputs
    from fact_clip_batch.segmentation import SEGMENT_SUFFIXES, SegmentSettings, SegmentTask

    formats = read_formats(output.formats or "csv,json")
    options = how.options(choice.device)
    inputs = Inputs(read_sources(paths), SEGMENT_SUFFIXES)
    out = output.place(choice.run)
    # The output is checked before the model is loaded, because loading takes long.
    output.check(out, inputs, list(formats.values()))

    def make_task() -> SegmentTask:
        model, candidates = choice.load()
        settings = SegmentSettings(
            formats=list(formats),
            actions=candidates,
            decode=choice.settings(),
            media=output.media,
            with_background=output.with_background,
        )
        return SegmentTask(model, out, settings, options)

    # This process uses its task to check inputs and read results. Each Ray actor creates its own.
    task = make_task()
    tally = run_task(task, make_task, inputs)
    # The keys are "inputs", the states of an `Outcome` ("computed", "done", "failed", "set aside"),
    # and "written", the number of files.
    counts = tally.counts
    if output.as_json:
        _print_json(_results(task, inputs))
    elif len(inputs) == 1:
        _print_segments(_results(task, inputs))
    else:
        line = f"{counts['done']} already there, {counts['failed']} failed; {printable(out)}"
        print(f"{counts['inputs']} inputs: {counts['computed']} segmented, {line}")
    if tally.written:
        note(printable(f"written: {join_names(tally.written, counts['written'])}"))
    if counts["done"]:
        note(f"already there: {counts['done']} of {counts['inputs']}; --overwrite replaces them")
    tally.report(out)  # raises Exit after failures, so it comes last


def _results(task: SegmentTask, inputs: Inputs) -> Iterator[tuple[Item, Segmentation]]:
    """Yield each input of this shard that has a result, with the segmentation from its record."""
    for item in task.options.shard.items(inputs):
        is_done = False
        # An error means that the result has a different input or request. The batch has reported
        # it.
        with suppress(InputError):
            is_done = task.is_done(item)
        if is_done:
            yield item, task.read(item)


def _print_json(results: Iterator[tuple[Item, Segmentation]]) -> None:
    """Print a list of segmentations, each in the format of a .json file with id and input."""
    from fact_clip.formats.json_file import as_dict

    lines = []
    for item, segmentation in results:
        tree = {"id": item.id, "input": str(item.path), **item.span.facts}
        lines.append(json.dumps(tree | as_dict(segmentation)))
    print("[" + ",\n".join(lines) + "]")


def _print_segments(results: Iterator[tuple[Item, Segmentation]]) -> None:
    """Print a table of segments for each input."""
    for item, segmentation in results:
        print(f"{printable(str(item.path))}: {segmentation.n_frames} frames")
        print(segment_table(segmentation))
