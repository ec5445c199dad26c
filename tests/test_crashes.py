"""A run that is killed at each of its named steps, and started again: nothing is lost, nothing lands twice.

`make crashes` does so at every step that there is; here each name that belongs to the protocol gets its death once.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from tests.crash.effects import How
from tests.crash.oracle import USUAL, complaints, users_files
from tests.crash.play import Death, Step, die_again_and_again, harshest, recover, steps_of
from tests.crash.world import Shape, World, copied, make, runner
from tests.living import until

PROTOCOL = re.compile(
    r"^(journal|landing|user_checkout|bookkeeping|queue|attempt_record\.record|session\.|claims|trees\.attempts|trees\.handover|"
    r"trees\.base_rules|trees\.snapshot|trees\.workspace\._switch|run\.open_run (git|rename shadow))"
)
DULL = re.compile(
    r" mkdir | open (journal|index|object|.*prompt)| unlink index\.agenttasks|(RunStarted|AttemptStarted)\) flush"
)
"""Steps of which no more is left than of the one before or after them."""
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
    begin = next(number for number, step in enumerate(steps) if step.name.startswith("claims."))
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


def die_at_steps_of_a_task(part: str, template: World, folder: Path) -> None:
    _, steps = of_the_protocol(copied(template, folder / "first"))
    names = [step.name for step in steps]
    bounds = [next(n for n, name in enumerate(names) if name.startswith(begin)) for begin in PARTS.values()]
    begin = bounds[list(PARTS).index(part)]
    assert bounds == sorted(bounds), bounds
    end = next((bound for bound in bounds if bound > begin), len(steps))
    assert end - begin > 3
    missed = die_again_and_again(template, folder, [harshest(step) for step in steps[begin:end]])
    assert not missed, missed


PARTS = {
    "begins": "claims.claimed",
    "is stored": "trees.attempts.keep",
    "lands": "journal.Journal.write(Passed)",
    "is written down": "journal.Journal.write(Landed)",
}
"""The parts of the first task's attempt, each with its first step; the last has what other tasks do besides."""


def test_a_death_at_each_step_until_a_session_is_over(templates: Templates, tmp_path: Path) -> None:
    die_at_steps_of_a_task("begins", templates(Shape(committed=True)), tmp_path)


def test_a_death_at_each_step_of_storing_it(templates: Templates, tmp_path: Path) -> None:
    die_at_steps_of_a_task("is stored", templates(Shape(committed=True)), tmp_path)


def test_a_death_at_each_step_of_a_landing(templates: Templates, tmp_path: Path) -> None:
    die_at_steps_of_a_task("lands", templates(Shape(committed=True)), tmp_path)


def test_a_death_at_each_step_after_it(templates: Templates, tmp_path: Path) -> None:
    die_at_steps_of_a_task("is written down", templates(Shape(committed=True)), tmp_path)


def test_a_death_in_the_last_landing_is_mended_by_a_start_without_tasks(
    templates: Templates, tmp_path: Path
) -> None:
    template = templates(Shape(committed=True))
    name = "landing._unlock unlink index.lock"
    times = sum(step.name == name for step in steps_of(copied(template, tmp_path / "first")))
    for number, occurrence in enumerate((times - 1, times)):  # of the task, and of the memory after it
        found = recover(copied(template, tmp_path / str(number)), Death(Step(name, occurrence)))
        assert found.died
        assert not found.wrong, "\n".join([*found.wrong, *found.said, found.output])
        assert "no task in the queue" in found.output or occurrence < times


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


POWER = (
    "journal.Journal.write(ProgramStarted) write journal.jsonl",
    "trees.attempts.keep unlink #.#.lock",
    "session.write_difference rename attempt-#.diff",
    "landing.advance git update-ref",
    "landing.advance git read-tree",
    "landing._unlock unlink index.lock",
    "journal.Journal.write(Landed) write journal.jsonl",
    "claims.claimed unlink #-#.#-#.json",
    "journal.Journal.write(Failed) write journal.jsonl",
)
"""Where what has been flushed by then is what the next start lives on."""


@pytest.mark.parametrize("group", range(2))
def test_a_loss_of_power(group: int, templates: Templates, tmp_path: Path) -> None:
    deaths = [Death(Step(name), "power") for name in POWER[group::2]]
    missed = die_again_and_again(templates(Shape(committed=True)), tmp_path, deaths)
    assert not missed, missed


def worker(name: str, how: How) -> Death:
    return Death(Step(name, process="gw0"), how)


@pytest.mark.parametrize(
    "death",
    [
        worker("journal.Journal.write(SessionBegins) write journal.jsonl", "within"),
        worker("landing.advance git read-tree", "before"),
        worker("journal.Journal.write(ProgramStarted) write journal.jsonl", "parent"),
        worker("landing.advance git update-ref", "parent"),
    ],
    ids=str,
)
def test_several_agents(death: Death, templates: Templates, tmp_path: Path) -> None:
    """A worker that dies, and workers whose controller does while one of them is at this step."""
    world = copied(templates(Shape(workers=2)), tmp_path / "world")
    found = recover(world, death)
    assert found.died
    assert not found.wrong, "\n".join([*found.wrong, *found.said, found.output])


SLOW = """#!/bin/sh
case " $* " in *" update-ref --create-reflog "*)
    echo > '{there}'
    n=0; while [ $n -lt 600 ] && [ ! -e '{go}' ]; do sleep 0.1; n=$((n+1)); done ;;
esac
exec '{git}' "$@"
"""


def test_a_git_that_outlives_its_runner_is_waited_for(
    templates: Templates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It moves the branch while the next start looks at it: that must not have given the landing up by then."""
    world = copied(templates(Shape(committed=True)), tmp_path / "world")
    before = users_files(world)
    folder, there, go = tmp_path / "bin", tmp_path / "there", tmp_path / "go"
    folder.mkdir()
    slow = folder / "git"
    slow.write_text(SLOW.format(there=there, go=go, git=shutil.which("git")))
    slow.chmod(0o755)
    usual = os.environ["PATH"]
    monkeypatch.setenv("PATH", f"{folder}:{usual}")
    process = runner(world)
    until(there.exists)
    process.kill()
    process.wait()
    monkeypatch.setenv("PATH", usual)
    second = runner(world)
    try:
        journal = world.own / "journal.jsonl"
        looking: list[float] = []

        def looks_long_enough() -> bool:
            if _is_held(world.own / "landing.lock"):
                looking.append(time.monotonic())
            return b'"withdrawn"' in journal.read_bytes() or bool(looking and looking[-1] - looking[0] > 1)

        until(looks_long_enough, seconds=60)
        go.touch()
        assert second.wait(60) == 1
    finally:
        go.touch()
        second.kill()
        second.wait()
    assert not (wrong := complaints(world, before, USUAL)), "\n".join(wrong)
    assert b'"withdrawn"' not in (world.own / "journal.jsonl").read_bytes()


def _is_held(file: Path) -> bool:
    try:
        FileLock(file).acquire(timeout=0).lock.release()
    except Timeout:
        return True
    return False
