"""Limits that every program of a run gets, and its children inherit; none is raised above what the user has."""

from __future__ import annotations

from collections.abc import Mapping

from . import cgroups

GIB = 1024 * 1024 * 1024

LIMITS: Mapping[str, int] = {
    # A dump of a program that an agent crashes again and again fills the disk, and may hold secrets.
    "RLIMIT_CORE": 0,
    # A runaway `yes > log` ends here, not at a full disk; packs, images and debug builds stay below. What is to land
    # is limited to far less (`trees/survey.py`).
    "RLIMIT_FSIZE": 4 * GIB,
    # The system's table of open files is everybody's; a big test suite holds some thousand.
    "RLIMIT_NOFILE": 65_536,
    # It counts all threads of the user, also those of the desktop and of other workers: enough for them, and well
    # below the number of processes that a kernel can have (32,768 on small machines). Does not hold for root.
    "RLIMIT_NPROC": 16_384,
}
"""Name in `resource` → most that both the soft and the hard limit may be."""

LEAST_FREE = 100 * 1024 * 1024
"""Bytes free on the disk of the workspaces; with fewer a program is ended: the runner needs some to keep the attempt."""

OOM_SCORE = 500
"""Added to a program's score (-1000 to 1000): when memory is short, the kernel ends it before the runner."""


def describe(root: bool, groups: cgroups.Cgroups) -> list[str]:
    """The limits of each program, and what is not limited, a line each."""
    processes = f"{LIMITS['RLIMIT_NPROC']:,} processes of the user" + (
        " (which does not hold for root)" if root else ""
    )
    return [
        f"limits of a program: a file of {LIMITS['RLIMIT_FSIZE'] // GIB} GiB, {LIMITS['RLIMIT_NOFILE']:,} open files, "
        f"{processes}, no core dumps",
        f"  each is ended when less than {LEAST_FREE // 1024 // 1024} MB of disk are free",
        *(f"  {line}" for line in cgroups.describe(groups)),
    ]
