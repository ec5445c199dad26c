"""The queue played by the runner: started again after each kill, as a supervisor of services would."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from .faults import KILLS, OUTAGES, WROTE, Disturbance, Event
from .ledger import VARIABLE
from .played import Played, does, finished
from .processes import GONE, Memory, below

LOOK = 0.003
"""Seconds between two looks at the journal: a kill comes that soon after the record it waits for."""
MOST_STARTS = 80
OWN_PLUGINS = ("-p", "agenttasks", "-p", "timeout", "-p", "xdist")
IDLE = 4
"""Starts in a row without a task that is over, after which nothing more is expected."""


class RunnerPlay:
    def __init__(
        self, played: Played, events: Sequence[Event], workers: int, output: Path, environment: dict[str, str]
    ) -> None:
        self.played = played
        self.coming = [event for event in events if event.what not in OUTAGES]
        self.armed: list[Event] = []
        self.workers = workers
        self.output = output
        self.environment = {**environment, VARIABLE: str(played.ledger.folder)}
        self.journal = played.checkout / ".git/agenttasks/journal.jsonl"
        self.tails = {self.journal: 0, played.ledger.folder / "writes.jsonl": 0}
        self.sessions = 0

    def play(self, memory: Memory, deadline: float) -> None:
        """Until nothing is left to be done, or `deadline` (of the monotonic clock)."""
        idle = 0
        for _ in range(MOST_STARTS):
            over = self._over()
            status = self._run(memory, deadline)
            if time.monotonic() > deadline:
                self.played.ended = "out of time"
                return
            if status in (0, 1) and finished(self.played):
                return
            idle = 0 if self._over() > over or status < 0 else idle + 1
            if idle == IDLE:
                break
            if status in (2, 4):
                self.played.user.mend()
                self.played.user.commit_edits()
            elif status not in (0, 1, -signal.SIGKILL):
                self.played.trouble.append(f"ended with status {status}: {self._last_words()}")
        self.played.ended = f"stuck: {self._last_words()}"

    def _over(self) -> int:
        return sum(
            1 for folder in ("done", "failed") for _ in (self.played.checkout / "tasks" / folder).glob("*.md")
        )

    def _run(self, memory: Memory, deadline: float) -> int:
        """One run of the queue; how it ended, negative for the signal that it died of."""
        self.played.user.commit_edits()  # a start with uncommitted changes would be refused
        self.played.starts += 1
        with self.output.open("ab") as output:
            began = output.tell()
            process = subprocess.Popen(
                [sys.executable, "-m", "pytest", *OWN_PLUGINS, "--agent-tasks", "tasks/pending", "-n", str(self.workers), "-q",
                 "-p", "no:cacheprovider"],
                cwd=self.played.checkout, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        memory.watch(process.pid)
        try:
            while process.poll() is None:
                self._look(process.pid)
                if time.monotonic() > deadline:
                    process.terminate()  # not SIGINT: whoever is started in the background has that ignored
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(timeout=60)
                    break
                time.sleep(LOOK)
        finally:
            memory.watch(None)
            process.kill()
        status = process.wait()
        if status == 4:
            self.played.trouble.append(f"a start was refused: {self._last_words(began)}")
        return status

    def _look(self, controller: int) -> None:
        journal, writes = map(self._added, self.tails)
        if any(record.get("record") == "program-started" for record in journal):
            self.sessions = self.played.ledger.begun()
        while self.coming and self.coming[0].at <= self.sessions:
            event = self.coming.pop(0)
            if event.what in KILLS:
                self.armed.append(event)
            else:
                does(self.played, event)
        for record in (*journal, *({**line, "record": WROTE} for line in writes)):
            hit = next((event for event in self.armed if event.step == record.get("record")), None)
            if hit is not None and self._kill(hit, record, controller):
                self.armed.remove(hit)
                self.played.disturbed[hit.what] += 1
                self.played.steps[hit.step] += 1
                return

    def _kill(self, event: Event, record: dict[str, Any], controller: int) -> bool:
        """SIGKILL for whose record this is, or for more; False where that is none of this run's workers."""
        workers = {process.pid for process in below(controller, depth=1)[1:]}
        match event.what:
            case Disturbance.KILL_WORKER if concerned := workers & self._concerned(record):
                doomed = list(concerned)
            case Disturbance.KILL_CONTROLLER:
                doomed = [controller]
            case Disturbance.KILL_ALL:
                doomed = [process.pid for process in below(controller)]
                random.Random(event.salt).shuffle(doomed)
            case _:
                return False
        for pid in doomed:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return True

    def _concerned(self, record: dict[str, Any]) -> set[int]:
        """The process that wrote a journal's record, or those above the session that wrote a file."""
        if "owner" in record:
            return {int(record["owner"].partition("-")[0] or 0)}
        with suppress(*GONE, IndexError, KeyError):
            session = self.played.ledger.sessions()[record["index"] - 1]
            return {process.pid for process in psutil.Process(session.pid).parents()}
        return set()

    def _added(self, file: Path) -> list[dict[str, Any]]:
        """The records that were added since the last look."""
        found = []
        with suppress(FileNotFoundError):
            if file.stat().st_size > self.tails[file]:
                with file.open("rb") as stream:
                    stream.seek(self.tails[file])
                    data = stream.read()
                whole = data[: data.rfind(b"\n") + 1]
                self.tails[file] += len(whole)
                for line in whole.splitlines():
                    with suppress(ValueError):  # what a kill has torn
                        found.append(json.loads(line))
        return [record for record in found if isinstance(record, dict)]

    def _last_words(self, since: int = 0) -> str:
        lines = self.output.read_bytes()[since:].decode(errors="replace").splitlines()
        errors = [line for line in lines if line.startswith("ERROR")]
        return (errors or [line for line in lines if line.strip()] or ["nothing"])[-1][:300]
