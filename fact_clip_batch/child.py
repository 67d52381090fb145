"""The child process of `IsolatedDecoder`, which receives requests and sends messages.

A request is `(path, grid)`: the video and the `Grid` of its frames.
The messages are None once it is ready, and for each request the `VideoInfo`, lists of `Frame` and
None, or an error. It loads no torch.
"""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from fact_clip.core import InputError
from fact_clip.core.launch import end_with_parent
from fact_clip.video.frames import Frame, Grid, probe

# Frames are sent when either is reached. 4 MiB saves most round trips, and is little beside the
# memory limit.
CHUNK_BYTES = 4 << 20
CHUNK_FRAMES = 32


def main() -> None:
    """Decode the requested videos until the connection ends."""
    gigabytes, parent, descriptor = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C, and ends this process
    end_with_parent(int(parent))
    _limit_memory(float(gigabytes))
    os.dup2(2, 1)  # the output of libraries must not mix with the output of the parent
    connection = Connection(int(descriptor))
    connection.send(None)
    with suppress(EOFError):
        while True:
            video, grid = connection.recv()
            try:
                _decode(video, grid, connection.send)
            except InputError as error:
                connection.send(error)
            except MemoryError:
                # A new one, because a library's subclass may not be picklable. The parent reads
                # the type alone.
                connection.send(MemoryError())


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
    for frame in grid.frames(video):
        chunk.append(frame)
        if len(chunk) == CHUNK_FRAMES or len(chunk) * frame.image.nbytes >= CHUNK_BYTES:
            send(chunk)
            chunk = []
    send(chunk)
    send(None)


if __name__ == "__main__":
    main()
