"""Runs the benchmarks and prints Markdown."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from . import (
    additions,
    collection,
    first_workspace,
    gate_checkout,
    journal,
    machine,
    makespan,
    ordinary_start,
    per_task,
    sandbox,
    throughput,
)

BENCHMARKS = {
    "per-task": per_task,
    "additions": additions,
    "gate-checkout": gate_checkout,
    "first-workspace": first_workspace,
    "collection": collection,
    "ordinary-start": ordinary_start,
    "journal": journal,
    "sandbox": sandbox,
    "makespan": makespan,
    "throughput": throughput,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=BENCHMARKS, action="append", help="run this one (may be repeated)")
    parser.add_argument("--short", action="store_true", help="smaller sizes and fewer rounds")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="agenttasks-bench-") as name:
        folder = Path(name).resolve()
        machine.own_home(folder / "home")
        print(machine.describe(folder), flush=True)
        for key in chosen.only or BENCHMARKS:
            benchmark = BENCHMARKS[key]
            print(f"\n## {benchmark.TITLE}\n\n{benchmark.EXPLANATION}\n", flush=True)
            began = time.monotonic()
            print(benchmark.measure(folder, short=chosen.short))
            print(f"\n({key}: {time.monotonic() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
