"""The page: how quickly names and settings change a result, and 50 users at once.

    PYTHONPATH=. python benchmarks/app.py answers --run RUN            a 10-minute video, one user
    PYTHONPATH=. python benchmarks/app.py users --run RUN              50 clients for 2 minutes

RUN is a run whose head reads names. The server is `fact-clip app` in a process of its own, on loopback. Features are
noise of the width and rate of the run. No answer but 200 and "busy" (503) counts as an error; memory is what the server
has resident.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

from fact_clip.run import Run

MINUTES = 10.0
CLIENTS, SECONDS = 50, 120.0
ANSWER = 1.0
"""Target: median seconds until a result with other names or settings is there."""

GROWTH = 1.1
"""Target: memory of the last quarter against the second one, after which every user has begun."""

NAMES = ("grasp shaft", "rotate gear", "peel apple", "cut ham", "pour milk", "stir soup", "fold paper", "wipe table")


@contextmanager
def served(run: Path, *more: str) -> Iterator[tuple[str, int]]:
    """The address of a page, token included, and the process of its server."""
    command = [sys.executable, "-m", "fact_clip", "app", "--run", str(run), "--port", "0", "--device", "cpu", *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line.startswith("open "):
                sys.exit(f"the page did not open: {line!r}")
            yield line.split()[1], process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def megabytes(process: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def cpu_seconds(process: int) -> float:
    """Processor time of a process so far."""
    parts = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def features(run: Path, minutes: float, seed: int = 0) -> bytes:
    """A feature file of noise, (T, D) float16, as long as a video of some minutes."""
    known = Run.read(run)
    n_rows, width = round(60 * minutes * (known.fps or 5.0)), known.transform.input_dim
    rows = np.random.default_rng(seed).standard_normal((n_rows, width)).astype(np.float16)
    file = io.BytesIO()
    np.save(file, rows if known.layout == "TD" else rows.T)
    return file.getvalue()


def answers(run: Path, minutes: float, repeats: int) -> bool:
    """Whether the target is met: seconds from a request to the whole new result, and processor time beside them."""
    with served(run) as (address, process), httpx.Client(base_url=address.partition("/?")[0], timeout=600) as client:
        client.get(address).raise_for_status()
        key = client.post("/api/files", params={"name": "long.npy"}, content=features(run, minutes)).json()["file"]
        video = client.post("/api/videos", json={"files": [key]}).json()["video"]
        names = client.get("/api/state").json()["actions"]
        tried = {
            "a name more": lambda turn: {"actions": [*names, f"{NAMES[turn % len(NAMES)]} {turn}"]},
            "another order": lambda turn: {"actions": names[turn:] + names[:turn]},
            "price of a change": lambda turn: {"adjust": {"switch_penalty": 0.5 * turn}},
            "all four settings": lambda turn: {
                "adjust": {"threshold": 0.2, "gamma": 0.1 * turn, "switch_penalty": 2.0, "shortest": 1.0}
            },
        }
        slowest = 0.0
        print(f"| {minutes:g} minutes, {len(names)} names | median s | longest s | processor s |\n|---|---|---|---|")
        for name, change in tried.items():
            walls, before = [], cpu_seconds(process)
            for turn in range(1, repeats + 1):
                began = time.perf_counter()
                client.post("/api/settings", json={**change(turn), "video": video}).raise_for_status()
                walls.append(time.perf_counter() - began)
            spent = (cpu_seconds(process) - before) / repeats
            slowest = max(slowest, statistics.median(walls))
            print(f"| {name} | {statistics.median(walls):.2f} | {max(walls):.2f} | {spent:.2f} |")
    return slowest < ANSWER


async def _user(number: int, address: str, content: bytes, until: float, seen: Counter[str], faults: list[str]) -> None:
    """A user who uploads, types names, corrects, downloads and deletes, over and over."""
    rng = np.random.default_rng(number)
    base = address.partition("/?")[0]
    async with httpx.AsyncClient(base_url=base, timeout=120) as client:

        async def ask(method: str, path: str, **how: object) -> httpx.Response | None:
            try:
                answer = await client.request(method, path, **how)  # type: ignore[arg-type]
            except httpx.HTTPError as error:
                seen["error"] += 1
                faults.append(f"{method} {path}: {type(error).__name__}")
                return None
            if answer.status_code == 200:
                seen["200"] += 1
                return answer
            is_busy = answer.status_code == 503 and answer.json()["error"].startswith("busy, place ")
            seen["busy" if is_busy else "error"] += 1
            if not is_busy:
                faults.append(f"{method} {path}: {answer.status_code} {answer.text[:100]}")
            else:
                await asyncio.sleep(float(answer.headers["retry-after"]) * rng.uniform(0.5, 1))
            return None

        while await ask("GET", address) is None and time.monotonic() < until:
            pass
        while time.monotonic() < until:
            sent = await ask("POST", "/api/files", params={"name": f"clip{number}.npy"}, content=content)
            made = sent and await ask("POST", "/api/videos", json={"files": [sent.json()["file"]]})
            if not made:
                continue
            video = made.json()["video"]
            for turn in range(6):
                names = [f"{name} {rng.integers(1000)}" for name in rng.choice(NAMES, 4, replace=False)]
                await ask("POST", "/api/settings", json={"actions": names, "video": video})
                await ask("POST", "/api/settings", json={"adjust": {"switch_penalty": float(turn)}, "video": video})
                draft = [{"start": 5 * turn, "stop": 5 * turn + 4, "label": names[0]}]
                await ask("PUT", f"/api/videos/{video}/corrections", json={"segments": draft})
                await ask("GET", f"/api/videos/{video}/export", params={"format": "eaf"})
                await ask("GET", "/api/uncertain")
                await ask("GET", "/api/state")
                await asyncio.sleep(float(rng.uniform(0.2, 1.0)))
            await ask("DELETE", f"/api/videos/{video}")


async def _users(address: str, process: int, content: bytes, clients: int, seconds: float) -> bool:
    """Whether the targets are met."""
    seen, faults, sizes = Counter[str](), list[str](), list[tuple[float, float]]()
    began = time.monotonic()
    until = began + seconds

    async def watch() -> None:
        while time.monotonic() < until:
            sizes.append((time.monotonic() - began, megabytes(process)))
            await asyncio.sleep(1)

    await asyncio.gather(watch(), *(_user(one, address, content, until, seen, faults) for one in range(clients)))
    quarters = [
        statistics.fmean(size for at, size in sizes if part * seconds / 4 <= at < (part + 1) * seconds / 4)
        for part in range(4)
    ]
    print("| clients | seconds | answers | busy | errors | memory by quarters, MB | processor s |")
    print("|---|---|---|---|---|---|---|")
    listed = ", ".join(f"{size:.0f}" for size in quarters)
    spent = cpu_seconds(process)
    print(f"| {clients} | {seconds:g} | {seen['200']} | {seen['busy']} | {seen['error']} | {listed} | {spent:.0f} |")
    for fault in faults[:10]:
        print(fault, file=sys.stderr)
    return not seen["error"] and quarters[3] <= GROWTH * quarters[1]


def main() -> int:
    """Run one of the two parts; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("part", choices=("answers", "users"))
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    given = parser.parse_args()
    if given.part == "answers":
        return int(not answers(given.run, given.minutes, given.repeats))
    with served(given.run) as (address, process):
        content = features(given.run, 1.0)
        return int(not asyncio.run(_users(address, process, content, given.clients, given.seconds)))


if __name__ == "__main__":
    sys.exit(main())
