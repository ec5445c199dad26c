"""A disk that is full from some step on: the run says so and stops, nothing is charged, the next start goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.oracle import USUAL, complaints, users_files
from tests.crash.world import Shape, copied, make

STEPS = (
    "journal.Journal.write(AttemptStarted) write journal.jsonl",
    "trees.attempts.keep open #.#.lock",
    "journal.Journal.write(Passed) write journal.jsonl",
    "trees.handover.send write object",
    "landing.advance git update-ref",
    "landing.advance git read-tree",
    "journal.Journal.write(Forwarded) write journal.jsonl",
    "journal.Journal.write(AttemptEnded) write journal.jsonl",
    "attempt_record.record open attempt-#.json",
)


@pytest.mark.parametrize("group", range(2))
def test_a_disk_that_fills_up(group: int, tmp_path: Path) -> None:
    template = make(tmp_path / "template", Shape(committed=True))
    for number, step in enumerate(STEPS[group::2]):
        world = copied(template, tmp_path / str(number))
        before = users_files(world)
        full = world.start(world.plan(step=step, how="full"))
        assert step in [name for _, _, name in world.steps], step
        assert full.status in (1, 2, 3, 4), (step, full.status, full.output)
        assert "o space left" in full.output, (step, full.output)
        ran = world.start()
        wrong = complaints(world, before, USUAL)
        assert not wrong, "\n".join([step, *wrong, full.output, ran.output])
