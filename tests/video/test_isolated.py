"""Decoding in a child process that may end at any moment."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict

import pytest

from fact_clip.video import isolated
from fact_clip.video.decode import Span, probe
from fact_clip.video.isolated import CrashedDecoderError, Grid, IsolatedDecoder

CHILD = """
import json, sys

def send(header, content=b"", length=None):
    line = json.dumps({**header, "bytes": len(content)}).encode() + b"\\n"
    sys.stdout.buffer.write(line + content[:length])
    sys.stdout.buffer.flush()

send({"ready": True})
sys.stdin.readline()
send({"info": json.loads(sys.argv[1])})
send({"times": [0.0], "shape": [1, 4, 4, 3]}, bytes([7]) * 48)
send({"times": [0.2], "shape": [1, 4, 4, 3]}, bytes([7]) * 48, 20)
"""


def test_a_picture_that_is_cut_by_a_kill_is_none(video, monkeypatch):
    """The rest of the picture would be black, and its features would be kept for the next attempt."""
    path = video("a.mkv", 30)
    command = [sys.executable, "-c", CHILD, json.dumps(asdict(probe(path)))]
    start = subprocess.Popen
    monkeypatch.setattr(isolated.subprocess, "Popen", lambda _, **how: start(command, **how))
    decoder = IsolatedDecoder()
    pictures = decoder.open(path, Grid(5.0, None, Span()))
    first = next(pictures.frames)
    assert (first.time, int(first.image.min())) == (0.0, 7)
    with pytest.raises(CrashedDecoderError):
        next(pictures.frames)
    decoder.close()
