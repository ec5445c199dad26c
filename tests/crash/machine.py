"""What a user and fate may do to a project with a queue, in any order: commits, edits, new tasks, kills, runs."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.crash.effects import How
from tests.crash.oracle import kept, left_alive, repository_is_whole
from tests.crash.play import Death, Step, die
from tests.crash.world import FAILS, LANDS, Shape, World, kill_left, make

STEPS = (
    "journal.Journal.write(AttemptStarted) write journal.jsonl",
    "journal.Journal.write(SessionBegins) write journal.jsonl",
    "journal.Journal.write(ProgramStarted) write journal.jsonl",
    "trees.attempts.keep link #",
    "journal.Journal.write(AttemptStored) write journal.jsonl",
    "session.write_difference open attempt-#.diff.#",
    "trees.composition.commit rename object",
    "journal.Journal.write(Passed) write journal.jsonl",
    "trees.handover.send rename object",
    "journal.Journal.write(Forward) write journal.jsonl",
    "landing._lock_index link index.lock",
    "landing.advance git update-ref",
    "landing.advance git read-tree",
    "landing.advance rename index",
    "landing._unlock unlink index.lock",
    "journal.Journal.write(Forwarded) write journal.jsonl",
    "journal.Journal.write(Landed) write journal.jsonl",
    "journal.Journal.write(AttemptEnded) write journal.jsonl",
    "queue.move_untracked unlink #-lands.md",
    "claims.claimed unlink #-#.#-#.json",
)
TYPED = {
    "reject": ("reject", LANDS, "-m", "not like this"),
    "approve": ("approve",),
    "requeue": ("requeue", FAILS, "-m", "once more"),
}
STEPS_OF_VERBS = (
    "journal.Journal.write(Forward) write journal.jsonl",
    "landing._lock_index link index.lock",
    "landing.advance git update-ref",
    "landing.advance git read-tree",
    "landing._unlock unlink index.lock",
    "journal.Journal.write(Rejected) write journal.jsonl",
    "rejection._put_back unlink #-lands.md",
    "approving.record_privately rename reviews.jsonl",
    "journal.Journal.write(Released) write journal.jsonl",
    "cli.requeue._put_back unlink #-fails.md",
    "none: to its end",
)
COMMIT = "cd {{path}} && echo user >> {file} && git commit -q -m 'by the user' {file}"
MEANWHILE = {
    "nothing": "",
    "a commit of the user's on another file": COMMIT.format(file="notes/mine.txt"),
    "a commit of the user's on a file of the task": COMMIT.format(file="src/a.txt"),
    "an edit of the user's in another file": "echo edit >> {path}/notes/mine.txt",
    "an edit of the user's in a file of the task": "echo edit >> {path}/src/a.txt",
    "a new file of the user's": "mkdir -p {path}/lib/in && echo mine > {path}/lib/in/mine.txt",
}  # fmt: skip
"""What may happen while an agent works."""
EDITABLE = ("notes/mine.txt", "src/a.txt")


class Fate(RuleBasedStateMachine):
    """Whatever happens: nobody's work is lost, and no task lands twice."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="fate-"))
        self.commits: list[str] = []
        self.numbered = 0

    @initialize(tracked=st.booleans(), memory=st.booleans())
    def begin(self, tracked: bool, memory: bool) -> None:
        self.world: World = make(self.folder / "world", Shape(tracked=tracked, memory=memory))

    @rule(path=st.sampled_from(EDITABLE))
    def the_user_commits(self, path: str) -> None:
        self._edit(path)
        self._commit()

    @rule(path=st.sampled_from(EDITABLE))
    def the_user_edits(self, path: str) -> None:
        self._edit(path)

    @precondition(lambda self: len(list((self.world.path / "tasks/pending").glob("*.md"))) < 3)
    @rule()
    def the_user_adds_a_task(self) -> None:
        self.numbered += 1
        self.world.task(f"1{self.numbered:02}-more", ("more/",))

    @rule(
        verb=st.sampled_from(sorted(TYPED)), step=st.sampled_from(STEPS_OF_VERBS),
        how=st.sampled_from(["before", "within"]),
    )  # fmt: skip
    def the_user_types(self, verb: str, step: str, how: How) -> None:
        """It does what it says, is killed, or does nothing and says why."""
        limit = 60 if " git " in step else 0
        ran = self.world.type(*TYPED[verb], plan=self.world.plan(step=step, how=how, limit=limit))
        assert ran.status in (-9, 0, 4), ran.output
        assert "Traceback" not in ran.output, ran.output

    @rule(
        step=st.sampled_from(STEPS), occurrence=st.integers(1, 2), how=st.sampled_from(["before", "within"]),
        meanwhile=st.sampled_from(sorted(MEANWHILE)),
    )  # fmt: skip
    def a_run_is_killed(self, step: str, occurrence: int, how: How, meanwhile: str) -> None:
        self.world.agent(MEANWHILE[meanwhile].format(path=self.world.path))
        limit = 60 if " git " in step else 0
        die(self.world, Death(Step(step, occurrence), how, limit))
        self.world.agent()
        assert self.world.last.status in (-9, 0, 1, 2, 4, 5), self.world.last.output

    @rule(meanwhile=st.sampled_from(sorted(MEANWHILE)))
    def a_run_goes_on(self, meanwhile: str) -> None:
        self.world.agent(MEANWHILE[meanwhile].format(path=self.world.path))
        ran = self.world.start()
        self.world.agent()
        assert ran.status in (0, 1, 2, 4, 5), ran.output
        if ran.status == 4:
            assert (
                "uncommitted" in ran.output or "put them aside" in ran.output or "in the way" in ran.output
            ), ran.output

    @precondition(lambda self: self.world.last.status != -9)  # else it lies where the next start looks
    @invariant()
    def what_was_written_is_there(self) -> None:
        wrong = [text for text in kept(self.world) if "lost" in text or "number" in text]
        assert not wrong, wrong

    @invariant()
    def no_task_has_landed_twice(self) -> None:
        git = self.world.repository.git
        landed = git("log", "--format=%H %(trailers:key=Agent-Task,valueonly,separator=%x20)").splitlines()
        taken_back = set(re.findall(r"(?m)^This reverts commit ([0-9a-f]+)", git("log", "--format=%B")))
        standing = [
            words[1] for line in landed if len(words := line.split()) > 1 and words[0] not in taken_back
        ]
        assert len(standing) == len(set(standing)), standing

    @invariant()
    def the_users_commits_are_in_the_branch(self) -> None:
        git = self.world.repository.git
        for commit in self.commits:
            git("merge-base", "--is-ancestor", commit, "HEAD")

    def settle(self) -> None:
        """What the user would do in the end: put their edits in a commit, and start a run."""
        for _ in range(3):
            self._commit()
            if "put them aside" in self.world.last.output or "nothing was repaired" in self.world.last.output:
                self.world.repository.git("checkout", "HEAD", "--", ".", check=False)  # as it is told to
            ran = self.world.start()
            if ran.status in (0, 1, 5) and not list((self.world.path / "tasks/pending").glob("*.md")):
                break
        git = self.world.repository.git
        status = [line for line in git("status", "--porcelain").splitlines() if not line.startswith("??")]
        assert not status, (status, ran.output)
        assert not list((self.world.path / "tasks/pending").glob("*.md")), ran.output
        for number in range(1, self.numbered + 1):
            assert self.world.repository.git("log", "--format=%H", f"--grep=Agent-Task: 1{number:02}-more")
        assert not list(repository_is_whole(self.world))
        assert not list(kept(self.world))
        assert not left_alive(self.world)

    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                self.settle()
        finally:
            if hasattr(self, "world"):
                kill_left(self.world.marker)
            shutil.rmtree(self.folder, ignore_errors=True)

    def _edit(self, path: str) -> None:
        file = self.world.path / path
        file.parent.mkdir(exist_ok=True)
        with file.open("a") as stream:
            stream.write("by the user\n")

    def _commit(self) -> None:
        """Everything but the queue; where git says no, later."""
        git = self.world.repository.git
        if git("status", "--porcelain", "--untracked-files=no", "--", *EDITABLE, check=False):
            git("commit", "-q", "-m", "by the user", "--", *EDITABLE, check=False)
            self.commits.append(self.world.repository.head())
