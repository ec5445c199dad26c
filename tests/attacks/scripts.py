"""Text for the scripts of attacks: what most of them begin with, and lines that several have."""

from __future__ import annotations

from textwrap import dedent

_PRELUDE = """\
import contextlib, os, py_compile, shutil, subprocess, sys, time
from pathlib import Path

victim, home = Path(os.environ["ATTACK_VICTIM"]), Path(os.environ["ATTACK_HOME"])

blocked = contextlib.suppress(OSError, StopIteration, subprocess.CalledProcessError)  # by a sandbox

def git(*args, **options):
    return subprocess.run(["git", *args], check=True, capture_output=True, text=True, **options).stdout.strip()

def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)

"""

BREAK_PRODUCT = 'write("src/product.py", "def answer():\\n    return 41\\n")\n'
"""Now the gate is red wherever it sees this file as it is."""


def script(body: str, *, broken: bool = False) -> str:
    """A script that can use `write`, `git`, `victim`, `home` and `blocked`; `broken`: the product is broken first."""
    return _PRELUDE + BREAK_PRODUCT * broken + dedent(body)
