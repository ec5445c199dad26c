"""Room on the disk, where workspaces and attempts are kept: nothing is begun without it.

A full disk is the same for every worker and every run: each looks for itself, and nothing has to be announced.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from .agents.contract import Progress
from .outcome import Ended, Kind, Outcome, SetupError
from .processes.lifeline import TICK
from .run import Run
from .trees.places import state_folder
from .trees.repository import Repository

LOW_DISK = 200 * 1024 * 1024
"""Bytes that must be free there."""


def refuse_full_disk(repository: Repository) -> None:
    """Raises SetupError before a run that would not have enough."""
    if (short := shortage(repository)) is not None:
        raise SetupError(f"{short}; make room before a run")


def shortage(repository: Repository) -> str | None:
    """Where there is too little room, and how much; None where there is enough."""
    for folder in (repository.common_dir, state_folder(repository)):
        free = shutil.disk_usage(_existing(folder)).free
        if free < LOW_DISK:
            return f"{folder}: only {free // 1024 // 1024} MB free"
    return None


def wait(run: Run, task: str) -> float:
    """Return when there is room, with the seconds that took. Raises Ended (DISK) when `wait` or `until` allows no more.

    Writes nothing: that might be what fails.
    """
    began = time.monotonic()
    limit = run.settings.wait
    while (short := shortage(run.repository)) is not None:
        waited = time.monotonic() - began
        late = run.until is not None and time.time() > run.until
        if late or (limit is not None and waited >= limit):
            raise Ended(Outcome(Kind.DISK, short, advice="free some space, then start again"))
        run.progress(task, Progress(step=f"waiting for room: {short}"))
        run.supervisor.tick()
        time.sleep(TICK)
    return time.monotonic() - began


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.is_dir())
