"""Deleting what an agent may have made anything of: folders without permissions, deeper than any path, mounted elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path


def remove(path: Path) -> None:
    """Delete a file or a folder of ours, whatever an agent made of it; absent is fine.

    What even that does not delete is moved aside, for a later run must not stumble over it.
    """
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISDIR(found.st_mode):
        path.unlink()
        return
    try:
        shutil.rmtree(path)
    except (OSError, RecursionError):
        # Folders without permissions, or deeper than any path may be long: the tools walk by handle.
        subprocess.run(["chmod", "-R", "u+rwX", "--", path], capture_output=True, check=False)
        subprocess.run(["rm", "-rf", "--", path], capture_output=True, check=False)
    if os.path.lexists(path):
        number = 1
        while os.path.lexists(trash := path.with_name(f"trash-{number}")):
            number += 1
        path.rename(trash)


def mounts_below(folder: Path, table: Path = Path("/proc/self/mountinfo")) -> list[str]:
    """The mount points below a folder (Linux; elsewhere none is known)."""
    if not table.exists():
        return []
    inside = os.fsencode(folder.resolve()) + b"/"
    points = (line.split(b" ")[4] for line in table.read_bytes().splitlines())
    plain = (re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), point) for point in points)
    return [os.fsdecode(point) for point in plain if point.startswith(inside)]
