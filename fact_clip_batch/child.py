"""The child process of `IsolatedDecoder`: pickled requests on stdin, pickled messages on stdout.

The messages are None once it is ready, and for each request the `VideoInfo`, lists of `Frame` and
None, or an error. It loads no torch.
"""

import os
import pickle
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fact_clip.core import InputError
from fact_clip.core.distributed import end_with_parent
from fact_clip.video.grid import Grid
from fact_clip.video.pictures import Frame, probe

CHUNK_BYTES = 4 << 20
CHUNK_FRAMES = 32


def main() -> None:
    """Decode the videos that are asked for, until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this
    end_with_parent(int(sys.argv[2]))
    _limit_memory(float(sys.argv[1]))
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not mix with the messages

    def send(message: object) -> None:
        output.write(pickle.dumps(message))
        output.flush()

    send(None)
    with suppress(EOFError):
        while True:
            video, grid = pickle.load(sys.stdin.buffer)
            try:
                _decode(video, grid, send)
            except InputError as error:
                send(error)
            except MemoryError:
                send(MemoryError())


def _limit_memory(gigabytes: float) -> None:
    if sys.platform != "linux":
        return
    import resource

    limit = int(gigabytes * 2**30)
    _, highest = resource.getrlimit(resource.RLIMIT_AS)
    if highest != resource.RLIM_INFINITY:
        limit = min(limit, highest)
    resource.setrlimit(resource.RLIMIT_AS, (limit, highest))


def _decode(video: Path, grid: Grid, send: Callable[[object], None]) -> None:
    send(probe(video))
    chunk: list[Frame] = []
    try:
        for frame in grid.frames(video):
            chunk.append(frame)
            if len(chunk) == CHUNK_FRAMES or len(chunk) * frame.image.nbytes >= CHUNK_BYTES:
                send(chunk)
                chunk = []
    finally:
        # The pictures before a damage are features, too.
        send(chunk)
    send(None)


if __name__ == "__main__":
    main()
