"""The queue played by a hand-written loop, with the same agents and disturbances."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from .faults import KILLS, OUTAGES, Disturbance, Event
from .ledger import VARIABLE, start_of
from .played import Played, does

LOOP = Path(__file__).with_name("loop.sh")
LOOK = 0.02
MOST_STARTS = 80
NOTICED_AFTER = 6
"""Sessions after which the user sees that he has broken the branch: nothing stops for him."""


class LoopPlay:
    def __init__(
        self, played: Played, events: Sequence[Event], command: str, environment: dict[str, str], output: Path
    ) -> None:
        self.played = played
        self.coming = [event for event in events if event.what not in OUTAGES]
        self.command = command
        self.environment = {**environment, VARIABLE: str(played.ledger.folder)}
        self.output = output

    def play(self, deadline: float) -> None:
        """Until nothing is pending, or `deadline` (of the monotonic clock)."""
        for _ in range(MOST_STARTS):
            self._run(deadline)
            if time.monotonic() > deadline:
                self.played.ended = "out of time"
                return
            if not any((self.played.checkout / "tasks/pending").glob("*.md")):
                return
        self.played.ended = "stuck"

    def _run(self, deadline: float) -> None:
        self.played.starts += 1
        with self.output.open("ab") as output:
            process = subprocess.Popen(
                ["sh", str(LOOP), self.command],
                cwd=self.played.checkout, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        try:
            while process.poll() is None:
                self._look(process)
                if time.monotonic() > deadline:
                    return
                time.sleep(LOOK)
        finally:
            process.kill()
            process.wait()

    def _look(self, process: subprocess.Popen[bytes]) -> None:
        begun = self.played.ledger.begun()
        user = self.played.user
        if user.red_since is not None and begun > user.red_since + NOTICED_AFTER:
            user.mend()
        while self.coming and self.coming[0].at <= begun:
            event = self.coming.pop(0)
            match event.what:
                case Disturbance.KILL_WORKER:  # it has none: its agent
                    last = self.played.ledger.sessions()[-1]
                    if start_of(last.pid) == last.started:
                        with suppress(ProcessLookupError):
                            os.kill(last.pid, signal.SIGKILL)
                case what if what in KILLS:
                    process.kill()
                case _:
                    does(self.played, event)
                    continue
            self.played.disturbed[event.what] += 1
