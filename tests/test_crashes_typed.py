"""What a person types after a run, killed at the moments that leave most behind, and typed again.

`make crashes` does so at every step.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.crash.oracle import status
from tests.crash.play import Death, Step
from tests.crash.verbs import after_a_run, die_and_type_again, steps_of, verbs
from tests.crash.world import Shape, make

MOMENTS = {
    "reject": (
        Death(Step("landing.advance git update-ref"), "within", 60),
        Death(Step("landing.advance git read-tree"), "within", 60),
        Death(Step("journal.Journal.write(Rejected) write journal.jsonl"), "within"),
    ),
    "approve": (
        Death(Step("landing._copy_index open index.agenttasks-#"), "within"),
        Death(Step("landing.advance git read-tree"), "within", 60),
        Death(Step("landing._unlock unlink index.lock")),
    ),
    "requeue": (
        Death(Step("journal.Journal.write(Released) write journal.jsonl"), "within"),
        Death(Step("failure.put_away unlink #-fails.report.md")),
        Death(Step("cli.requeue._put_back unlink #-fails.md")),
    ),
    "open": (
        Death(Step("workbench._put git checkout-index"), "within", 60),
        Death(Step("workbench._record rename #-fails.json", 2)),
    ),
    "land": (
        Death(Step("trees.attempts.keep unlink #.#.lock")),
        Death(Step("landing.advance git read-tree"), "within", 60),
        Death(Step("journal.Journal.write(Landed) write journal.jsonl"), "within"),
    ),
}
UNTRACKED = {
    "reject": (
        Death(Step("rejection._put_back unlink #-lands.md")),
        Death(Step("approving.record_privately rename reviews.jsonl")),
    ),
    "approve": (Death(Step("approving.record_privately rename reviews.jsonl")),),
    "requeue": (Death(Step("cli.requeue._put_back unlink #-fails.md")),),
}
VERBS = {verb.name: verb for verb in verbs()}


@pytest.mark.parametrize("name", MOMENTS)
def test_it_is_typed_again_after_a_kill(name: str, tmp_path: Path) -> None:
    verb = VERBS[name]
    saved = after_a_run(make(tmp_path / "world", Shape()), verb)
    for death in MOMENTS[name]:
        assert not die_and_type_again(saved, verb, [death])


@pytest.mark.parametrize("name", UNTRACKED)
def test_with_a_queue_that_git_does_not_track(name: str, tmp_path: Path) -> None:
    verb = VERBS[name]
    saved = after_a_run(make(tmp_path / "world", Shape(tracked=False)), verb)
    for death in UNTRACKED[name]:
        assert not die_and_type_again(saved, verb, [death])


def test_an_approval_is_on_disk_before_its_file_is_replaced(tmp_path: Path) -> None:
    """It is the only place where a person's word is."""
    verb = VERBS["approve"]
    saved = after_a_run(make(tmp_path / "world", Shape(tracked=False)), verb)
    names = [step.name for step in steps_of(saved, verb)]
    flushed = names.index("approving.record_privately flush reviews.jsonl.#")
    assert flushed < names.index("approving.record_privately rename reviews.jsonl")
    assert "approving.record_privately flush agenttasks" in names


HALF_WAY = {"step": "landing.advance git read-tree", "how": "within", "limit": 60}


def test_a_landing_is_finished_in_the_checkout_that_it_is_half_way_in_only(tmp_path: Path) -> None:
    world = make(tmp_path / "world", Shape(committed=True))
    assert world.start(world.plan(**HALF_WAY)).status == -9
    other = tmp_path / "other"
    world.repository.git("worktree", "add", "-q", "-b", "side", str(other))
    for words in (("approve",), ("requeue", "--all"), ("open", "002-fails"), ("land", "002-fails")):
        ran = world.type(*words, where=other)
        assert ran.status == 4
        assert f"{world.path}: a landing there was cut short by a kill" in ran.output
    assert (world.path / ".git/index.lock").exists()
    assert world.type("approve").status == 0
    assert "finished the landing" in world.last.output
    assert not (world.path / ".git/index.lock").exists()
    assert not list(status(world))
    assert world.type("approve", where=other).status == 0


def test_with_the_checkout_gone_nothing_is_half_way(tmp_path: Path) -> None:
    world = make(tmp_path / "world", Shape(committed=True))
    side = tmp_path / "side"
    world.repository.git("worktree", "add", "-q", "-b", "side", str(side))
    assert world.start(world.plan(**HALF_WAY), where=side).status == -9
    shutil.rmtree(side)
    assert world.type("approve").status == 0
    assert world.start().status == 1, world.last.output


def test_what_landed_before_a_kill_could_be_written_down_is_known_to_what_is_typed(tmp_path: Path) -> None:
    world = make(tmp_path / "world", Shape(committed=True))
    assert world.start(world.plan(step="journal.Journal.write(Landed) write journal.jsonl")).status == -9
    assert world.type("approve").status == 0
    assert "landed  001-lands" in world.last.output


def test_after_a_run_to_its_end_an_empty_queue_is_nothing_to_mend(tmp_path: Path) -> None:
    world = make(tmp_path / "world", Shape(committed=True))
    assert world.start().status == 1
    world.repository.git("checkout", "-q", "--detach")
    assert world.start().status == 5, world.last.output
