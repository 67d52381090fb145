"""Decoding in a child process that may end at any moment."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from fact_clip.video.frames import Grid, Span
from fact_clip_batch import isolated
from fact_clip_batch.isolated import CrashedDecoderError, IsolatedDecoder

CHILD = """
import os
import pickle
import struct
import sys
from multiprocessing.connection import Connection

import numpy as np

from fact_clip.video.frames import Grid
from fact_clip.video.frames import Frame, probe

parent = Connection(int(sys.argv[1]))
parent.send(None)
video, _ = parent.recv()
parent.send(probe(video))
picture = np.full((4, 4, 3), 7, np.uint8)
parent.send([Frame(0.0, picture)])
message = pickle.dumps([Frame(0.2, picture)])
os.write(parent.fileno(), struct.pack("!i", len(message)) + message[:-20])
"""


def test_a_picture_that_is_cut_by_a_kill_is_none(video, monkeypatch):
    """The rest of the picture would be black, and its features would be kept for the next attempt."""
    path = video("a.mkv", 30)
    command = [sys.executable, "-c", CHILD]
    start = subprocess.Popen
    monkeypatch.setattr(isolated.subprocess, "Popen", lambda words, **how: start([*command, words[-1]], **how))
    decoder = IsolatedDecoder()
    info, pictures = decoder.open(path, Grid(5.0, None, Span()))
    assert info.seconds == pytest.approx(1.0, abs=0.1)
    first = next(pictures)
    assert (first.time, np.unique(first.image).tolist()) == (0.0, [7])
    with pytest.raises(CrashedDecoderError):
        next(pictures)
    decoder.close()
