"""Plays the queue by the runner and by a loop, judges both, and prints Markdown; fails where the runner broke a promise."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.machine import describe, own_home

from . import project
from .faults import days, events
from .ledger import VARIABLE, Ledger
from .loop_play import LoopPlay
from .oracle import Findings, judge
from .played import Played
from .processes import GONE, Memory, marked
from .repository import make
from .runner_play import RunnerPlay
from .table import beside, figures
from .user import User

SHORT = 24
"""Tasks of the short form."""
SHORT_SEED = 63
"""One with which so short a queue meets daemons, contended ports, and kills in the midst of sessions and landings."""
FULL = 1000
FULL_SEED = 13
RETRY_DELAY = 0.5
TIMEOUT = 8.0
STALL = 4.0
FAREWELL = 2.0
"""Seconds for helper processes to be gone after a run's end."""
NO_OTHER_PLUGINS = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument(
        "--short", action="store_true", help=f"{SHORT} tasks instead of {FULL:,}: two minutes"
    )
    parser.add_argument("--tasks", type=int, help="so many tasks")
    parser.add_argument("--workers", type=int, help="agents at a time (4; short: 3)")
    parser.add_argument("--seed", type=int, help=f"of the fault model ({FULL_SEED}; short: {SHORT_SEED})")
    parser.add_argument(
        "--minutes", type=float, default=120.0, help="each play is stopped after so many (120)"
    )
    parser.add_argument("--no-loop", action="store_true", help="the runner alone")
    parser.add_argument("--keep", metavar="DIR", help="play in this new folder, and leave it there")
    chosen = parser.parse_args()
    tasks = chosen.tasks or (SHORT if chosen.short else FULL)
    workers = chosen.workers or (3 if chosen.short else 4)
    seed = chosen.seed if chosen.seed is not None else SHORT_SEED if chosen.short else FULL_SEED
    with ExitStack() as stack:
        if chosen.keep:
            folder = Path(chosen.keep).resolve()
            folder.mkdir(parents=True)
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-"))).resolve()
        own_home(folder / "home")
        print(describe(folder), flush=True)
        print(f"\nSeed {seed}, {tasks:,} tasks, {days(tasks)} days, {workers} workers.\n", flush=True)
        plays = [_runner(folder, seed, tasks, workers, chosen.minutes)]
        if not chosen.no_loop:
            plays.append(_loop(folder, seed, tasks, chosen.minutes))
        judged = [(played, judge(played)) for played in plays]
        print(beside([(played.title, figures(played, findings)) for played, findings in judged]), flush=True)
        return _verdict(*judged[0])


def _verdict(played: Played, findings: Findings) -> int:
    """What the runner's play was like, in words; 1 where a promise was broken, else 0."""
    disturbed = ", ".join(f"{number} × {what}" for what, number in sorted(played.disturbed.items()))
    steps = ", ".join(f"{step} {number}" for step, number in sorted(played.steps.items()))
    print(f"\nThe runner went through: {disturbed or 'nothing'}. Killed after the record: {steps or 'none'}.")
    for trouble in played.trouble:
        print(f"note: {trouble}")
    broken = dict(findings.broken)
    if played.ended:
        broken["the queue did not come to its end"] = [played.ended]
    for promise, shown in broken.items():
        print(f"\nBROKEN: {promise}: {len(shown)}")
        for line in shown[:20]:
            print(f"  {line}")
    print("\nEvery promise was kept." if not broken else "")
    return 1 if broken else 0


def _played(folder: Path, title: str, seed: int, tasks: int, extra: dict[str, str]) -> Played:
    name = title.replace(" ", "-")
    ledger = folder / f"{name}-ledger"
    ledger.mkdir()
    (ledger / "model.json").write_text(json.dumps({"seed": seed, "tasks": tasks}))
    checkout = folder / name
    first = make(checkout, {**project.files(seed, tasks), **extra})
    return Played(title, checkout, first, project.tasks(seed, tasks), Ledger(ledger), User(checkout))


def _agent() -> list[str]:
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("agent.py"))]


def _runner(folder: Path, seed: int, tasks: int, workers: int, minutes: float) -> Played:
    settings = {
        "agent": {"command": _agent(), "timeout": TIMEOUT, "stall_timeout": STALL},
        "gates": [{"name": "tests", "run": "sh check.sh", "timeout": 60}],
        "retry_delay": RETRY_DELAY,
        "sandbox": "none",
    }
    played = _played(folder, "the runner", seed, tasks, {"agenttasks.yaml": json.dumps(settings, indent=1)})
    played.stores = [played.checkout / ".git/agenttasks/shadow.git"]
    played.states = [folder / "home/.local/state/agenttasks"]
    play = RunnerPlay(
        played, events(seed, tasks), workers, folder / "runner.out", {**os.environ, **NO_OTHER_PLUGINS}
    )
    began = time.monotonic()
    with Memory() as memory:
        play.play(memory, began + 60 * minutes)
    played.seconds = time.monotonic() - began
    played.memory_peak = memory.peak
    played.memory_growth, played.longest_start = memory.growth
    _end_of(played)
    return played


def _loop(folder: Path, seed: int, tasks: int, minutes: float) -> Played:
    played = _played(folder, "a shell loop", seed, tasks, {})
    limits = {"TIMEOUT": str(TIMEOUT), "RETRY_DELAY": str(RETRY_DELAY)}
    play = LoopPlay(
        played, events(seed, tasks), " ".join(_agent()), {**os.environ, **limits}, folder / "loop.out"
    )
    began = time.monotonic()
    play.play(began + 60 * minutes)
    played.seconds = time.monotonic() - began
    _end_of(played)
    return played


def _end_of(played: Played) -> None:
    """The user finishes his own work; what is still alive is noted, and ended."""
    deadline = time.monotonic() + FAREWELL
    while (alive := marked(VARIABLE, played.ledger.folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process in alive:
        try:
            played.alive.append(f"{process.pid}: {' '.join(process.cmdline())[:100]}")
            process.kill()
        except GONE:
            continue
    played.user.mend()
    played.user.commit_edits()


if __name__ == "__main__":
    sys.exit(main())
