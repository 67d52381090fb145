"""fact-clip segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fact_clip.cli.arguments import read_formats, read_names
from fact_clip.cli.model import ModelChoice
from fact_clip.cli.options import argument, option
from fact_clip.core import InputError
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.core.messages import join_names, printable
from fact_clip_batch.commands.batching import BatchChoice, Tally, end, read_sources, run_tasks
from fact_clip_batch.commands.output import Output

if TYPE_CHECKING:
    from fact_clip.inference import ModelOptions, Segmenter
    from fact_clip_batch.engine import BatchOptions


def _setting(field: str, name: str) -> Any:
    """Declare the option of a setting of decoding, with the description of the setting."""
    return option(str(DecodeSettings.model_fields[field].description), name)


@dataclass(frozen=True)
class SegmentChoice(ModelChoice):
    """The options that select a model, its candidates and how it decodes."""

    more_actions: Annotated[
        str | None, option("The classes of the run and these names beside them.")
    ] = None
    smoothing: Annotated[
        float | None,
        option("Training-free: seconds over which similarities are averaged. Default: 1."),
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

    def options(self) -> ModelOptions:
        """Return how the model is opened."""
        return replace(super().options(), smoothing=self.smoothing)

    def settings(self) -> DecodeSettings:
        """Return the settings of decoding."""
        return DecodeSettings(
            threshold=self.threshold,
            gamma=self.gamma,
            switch_penalty=self.switch_penalty,
            shortest=self.shortest,
            reject=self.reject,
        )

    def load(self) -> tuple[Segmenter, list[str] | None]:
        """Open the model. Return its candidates, too."""
        return self.open(read_names(self.more_actions, "--more-actions"), self.settings())


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
    how: BatchChoice,
    batch_frames: Annotated[
        int,
        option(
            "Frames of short feature files that go through the model together; 0: one file.",
            min=0,
            max=10_000_000,
        ),
    ] = 0,
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
    on where it was interrupted; with other actions it writes NAME-2, unless --overwrite is given.
    Job arrays share the inputs by --shard (docs/scaling.md). With --live each segment is a line as
    soon as it is final; files are written at the end, with --out or --format.

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
        _segment_live(inputs, choice, output, how, delay)
        return
    if delay is not None:
        raise InputError("--delay", "only --live reads it", "leave it out")
    options = how.options(batch_frames=batch_frames, device=choice.device)
    _segment_files(inputs, choice, output, options)


def _segment_live(
    inputs: Sequence[str],
    choice: SegmentChoice,
    output: Output,
    how: BatchChoice,
    delay: float | None,
) -> None:
    """Segment one input as it comes. Reject options that do not go with --live."""
    from fact_clip_batch.commands.live import segment_live

    unread = {
        "--media": output.media,
        "--shard": how.shard,
    }
    for name, value in unread.items():
        if value is not None:
            raise InputError(name, "it does not go with --live", "leave it out")
    if output.is_remote:
        raise InputError("--out", "--live writes to a folder of this machine", "name one")
    if len(inputs) != 1:
        raise InputError("--live", f"{len(inputs)} inputs", "give one")
    model, candidates = choice.load()
    seconds = 5.0 if delay is None else delay
    stream = model.stream(seconds, candidates, choice.settings(), fps=choice.fps)
    segment_live(inputs[0], model, stream, output, how.overwrite, output.folder(choice.run))


def _segment_files(
    paths: Sequence[str], choice: SegmentChoice, output: Output, options: BatchOptions
) -> None:
    """Segment files, each process or actor its share, and print and report the results."""
    from fact_clip.core.distributed import Processes
    from fact_clip_batch.commands.results import Results
    from fact_clip_batch.inputs import Inputs
    from fact_clip_batch.segmentation import SEGMENT_SUFFIXES, SegmentSettings, SegmentTask

    formats = read_formats(output.formats or "csv,json")
    processes = Processes(choice.device)
    own_part = options.shared(processes.rank, processes.world)
    inputs = Inputs(processes.broadcast(lambda: read_sources(paths)), SEGMENT_SUFFIXES)
    out = output.place(choice.run)
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
        return SegmentTask(model, out, settings, own_part)

    task = make_task()
    tally = run_tasks([task], make_task, inputs, processes)
    if not processes.is_main:
        return
    results = Results(task, inputs, options.shard)
    if output.as_json:
        results.print_json()
    elif len(inputs) == 1 and not output.is_remote:
        results.print_segments()
    else:
        counts = tally.counts
        line = f"{counts['computed']} segmented, {counts['done']} already there"
        failed = f"{counts['failed']} failed"
        print(f"{counts['inputs']} inputs: {line}, {failed}; {printable(str(out))}")
    _report(tally, out)


def _report(tally: Tally, out: str | Path) -> None:
    """Print on stderr what was written, and exit with 1 if an input failed."""
    lines = []
    counts = tally.counts
    if tally.written:
        lines.append(f"written: {join_names(tally.written, counts['written'])}")
    if counts["done"]:
        lines.append(
            f"already there: {counts['done']} of {counts['inputs']} in {out}; "
            "--overwrite does them anew"
        )
    if tally.renamed:
        lines.append(
            f"fact-clip: {counts['renamed']} named anew ({tally.renamed[0]}), "
            "since another result has the name; --overwrite replaces it"
        )
    lines += tally.lines(out)
    if tally.errors:
        lines.append(f"fact-clip: {counts['failed']} of {counts['inputs']} inputs failed")
    end(tally, lines)
