"""One death and the start after it, judged."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.crash.effects import How
from tests.crash.oracle import USUAL, complaints, lines_of_recovery, owed, unsaid, users_files
from tests.crash.world import World, copied, kill_left


@dataclass(frozen=True)
class Step:
    """A step by its name, and which time it is passed; `process` as `effects.who_this_is`."""

    name: str
    occurrence: int = 1
    process: str = "main"

    def __str__(self) -> str:
        times = f" (time {self.occurrence})" if self.occurrence > 1 else ""
        where = f" in {self.process}" if self.process != "main" else ""
        return f"{self.name}{times}{where}"


@dataclass(frozen=True)
class Death:
    """How a process ends: at which step, in what manner."""

    step: Step
    how: How = "before"
    limit: int = 0

    def __str__(self) -> str:
        return f"{self.how}{f' after {self.limit} bytes' if self.limit else ''}: {self.step}"


@dataclass(frozen=True)
class Recovered:
    """A death, what the next start said of it, and what is wrong afterwards. `died`: the step was reached."""

    death: Death
    died: bool
    said: tuple[str, ...]
    wrong: tuple[str, ...]
    output: str

    @property
    def way(self) -> str:
        """Whether the next start went forward or backward, in a word."""
        text = "\n".join(self.said)
        if not self.died:
            return "not reached"
        if re.search(r"finished the landing|had landed as", text):
            return "forward"
        if re.search(r"was verified and has not landed", text):
            return "forward"
        if re.search(r"had not begun|kept what attempt|had not been judged", text):
            return "backward"
        return "nothing to mend"


def die(world: World, death: Death) -> bool:
    """A start that ends in `death`; whether it did."""
    step = death.step
    ran = world.start(
        world.plan(
            step=step.name, occurrence=step.occurrence, process=step.process, how=death.how, limit=death.limit
        )
    )
    return ran.status == -9 if step.process == "main" else _reached(world, step)


def _reached(world: World, step: Step) -> bool:
    return (step.process, step.occurrence, step.name) in world.steps


def recover(
    world: World, *deaths: Death, expected: Mapping[str, str] = USUAL, again: bool = False
) -> Recovered:
    """Let the run die, start it again, and judge; further deaths come upon the starts after the first.

    `again`: one more start has to find nothing to do.
    """
    before = users_files(world)
    died = False
    said: list[str] = []
    for death in deaths:
        died = die(world, death) or died
        said += lines_of_recovery(world.last)
    due = owed(world) if died and not world.shape.workers else []
    ran = world.start()
    said += lines_of_recovery(ran)
    wrong = [*complaints(world, before, expected), *unsaid(due, lines_of_recovery(ran))]
    if ran.status not in (0, 1, 5):
        wrong.append(f"the next start ended with status {ran.status}")
    if again:
        third = world.start()
        if third.status != 5 or lines_of_recovery(third):
            wrong.append(f"one more start: {third.status}, {third.output[-300:]}")
    return Recovered(deaths[-1], died, tuple(said), tuple(wrong), ran.output)


class Undone(AssertionError):
    """Something is wrong after a chain of deaths; says after which, and what."""


def die_again_and_again(
    template: World, folder: Path, deaths: Sequence[Death], first: Death | None = None
) -> list[Death]:
    """All these deaths, one start after another, and the judgement when no task is left; then anew with the rest.

    Deaths in the order of the run cost one start each; `first` comes before them. Returns those that no start came to.
    Raises Undone.
    """
    left = list(deaths)
    missed: list[Death] = []
    for number in range(len(deaths)):
        if not left:
            break
        world = copied(template, folder / str(number))
        before, died, said = users_files(world), [], []
        if first is not None:
            assert die(world, first), f"not reached: {first}"
        while left:
            death = left.pop(0)
            if die(world, death):
                died.append(death)
            elif died:
                left.insert(0, death)  # the run has come to its end: in another world
                break
            else:
                missed.append(death)
                break
            said += lines_of_recovery(world.last)
        due = owed(world)
        ran = world.start()
        wrong = [*complaints(world, before, USUAL), *unsaid(due, lines_of_recovery(ran))]
        if ran.status not in (0, 1, 5) or wrong:
            kill_left(world.marker)
            told = "\n".join(
                [*map(str, died), "wrong:", *wrong, "said:", *said, f"status {ran.status}", ran.output]
            )
            raise Undone(told)
        shutil.rmtree(world.folder, ignore_errors=True)
    return missed


def harshest(step: Step) -> Death:
    """The one death at this step that leaves most behind."""
    match step.name.split()[-2]:
        case "write" | "open":
            return Death(step, "within")
        case "flush":
            return Death(step, "power")
        case "git":
            return Death(step, "within", 60)
    return Death(step)


def steps_of(world: World) -> Sequence[Step]:
    """Every step of an undisturbed run of `world`, in order."""
    ran = world.start(world.plan())
    assert ran.status == 1, ran.output
    return [Step(name, count, process) for process, count, name in world.steps]
