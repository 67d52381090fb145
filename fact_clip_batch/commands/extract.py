"""fact-clip extract."""

from __future__ import annotations

from typing import Annotated, Literal

from fact_clip.cli.console import note
from fact_clip.cli.options import Device, argument, option
from fact_clip.core import InputError
from fact_clip_batch.commands.batching import BatchChoice, end, read_sources, run_tasks


def extract(
    videos: Annotated[
        list[str],
        argument("VIDEO", "Videos, folders, globs in quotes, manifests, or - for a list on stdin."),
    ],
    *,
    encoder: Annotated[str, option("grid, clip:ViT-B-32/openai, timm:NAME, torchvision:NAME, ...")],
    out: Annotated[str, option("Folder for NAME.npy and NAME.json, s3://... too.")],
    fps: Annotated[float, option("Rows per second.")] = 5.0,
    batch: Annotated[int, option("Pictures encoded together.")] = 32,
    device: Device = "auto",
    precision: Annotated[
        Literal["auto", "float32", "bf16"],
        option("Default: bf16 where the device computes in it."),
    ] = "auto",
    compiled: Annotated[
        bool, option("Compile the model; pays off over many videos.", "--compile")
    ] = False,
    how: BatchChoice,
    decoders: Annotated[
        int, option("Videos that are decoded at the same time for the encoder.", min=1, max=256)
    ] = 1,
) -> None:
    """Turn videos into feature files.

    Writes NAME.npy, (T, D) float16, and NAME.json for each video; a/NAME.npy for a/NAME.mp4 in a
    folder. Features that are up to date are skipped, files that it has not made are not replaced,
    and an interrupted video continues where it stopped. Of several videos the faulty ones are
    listed at the end and in failures.jsonl, with exit code 1; after three attempts they are set
    aside. Job arrays share the videos by --shard, processes of torchrun by themselves
    (docs/scaling.md).

    \b
    Example:
      fact-clip extract videos/ --encoder clip:ViT-B-32/openai --fps 5 --out features
    """
    from fact_clip.core.distributed import Processes
    from fact_clip.encoders import Runtime, frame_encoder
    from fact_clip.video.extract import Settings
    from fact_clip_batch.extraction import ExtractTask, SharedEncoder
    from fact_clip_batch.inputs import Inputs

    processes = Processes(device)
    options = how.options(decoders=decoders, device="cpu" if encoder == "grid" else device)
    options = options.shared(processes.rank, processes.world)
    inputs = Inputs(processes.broadcast(lambda: read_sources(videos)))
    runtime = Runtime(device, precision, compiled)
    model = SharedEncoder(frame_encoder(encoder, runtime))
    if encoder == "grid" and (device not in ("auto", "cpu") or precision != "auto" or compiled):
        problem = "grid takes no --device, --precision and --compile"
        raise InputError("--encoder", problem, "leave them out")
    settings = Settings(fps, batch)

    def make_task() -> ExtractTask:
        return ExtractTask(frame_encoder(encoder, runtime), out, settings, options)

    tasks = [ExtractTask(model, out, settings, options) for _ in range(decoders)]
    tally = run_tasks(tasks, make_task, inputs, processes)
    if not processes.is_main:
        return
    if model.waiting is not None:
        note(f"the encoder waited {model.waiting:.0%} of the time for pictures (--decoders)")
    counts = tally.counts
    line = f"{counts['computed']} extracted, {counts['done']} current, {counts['failed']} failed"
    if counts["set aside"]:
        line += f", {counts['set aside']} set aside"
    print(f"{counts['inputs']} videos: {line}; {out}")
    end(tally, tally.lines(out))
