"""What the processes of torchrun exchange, and that a process alone exchanges nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fact_clip.devices.processes import Processes

ROOT = Path(__file__).parents[2]

# Three processes; the third has no item of its own, and the second no gradient of the first parameter.
SCRIPT = """
import atexit, json, sys
from pathlib import Path
import torch
from fact_clip.devices.processes import Processes
out = Path(sys.argv[1])
@atexit.register  # after what the processes have to end
def threads():
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    (out / f"threads{own.rank}").write_text(" ".join(name for name in names if "gloo" in name))
own = Processes("cpu")
class Sum(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.unused = (torch.nn.Parameter(torch.zeros(size)) for size in (2, 2, 3))
    def forward(self, scale):
        total = (self.second * torch.tensor([10.0 ** own.rank, 1.0])).sum()
        return total if own.rank == 1 else total + scale * (self.first * torch.tensor([1.0, 2.0])).sum()
def gradients():
    model = Sum()
    parallel = own.parallel(model)
    (parallel(own.rank + 1) * own.world).backward()
    both = [model.first, model.second, model.unused]
    return [None if each.grad is None else each.grad.tolist() for each in both]
with own.main_first():
    there = (out / "first").exists()
    if own.is_main:
        (out / "first").touch()
found = {
    "share": list(own.share(range(7))),
    "each": own.map(lambda item: item**2, range(7)),
    "few": own.map(str, [5, 6]),
    "first": own.broadcast(lambda: f"of {own.rank}"),
    "sum": {key: float(value) for key, value in own.all_reduce({"a": 1.0, "b": torch.tensor(own.rank)}, 0.5).items()},
    "gradients": gradients(),
    "there": there,
}
found["together"] = own.map(str, [own.rank] * 3)
(out / f"{own.rank}.json").write_text(json.dumps(found))
"""


def test_alone():
    alone = Processes("no device is asked for")
    model = torch.nn.Linear(1, 1)
    assert alone.parallel(model) is model
    alone.wait()
    assert (alone.rank, alone.world, alone.is_main) == (0, 1, True)
    assert alone.share([1, 2, 3]) == [1, 2, 3]
    assert alone.map(str, [1, 2]) == ["1", "2"]
    assert alone.broadcast(lambda: 4) == 4
    assert alone.all_reduce({"a": 2.0}, 1.0) == {"a": 2.0}


@pytest.mark.slow
def test_three_processes(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "3"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    answer = subprocess.run(
        [*command, str(tmp_path / "script.py"), str(tmp_path)], capture_output=True, text=True, env=environment
    )
    assert answer.returncode == 0, answer.stderr
    # a thread of gloo that is left when Python ends aborts the process, now and then
    assert [(tmp_path / f"threads{rank}").read_text() for rank in range(3)] == [""] * 3
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(3)]
    assert [each.pop("share") for each in found] == [[0, 3, 6], [1, 4], [2, 5]]
    assert [each.pop("there") for each in found] == [False, True, True]
    assert [each.pop("together") for each in found] == [["0", "1", "2"]] * 3
    expected = {
        "each": [0, 1, 4, 9, 16, 25, 36],
        "few": ["5", "6"],
        "first": "of 0",
        "sum": {"a": 1.5, "b": 1.5},
        "gradients": [[4.0, 8.0], [111.0, 3.0], None],
    }
    assert found == [expected] * 3
