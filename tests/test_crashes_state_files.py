"""Files of the runner's own that a power failure or a bad disk has spoilt: the next start goes on, or says why not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.oracle import USUAL, complaints, left_alive, users_files
from tests.crash.play import Death, Step, die
from tests.crash.world import Shape, World, copied, make

DAMAGE: dict[str, Callable[[bytes], bytes | None]] = {
    "cut short": lambda data: data[: len(data) // 2],
    "emptied": lambda data: b"",
    "garbage": lambda data: b"\0\xff garbage \n{" + data[-20:],
    "gone": lambda data: None,
}
DEATH = Death(Step("journal.Journal.write(AttemptStarted) write journal.jsonl", 2))
"""One task has landed, the next is about to begin: everything that is ever kept is there."""
CONTENT = re.compile(r"shadow\.git/(objects/[0-9a-f]{2}|refs/)|/objects/pack/|\.lock$|journal\.jsonl$")
"""What the runner stores for good, flushed: that it can be read again is git's affair and the disk's. The journal has
tests of its own."""


def state_files(world: World) -> list[Path]:
    found = [*world.own.rglob("*"), *world.home.glob(".local/state/agenttasks/*/*")]
    return sorted(path for path in found if path.is_file() and not CONTENT.search(str(path)))


@pytest.mark.parametrize("damage", DAMAGE)
def test_all_files_but_what_is_stored_for_good(damage: str, tmp_path: Path) -> None:
    world = copied(make(tmp_path / "template", Shape(committed=True)), tmp_path / "world")
    before = users_files(world)
    assert die(world, DEATH)
    files = state_files(world)
    assert {"config", "HEAD", "user.gitconfig", "gate-times.json", "agent-0.index"} <= {
        path.name for path in files
    }
    for file in files:
        data = DAMAGE[damage](file.read_bytes())
        file.unlink() if data is None else file.write_bytes(data)
    ran = world.start()
    assert not (wrong := complaints(world, before, USUAL)), "\n".join([*wrong, ran.output])


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_journal(damage: str, tmp_path: Path) -> None:
    """In the middle of a landing, the worst moment to lose it: then the start stops, and says which files are why."""
    world = copied(make(tmp_path / "template", Shape(committed=True)), tmp_path / "world")
    assert die(world, Death(Step("landing.advance git read-tree"), "within", 60))
    journal = world.own / "journal.jsonl"
    data = DAMAGE[damage](journal.read_bytes())
    journal.unlink() if data is None else journal.write_bytes(data)
    (
        world.path / ".git/index.lock"
    ).unlink()  # else each of these takes the time that others get to give it back
    ran = world.start()
    assert ran.status in (0, 1, 4), ran.output
    if ran.status == 4:
        assert "uncommitted changes" in ran.output, ran.output
        assert "src/" in ran.output, ran.output
    log = world.repository.git("log", "--format=%(trailers:key=Agent-Task,valueonly)").split()
    assert len(log) == len(set(log)), log
    assert not left_alive(world)
