"""The page: how quickly names, settings and labels are answered, and 50 users at once.

    PYTHONPATH=. python benchmarks/app.py answers --run RUN            a 10-minute video, one user
    PYTHONPATH=. python benchmarks/app.py labels                       60 segments of it, and a project of 500 videos
    PYTHONPATH=. python benchmarks/app.py browser                      a 2-hour video of 1500 segments, in Chromium
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
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

from fact_clip.runs.run import Run
from fact_clip_app.store.project import Project

MINUTES = 10.0
CLIENTS, SECONDS = 50, 120.0
ANSWER = 1.0
"""Target: median seconds until a result with other names or settings is there."""

GROWTH = 1.1
"""Target: memory of the last quarter against the second one, after which every user has begun."""

NAMES = (
    "grasp shaft",
    "rotate gear",
    "peel apple",
    "cut ham",
    "pour milk",
    "stir soup",
    "fold paper",
    "wipe table",
)


@contextmanager
def served(run: Path | None, project: Path | None = None) -> Iterator[tuple[str, int]]:
    """The address of a page, token included, and the process of its server."""
    project = project or Path(tempfile.mkdtemp()) / "project"
    command = [
        sys.executable,
        "-m",
        "fact_clip",
        "app",
        str(project),
        "--port",
        "0",
        "--device",
        "cpu",
    ]
    command += [] if run is None else ["--run", str(run)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
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
    with (
        served(run) as (address, process),
        httpx.Client(base_url=address.partition("/?")[0], timeout=600) as client,
    ):
        client.get(address).raise_for_status()
        key = client.post(
            "/api/files", params={"name": "long.npy"}, content=features(run, minutes)
        ).json()["file"]
        video = client.post("/api/videos", json={"files": [key]}).json()["video"]
        names = [action["name"] for action in client.get("/api/state").json()["actions"]]
        tried = {
            "a name more": lambda turn: [*names, f"{NAMES[turn % len(NAMES)]} {turn}"],
            "another order": lambda turn: names[turn:] + names[:turn],
            "price of a change": lambda turn: {"adjust": {"switch_penalty": 0.5 * turn}},
            "all four settings": lambda turn: {
                "adjust": {
                    "threshold": 0.2,
                    "gamma": 0.1 * turn,
                    "switch_penalty": 2.0,
                    "shortest": 1.0,
                }
            },
        }
        slowest = 0.0
        print(
            f"| {minutes:g} minutes, {len(names)} names | median s | longest s | processor s |\n|---|---|---|---|"
        )
        for name, change in tried.items():
            walls, before = [], cpu_seconds(process)
            for turn in range(1, repeats + 1):
                began = time.perf_counter()
                body = change(turn)
                if isinstance(body, list):
                    actions = {"actions": [{"name": name} for name in body]}
                    client.put("/api/actions", json=actions).raise_for_status()
                else:
                    client.post("/api/settings", json=body).raise_for_status()
                client.get(f"/api/videos/{video}").raise_for_status()
                walls.append(time.perf_counter() - began)
            spent = (cpu_seconds(process) - before) / repeats
            slowest = max(slowest, statistics.median(walls))
            print(f"| {name} | {statistics.median(walls):.2f} | {max(walls):.2f} | {spent:.2f} |")
    return slowest < ANSWER


LABEL, OPEN = 0.1, 1.0
"""Targets: median seconds until an edit is stored and answered, and until a project of 500 videos is there."""


def labels(repeats: int) -> bool:
    """Whether the targets are met: 60 segments of a 10-minute video of 25 pictures a second are drawn and undone."""
    folder = Path(tempfile.mkdtemp())
    project = Project(folder / "project")
    times = np.arange(600 * 25 + 1) / 25
    keys = [project.add_video(f"video {number}", None, None, times) for number in range(500)]
    track = next(iter(project.tracks(keys[0])))
    project.close()
    walls: dict[str, list[float]] = {"draw": [], "undo": [], "redo": [], "open": []}
    with (
        served(None, folder / "project") as (address, _),
        httpx.Client(base_url=address.partition("/?")[0]) as client,
    ):

        def ask(what: str, method: str, path: str, body: object) -> None:
            began = time.perf_counter()
            client.request(method, path, json=body).raise_for_status()
            walls[what].append(time.perf_counter() - began)

        client.get(address).raise_for_status()
        path, drawn = f"/api/videos/{keys[0]}", []
        for number in range(60):
            drawn.append(
                {
                    "start": 240 * number,
                    "stop": 240 * number + 200,
                    "label": NAMES[number % len(NAMES)],
                }
            )
            ask(
                "draw",
                "PUT",
                f"{path}/segments",
                {"track": track, "revision": number, "segments": drawn},
            )
        for what in ("undo", "redo"):
            for _ in range(repeats):
                ask(what, "POST", f"{path}/{what}", {})
        for _ in range(repeats):
            ask("open", "GET", "/api/state", None)
    print("| | median s | longest s |\n|---|---|---|")
    for what, values in walls.items():
        print(f"| {what} | {statistics.median(values):.3f} | {max(values):.3f} |")
    medians = {what: statistics.median(values) for what, values in walls.items()}
    return (
        max(medians[what] for what in ("draw", "undo", "redo")) < LABEL and medians["open"] < OPEN
    )


STORED = 0.3
"""Target: median seconds from a key to the line that says that everything is stored."""


def browser(repeats: int) -> bool:
    """Whether the target is met: a segment among 1500 is split and merged again, in a project of 200 videos."""
    from tests.app.browsing import HOURS, entered, large_project, place, settled
    from tests.browser import started

    folder = Path(tempfile.mkdtemp())
    large_project(folder / "project", folder / "none.mp4")
    walls: dict[str, list[float]] = {"split": [], "undo": []}
    with (
        served(None, folder / "project") as (address, _),
        started() as chromium,
        chromium.page(1400, 900) as page,
    ):
        entered(page, address)
        duration = HOURS * 3600
        page.mouse.click(*place(page, duration / 2 + 2, duration=duration))
        settled(page)
        is_stored = "document.querySelector('#note').textContent === 'All changes are stored.'"
        for _ in range(repeats):
            for name, key in (("split", "s"), ("undo", "Control+z")):
                began = time.perf_counter()
                page.keyboard.press(key)
                while not page.evaluate(is_stored):
                    pass
                walls[name].append(time.perf_counter() - began)
                settled(page)
    print("| 2 hours, 1500 segments, 200 videos | median s | longest s |\n|---|---|---|")
    for name, values in walls.items():
        print(f"| {name} | {statistics.median(values):.3f} | {max(values):.3f} |")
    return max(statistics.median(values) for values in walls.values()) < STORED


async def _user(
    number: int, address: str, content: bytes, until: float, seen: Counter[str], faults: list[str]
) -> None:
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
            is_busy = answer.status_code == 503
            seen["busy" if is_busy else "error"] += 1
            if not is_busy:
                faults.append(f"{method} {path}: {answer.status_code} {answer.text[:100]}")
            else:
                await asyncio.sleep(float(answer.headers["retry-after"]) * rng.uniform(0.5, 1))
            return None

        while await ask("GET", address) is None and time.monotonic() < until:
            pass
        while time.monotonic() < until:
            sent = await ask(
                "POST", "/api/files", params={"name": f"clip{number}.npy"}, content=content
            )
            made = sent and await ask("POST", "/api/videos", json={"files": [sent.json()["file"]]})
            if not made:
                continue
            video = made.json()["video"]
            for turn in range(6):
                names = [
                    f"{name} {rng.integers(1000)}" for name in rng.choice(NAMES, 4, replace=False)
                ]
                await ask(
                    "PUT", "/api/actions", json={"actions": [{"name": name} for name in names]}
                )
                await ask("POST", "/api/settings", json={"adjust": {"switch_penalty": float(turn)}})
                shown = await ask("GET", f"/api/videos/{video}")
                if shown:
                    track = shown.json()["tracks"][0]["id"]
                    drawn = {
                        "segments": [{"start": 5 * turn, "stop": 5 * turn + 4, "label": names[0]}]
                    }
                    await ask(
                        "PUT",
                        f"/api/videos/{video}/segments",
                        json={**drawn, "track": track, "revision": None},
                    )
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

    await asyncio.gather(
        watch(), *(_user(one, address, content, until, seen, faults) for one in range(clients))
    )
    quarters = [
        statistics.fmean(
            size for at, size in sizes if part * seconds / 4 <= at < (part + 1) * seconds / 4
        )
        for part in range(4)
    ]
    print("| clients | seconds | answers | busy | errors | memory by quarters, MB | processor s |")
    print("|---|---|---|---|---|---|---|")
    listed = ", ".join(f"{size:.0f}" for size in quarters)
    spent = cpu_seconds(process)
    print(
        f"| {clients} | {seconds:g} | {seen['200']} | {seen['busy']} | {seen['error']} | {listed} | {spent:.0f} |"
    )
    for fault in faults[:10]:
        print(fault, file=sys.stderr)
    return not seen["error"] and quarters[3] <= GROWTH * quarters[1]


def main() -> int:
    """Run one of the two parts; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("part", choices=("answers", "labels", "browser", "users"))
    parser.add_argument("--run", type=Path)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    given = parser.parse_args()
    if given.part == "answers":
        return int(not answers(given.run, given.minutes, given.repeats))
    if given.part == "labels":
        return int(not labels(given.repeats))
    if given.part == "browser":
        return int(not browser(given.repeats))
    with served(given.run) as (address, process):
        content = features(given.run, 1.0)
        return int(not asyncio.run(_users(address, process, content, given.clients, given.seconds)))


if __name__ == "__main__":
    sys.exit(main())
