"""A run that is killed at each of its named steps, and started again: nothing is lost, nothing lands twice.

`make crashes` does so at every step that there is; here each name that belongs to the protocol gets its death once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.play import Death, Step, die_again_and_again, harshest, recover, steps_of
from tests.crash.world import Shape, World, copied, make

PROTOCOL = re.compile(
    r"^(journal|landing|user_checkout|bookkeeping|queue|attempt_record\.record|session\.|claims|trees\.attempts|trees\.handover|"
    r"trees\.base_rules|trees\.snapshot|trees\.workspace\._switch)"
)
DULL = re.compile(
    r" mkdir | open (journal|index|object|.*prompt)| unlink index\.agenttasks|(RunStarted|AttemptStarted)\) flush"
)
"""Steps of which no more is left than of the one before or after them."""
GROUPS = 4
Templates = Callable[[Shape], World]


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    """A world of each shape as it is before its first start, made once."""
    made: dict[Shape, World] = {}

    def template(shape: Shape) -> World:
        if shape not in made:
            made[shape] = make(tmp_path_factory.mktemp("template") / "world", shape)
        return made[shape]

    return template


def of_the_protocol(world: World) -> tuple[list[Step], list[Step]]:
    """The first of each name in an undisturbed run: those that commit the queue, and those of the tasks."""
    steps = list(steps_of(world))
    begin = next(number for number, step in enumerate(steps) if "AttemptStarted" in step.name)
    return _named(steps[:begin]), _named(steps[begin:])


def _named(steps: list[Step]) -> list[Step]:
    chosen = (step.name for step in steps if PROTOCOL.match(step.name) and not DULL.search(step.name))
    return [Step(name) for name in dict.fromkeys(chosen)]


def test_a_death_at_each_step_of_committing_the_queue(templates: Templates, tmp_path: Path) -> None:
    template = templates(Shape())
    steps, _ = of_the_protocol(copied(template, tmp_path / "first"))
    assert {"landing.advance git update-ref", "landing._lock_index link index.lock"} <= {
        s.name for s in steps
    }
    missed = die_again_and_again(template, tmp_path, [harshest(step) for step in steps])
    assert not missed, missed


@pytest.mark.parametrize("group", range(GROUPS))
def test_a_death_at_each_named_step_of_a_task(group: int, templates: Templates, tmp_path: Path) -> None:
    template = templates(Shape(committed=True))
    _, steps = of_the_protocol(copied(template, tmp_path / "first"))
    assert len(steps) > 30
    missed = die_again_and_again(template, tmp_path, [harshest(step) for step in steps[group::GROUPS]])
    assert not missed, missed


def test_a_queue_that_git_does_not_track(templates: Templates, tmp_path: Path) -> None:
    template = templates(Shape(tracked=False, memory=False))
    _, steps = of_the_protocol(copied(template, tmp_path / "first"))
    own = [
        s
        for s in steps
        if re.match(r"queue|bookkeeping|landing\.advance git|journal.*(Landed|Failed)", s.name)
    ]
    assert {"queue.move_untracked link #-lands.md", "queue.move_untracked unlink #-lands.md"} <= {
        s.name for s in own
    }
    missed = die_again_and_again(template, tmp_path, [Death(step) for step in own])
    assert not missed, missed


@pytest.mark.parametrize(
    "step",
    [
        Step("journal.Journal.write(SessionBegins) write journal.jsonl", process="gw0"),
        Step("trees.attempts.keep unlink #.#.lock", process="gw0"),
        Step("landing.advance git read-tree", process="gw0"),
        Step("journal.Journal.write(AttemptEnded) write journal.jsonl", process="gw0"),
        Step("report.eventlog.EventLog._append write orchestration.log", 5),
        Step("report.eventlog.EventLog._append write orchestration.log", 6),
    ],
    ids=str,
)
def test_several_agents(step: Step, templates: Templates, tmp_path: Path) -> None:
    world = copied(templates(Shape(workers=2)), tmp_path / "world")
    found = recover(world, harshest(step))
    assert not found.wrong, "\n".join([*found.wrong, *found.said, found.output])
