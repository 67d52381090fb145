"""How often a training step waits for its device, counted on the CPU by the operations that would wait elsewhere."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from fact_clip.training import train, trainer

MOST = 12
# Operations whose result has a size, or is a number, that only the device knows.
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "unique_consecutive", "_unique2", "equal", "is_nonzero"}
COPIES = {torch.Tensor.cpu, torch.Tensor.numpy, torch.Tensor.tolist, torch.Tensor.cuda}


class Operations(TorchDispatchMode):
    """Counts operations that wait, and indexing by a mask, which looks for the places of what is true."""

    def __init__(self, found: Counter[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in WAITING or (name == "repeat_interleave" and len(args) == 1):
            self.found[name] += 1
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            self.found["mask"] += any(each is not None and each.dtype == torch.bool for each in args[1])
        return func(*args, **(kwargs or {}))


class Copies(TorchFunctionMode):
    """Counts calls that copy to or from a device; on the CPU they do nothing, and no operation is run."""

    def __init__(self, found: Counter[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # torch's optimisers and averages call it for tensors that are on their device already.
        ours = "torch" not in Path(sys._getframe(1).f_code.co_filename).parts
        to_device = func is torch.Tensor.to and any(isinstance(each, str | torch.device) for each in args[1:])
        if func in COPIES or (to_device and ours):
            self.found[func.__name__] += 1
        return func(*args, **(kwargs or {}))


def test_the_count_sees_what_waits() -> None:
    found, x = Counter[str](), torch.tensor([1.0, -1.0])
    with Operations(found), Copies(found):
        x.sum().item(), bool((x > 0).any()), x[x > 0], x.nonzero()
        x.cpu(), x.tolist(), x.to("cpu"), x.to(torch.float64)
        x + 1, x[torch.tensor([0])], torch.where(x > 0, x, 0)
    assert found == {"_local_scalar_dense": 2, "mask": 1, "nonzero": 1, "cpu": 1, "tolist": 1, "to": 1}


def counted(tiny: Any, out: Any, monkeypatch: pytest.MonkeyPatch, blocks: str, batch_size: int) -> Counter[str]:
    """What the last of some steps did."""
    steps: list[Counter[str]] = []

    class Counted(trainer.Trainer):
        def _step(self, *arguments: Any) -> Any:
            found = Counter[str]()
            with Operations(found), Copies(found):
                answer = super()._step(*arguments)
            steps.append(found)
            return answer

    with monkeypatch.context() as patched:
        patched.setattr(trainer, "Trainer", Counted)
        settings = {"epochs": 2, "batch_size": batch_size, "average": 0.9, "clip_norm": 10.0}
        train(tiny(model={"blocks": blocks}, train=settings), out)
    return steps[-1]


def test_a_step_waits_seldom(tiny: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most twelve times, with one video or three; once more for each U block, and for no other block."""
    totals = {}
    for blocks in ("iu", "iuuu", "iuU", "iuUU"):
        for size in (1, 3):
            found = counted(tiny, tmp_path / f"{blocks}{size}", monkeypatch, blocks, size)
            totals[blocks, size] = found.total()
            assert found.total() <= MOST, found
    for blocks in ("iu", "iuuu", "iuU", "iuUU"):
        assert totals[blocks, 1] == totals[blocks, 3]
    assert totals["iuuu", 1] == totals["iu", 1]
    per_cut = totals["iuU", 1] - totals["iu", 1]
    assert totals["iuUU", 1] - totals["iuU", 1] == per_cut
