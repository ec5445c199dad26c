"""The user's `notify` command: it is told of the events that a person waits for, one at a time, beside the run.

A thread hands the events over, and a supervisor of its own ends whatever the command starts, after a timeout too: the run
never waits for it but at its end, and not for long. A command that fails is one note.
"""

from __future__ import annotations

import json
import queue
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .processes.supervisor import StartError, Supervisor, SupervisorLost, Unkillable
from .report.printable import one_line, tail_of_file
from .settings.durations import format_duration

VERSION = 1
"""Of the events' keys; it grows when one changes its meaning or goes."""
TOLD = frozenset({"run-started", "task-retried", "task-ended", "pause", "resumed", "checkpoint", "run-ended"})
"""The events that the command is given; the hook is given all."""
TIMEOUT = 30.0
"""Seconds that one event may take."""
MOST_WAITING = 200
"""Events that wait for the command; what comes while so many do is not told."""
FAREWELL = 10.0
"""Seconds that the run waits at its end for what is still to be told."""
_OUTPUT = 1 << 20


class Notifier:
    """Tells `line`, run by /bin/sh in `cwd` with `variables`, of each event as a line of JSON on its standard input."""

    def __init__(self, line: str, cwd: Path, variables: Mapping[str, str]) -> None:
        self._line = line
        self._cwd = cwd
        self._variables = dict(variables)
        self._waiting: queue.Queue[str | None] = queue.Queue(MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._deadline: float | None = None
        self._given = 0
        self._told = 0
        self._failures: list[str] = []

    def tell(self, event: Mapping[str, Any]) -> None:
        """Have the command told of it, soon; returns at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="agenttasks-notify", daemon=True)
            self._thread.start()
        self._given += 1
        try:
            self._waiting.put_nowait(json.dumps(event))
        except queue.Full:
            self._failures.append(f"it is slower than the events: {MOST_WAITING} were waiting for it")

    def close(self) -> str | None:
        """Wait for what is still to be told, for FAREWELL seconds at most. A line about what could not be, or None."""
        if self._thread is None:
            return None
        self._deadline = time.monotonic() + FAREWELL
        with suppress(queue.Full):  # the thread looks at the deadline
            self._waiting.put(None, timeout=FAREWELL)
        self._thread.join(FAREWELL + 5)
        untold = self._given - self._told
        if not untold:
            return None
        why = self._failures[0] if self._failures else "the run has ended before it was told"
        events = f"{untold} of {self._given} events" if self._given > 1 else "the event"
        return one_line(f"notify: `{self._line}` was not told of {events}: {why}", 500)

    def _over(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def _work(self) -> None:
        with (
            tempfile.TemporaryDirectory(prefix="agenttasks-notify-") as folder,
            Supervisor() as supervisor,
        ):
            while (event := self._waiting.get()) is not None and not self._over():
                if (why := self._hand_over(supervisor, Path(folder), event)) is None:
                    self._told += 1
                else:
                    self._failures.append(why)

    def _hand_over(self, supervisor: Supervisor, folder: Path, event: str) -> str | None:
        """Run the command on one event; why that failed, None: it did not."""
        given, said = folder / "event.json", folder / "output"
        try:
            given.write_text(f"{event}\n", encoding="ascii")
            finished = supervisor.run(
                ["/bin/sh", "-c", self._line],
                cwd=self._cwd,
                env=self._variables,
                stdin=given,
                stdout=said,
                timeout=TIMEOUT,
                max_output=_OUTPUT,
                poll=lambda: "the end of the run" if self._over() else None,
            )
            if finished.ok:
                return None
            how = f"exit status {finished.exit_code}"
            if finished.stopped == "timeout":
                how = f"ended after {format_duration(TIMEOUT)}"
            elif finished.stopped is not None:
                how = f"ended: {finished.stopped}"
            elif finished.exit_code is None:
                how = f"killed by signal {finished.signal}"
            output = tail_of_file(said, 400).strip()
            return f"{how}: {output}" if output else how
        except (StartError, SupervisorLost, Unkillable, OSError) as error:
            return str(error)
