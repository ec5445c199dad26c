"""A second kill, while the next start recovers from the first."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.crash.play import Death, Step, die, die_again_and_again, harshest
from tests.crash.world import Shape, copied, make

RECOVERY = re.compile(
    r"^(journal|landing|user_checkout|bookkeeping|queue|attempt_record\.record|session\.|retrieval|left_by_git|trees\.attempts|"
    r"trees\.snapshot|run\.open_run unlink)"
)
DULL = re.compile(r" mkdir | open (journal|index)")

FIRST = {
    "half of the files moved": Death(Step("landing.advance git read-tree"), "within", 60),
    "the branch locked": Death(Step("landing.advance git update-ref"), "within", 60),
    "landed, not written down": Death(Step("journal.Journal.write(Landed) write journal.jsonl"), "within"),
    "the agent at work": Death(Step("journal.Journal.write(ProgramStarted) write journal.jsonl"), "within"),
}


@pytest.mark.parametrize("first", FIRST)
def test_a_second_kill_in_the_recovery_from_the_first(first: str, tmp_path: Path) -> None:
    shape = Shape(committed=True, tracked=first != "landed, not written down")
    template = make(tmp_path / "template", shape)
    world = copied(template, tmp_path / "first")
    assert die(world, FIRST[first])
    world.start(world.plan())
    steps = [step for _, _, step in world.steps]
    until = next(n for n, step in enumerate(steps) if "RunStarted" in step or "AttemptStarted" in step)
    chosen = [name for name in steps[:until] if RECOVERY.match(name) and not DULL.search(name)]
    deaths = [harshest(Step(name)) for name in dict.fromkeys(chosen)]
    assert deaths
    missed = die_again_and_again(template, tmp_path, deaths, FIRST[first])
    assert not missed, missed
