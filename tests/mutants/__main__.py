"""`make mutants`: make each mutant, run the tests that guard its promise, and fail if none of them does.

Arguments choose: a promise (`I7`), or a part of what a mutant is said to break.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .catalogue import MUTANTS, Mutant

TOP = Path(__file__).parents[2]
WORKERS = 2
LONGEST = 300.0
"""Seconds that the tests of one mutant may take; a mutant that hangs has been noticed."""


def main() -> int:
    words = sys.argv[1:]
    chosen = [m for m in MUTANTS if not words or any(word == m.promise or word in m.what for word in words)]
    if not chosen:
        print(f"no mutant of {', '.join(words)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(WORKERS) as pool:
        numbered = ((Path(folder, str(number)), mutant) for number, mutant in enumerate(chosen))
        answers = list(pool.map(lambda pair: _judged(*pair), numbered))
    survivors = [answer for answer in answers if answer]
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutants were noticed")
    return 1 if survivors else 0


def _judged(folder: Path, mutant: Mutant) -> str:
    """What is wrong with this mutant, "" when the suite has noticed it."""
    flaw = _make(folder, mutant) or _survives(folder, mutant)
    print(f"{mutant.promise:4} {flaw or 'noticed':12} {mutant.what}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    return flaw


def _make(folder: Path, mutant: Mutant) -> str:
    for name in ("pytest_agenttasks", "tests"):
        shutil.copytree(TOP / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "conftest.py", "README.md"):
        shutil.copy(TOP / name, folder / name)
    file = folder / "pytest_agenttasks" / mutant.file
    text = file.read_text()
    if text.count(mutant.old) != 1:
        return f"STALE: {mutant.file} has the text {text.count(mutant.old)} times"
    file.write_text(text.replace(mutant.old, mutant.new))
    return ""


def _survives(folder: Path, mutant: Mutant) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutant.tests]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LONGEST, check=False
        )
    except subprocess.TimeoutExpired:
        return ""
    if done.returncode == 1 and " failed" in done.stdout:
        return ""
    print(done.stdout[-2000:], done.stderr[-2000:], sep="\n")
    return "SURVIVED" if done.returncode == 0 else f"BROKEN (pytest ended with {done.returncode})"


if __name__ == "__main__":
    sys.exit(main())
