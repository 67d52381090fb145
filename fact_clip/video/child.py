"""The child process of `IsolatedDecoder`: a request a line on stdin, messages on stdout.

A message is a line of JSON with the number of bytes that follow it. It loads no torch.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import IO

import numpy as np
from pydantic import TypeAdapter

from fact_clip.core import InputError, Json
from fact_clip.core.distributed import end_with_parent
from fact_clip.video.decode import Frame, probe
from fact_clip.video.isolated import Grid

CHUNK_BYTES = 4 << 20
CHUNK_FRAMES = 32
_GRID = TypeAdapter(Grid)


def main() -> None:
    """Decode the videos that are asked for, until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this
    end_with_parent(int(sys.argv[2]))
    _limit_memory(float(sys.argv[1]))
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not mix with the messages
    _send(output, {"ready": True})
    for line in sys.stdin.buffer:
        try:
            _answer(json.loads(line), output)
        except InputError as error:
            kind = type(error).__name__
            _send(output, {"error": kind, "problem": error.problem, "fix": error.fix})
        except MemoryError:
            _send(output, {"error": "MemoryError", "problem": "", "fix": ""})


def _limit_memory(gigabytes: float) -> None:
    if sys.platform != "linux":
        return
    import resource

    limit = int(gigabytes * 2**30)
    _, highest = resource.getrlimit(resource.RLIMIT_AS)
    if highest != resource.RLIM_INFINITY:
        limit = min(limit, highest)
    resource.setrlimit(resource.RLIMIT_AS, (limit, highest))


def _answer(request: Json, output: IO[bytes]) -> None:
    video = Path(request["video"])
    grid = _GRID.validate_python(request["grid"])
    _send(output, {"info": asdict(probe(video))})
    chunk: list[Frame] = []
    try:
        for frame in grid.frames(video):
            chunk.append(frame)
            if len(chunk) == CHUNK_FRAMES or len(chunk) * frame.image.nbytes >= CHUNK_BYTES:
                _send_frames(output, chunk)
                chunk = []
    finally:
        # The pictures before a damage are features, too.
        _send_frames(output, chunk)
    _send(output, {"end": True})


def _send_frames(output: IO[bytes], chunk: list[Frame]) -> None:
    if not chunk:
        return
    images = np.stack([frame.image for frame in chunk])
    times = [float(frame.time) for frame in chunk]
    _send(output, {"times": times, "shape": images.shape}, images.tobytes())


def _send(output: IO[bytes], header: Json, content: bytes = b"") -> None:
    line = json.dumps({**header, "bytes": len(content)})
    output.write(line.encode() + b"\n" + content)
    output.flush()


if __name__ == "__main__":
    main()
