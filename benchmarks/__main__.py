"""Runs the benchmarks and prints Markdown."""

from __future__ import annotations

import argparse
import os
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
_FOREIGN = ("GIT_", "XDG_", "AGENTTASKS_", "PYTEST_", "PYTHONDONTWRITEBYTECODE", "CI")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=BENCHMARKS, action="append", help="run this one (may be repeated)")
    parser.add_argument("--short", action="store_true", help="smaller sizes and fewer rounds")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="agenttasks-bench-") as name:
        folder = Path(name).resolve()
        _own_home(folder / "home")
        print(machine.describe(folder), flush=True)
        for key in chosen.only or BENCHMARKS:
            benchmark = BENCHMARKS[key]
            print(f"\n## {benchmark.TITLE}\n\n{benchmark.EXPLANATION}\n", flush=True)
            began = time.monotonic()
            print(benchmark.measure(folder, short=chosen.short))
            print(f"\n({key}: {time.monotonic() - began:.0f} s)", flush=True)


def _own_home(home: Path) -> None:
    """Neither the user's git settings nor his workspaces take part."""
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Bench\n\temail = bench@example.org\n[gc]\n\tauto = 0\n"
    )
    for variable in [name for name in os.environ if name.startswith(_FOREIGN)]:
        del os.environ[variable]
    os.environ["HOME"] = str(home)
    # Runs of pytest with workers clean up after the user's earlier ones when they end.
    os.environ["PYTEST_DEBUG_TEMPROOT"] = str(home)


if __name__ == "__main__":
    main()
