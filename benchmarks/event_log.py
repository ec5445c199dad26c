"""What a run did when, from its event log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True)
class Record:
    """`spans`: task → when its first attempt began and its last one ended. Seconds since the run began."""

    seconds: float
    spans: dict[str, tuple[float, float]]
    gates: int

    @property
    def busy(self) -> float:
        """Seconds of attempts, all together."""
        return sum(end - begin for begin, end in self.spans.values())


def read(log: Path) -> Record:
    """The last run of an event log."""
    began = ended = 0.0
    spans: dict[str, tuple[float, float]] = {}
    gates = 0
    for line in log.read_text().splitlines():
        moment, event, task = line.split(" ")[:3]
        now = datetime.fromisoformat(moment).timestamp()
        if event == "run-started":
            began, spans, gates = now, {}, 0
        elif event == "attempt-started":
            spans.setdefault(task, (now - began, now - began))
        elif event == "attempt-ended":
            spans[task] = (spans[task][0], now - began)
        elif event == "gate-ended":
            gates += 1
        elif event == "run-ended":
            ended = now
    return Record(ended - began, spans, gates)
