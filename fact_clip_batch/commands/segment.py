"""fact-clip segment.

segment
    _segment_live: one input as it comes; `live.py` prints its segments.
    _segment_files: a batch; `run_task` of `batching.py` goes through it and writes the files.
        _results, _print_json, _print_segments: prints the results, read back from their files.
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
    return option(str(DecodeSettings.model_fields[field].description), name)


@dataclass(frozen=True)
class SegmentChoice(ModelChoice):
    """The options that select a model, its candidates and how it decodes.

    `ModelChoice` has the names of the candidates, run, fps and device, and `open`.
    """

    more_actions: Annotated[
        str | None, option("The classes of the run and these names beside them.")
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
            problem = "it goes with neither --actions nor --actions-file"
            fix = "name all actions with --actions, or leave it out to have the classes of the run"
            raise InputError("--more-actions", problem, fix)

    def settings(self) -> DecodeSettings:
        """Return the settings of decoding. None stands for the value of the model."""
        return DecodeSettings(
            threshold=self.threshold,
            gamma=self.gamma,
            switch_penalty=self.switch_penalty,
            shortest=self.shortest,
            reject=self.reject,
        )

    def load(self) -> tuple[Segmenter, list[str] | None]:
        """Load the model. Return it, and its candidates (None: the classes of the run)."""
        return self.open(read_names(self.more_actions, "--more-actions"))


def segment(
    inputs: Annotated[
        list[str],
        argument(
            "INPUT",
            "Feature files (.npy), videos, folders of either, globs in quotes, manifests, or - for "
            "a list on stdin.",
        ),
    ],
    *,
    choice: SegmentChoice,
    output: Output,
    how: BatchChoice,  # not named `batch`, which is a number of pictures in `extract`
    live: Annotated[
        bool,
        option(
            "One INPUT as it comes: rtsp://..., camera:0, a file, or - for rows on stdin "
            "(docs/streaming.md).",
            "--live",
        ),
    ] = False,
    delay: Annotated[
        float | None, option("With --live: seconds after which a label is final. Default: 5.")
    ] = None,
) -> None:
    """Cut videos into actions.

    Prints the segments of one input, or a line about several; writes a file for each video and
    format as soon as it is done. Of several inputs the faulty ones are listed at the end and in
    failures.jsonl, with exit code 1; after three attempts they are set aside. The same command goes
    on where it was interrupted. Results of other actions need another --out or --overwrite. Job
    arrays share the inputs by --shard (docs/scaling.md). With --live each segment is printed as
    soon as it is final, and nothing is written.

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
        # Of the options of output and batch only --json may differ from its default.
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
    """Segment one input as it comes, and print its segments."""
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
    # Before the model is loaded, because that takes long.
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

    # This process checks inputs and reads results by its own task. Each actor of Ray makes another.
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
        note(f"already there: {counts['done']} of {counts['inputs']}; --overwrite does them anew")
    tally.report(out)  # raises Exit after failures, so it comes last


def _results(task: SegmentTask, inputs: Inputs) -> Iterator[tuple[Item, Segmentation]]:
    """Yield each input of this shard that has a result, and its segmentation, from its record."""
    for item in task.options.shard.items(inputs):
        is_done = False
        # An error means that the result is of another input or request. The batch has reported it.
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
