"""Handing tasks to workers: dependencies, files in common, crashes, limits; workers are fakes with xdist's one-item delay."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pytest_agenttasks.integration.limits import Used
from pytest_agenttasks.integration.schedule import Schedule
from pytest_agenttasks.integration.scheduler import TaskScheduler
from pytest_agenttasks.settings.records import BudgetSettings, Settings
from pytest_agenttasks.tasks.scope import overlap
from pytest_agenttasks.tasks.task import Task
from tests.nodes import FakeNode, finish, join, scheduler, tasks

ABC = ["a", "b", "c"]


def started(made: TaskScheduler, *nodes: FakeNode) -> list[str | None]:
    return [made.works_on(node) for node in nodes]


def test_tasks_of_different_files_start_at_once_each_with_the_idle_item_behind_it() -> None:
    made, one, two = scheduler(tasks(ABC)), FakeNode("gw0"), FakeNode("gw1")
    join(made, one, ABC)
    join(made, two, ABC)
    assert (one.sent, two.sent) == ([0, 3], [1, 3])
    finish(made, one)
    assert (one.sent, two.sent) == ([0, 3, 2, 3], [1, 3])
    assert one.running == 2
    finish(made, two)
    assert (made.tests_finished, made.has_pending) == (False, True)
    finish(made, one)
    assert (made.tests_finished, made.has_pending) == (True, False)


def test_a_dependency_and_a_shared_file_hold_a_task_back() -> None:
    made = scheduler(tasks(ABC, {"b": ["a"]}, {"c": ["src/"]}))
    one, two = FakeNode("gw0"), FakeNode("gw1")
    join(made, one, ABC)
    join(made, two, ABC)
    assert started(made, one, two) == ["a", None]
    finish(made, one)
    assert started(made, one, two) == ["b", None]
    finish(made, one)
    assert started(made, one, two) == ["c", None]


def test_the_longest_chain_goes_first() -> None:
    names = ["a", "b", "c"]
    made, one = scheduler(tasks(names, {"c": ["b"]})), FakeNode()
    join(made, one, names)
    order = []
    while one.running is not None:
        order.append(names[finish(made, one)])
    assert order == ["b", "a", "c"]


def test_what_is_refused_waits_for_nobody() -> None:
    made, one = scheduler(tasks(["a", "b"], {"a": ["b"], "b": ["a"]})), FakeNode()
    join(made, one, ["a", "b"])
    assert started(made, one) == ["a"], "a circle is handed out, to say that it is one"


def test_a_worker_that_cannot_go_on_gets_nothing_more_and_another_does_its_task() -> None:
    leaving: set[object] = set()
    made = scheduler(tasks(["a", "b"]), leaving=leaving)
    one, two = FakeNode("gw0"), FakeNode("gw1")
    join(made, one, ["a", "b"])
    join(made, two, ["a", "b"])
    assert started(made, one, two) == ["a", "b"]
    leaving.add(one)
    finish(made, one)
    assert (one.shut, two.shut) == (True, False)
    assert (made.tests_finished, started(made, one)) == (False, [None])
    assert made.remove_node(one) is None, "it ends by itself, with nothing undone"
    finish(made, two)
    assert started(made, two) == ["a"]
    finish(made, two)
    assert made.tests_finished


def test_a_task_cut_off_runs_again_and_keeps_its_files_until_then() -> None:
    names = ["a", "b"]
    made = scheduler(tasks(names, scopes={"a": ["src/"], "b": ["src/b"]}))
    one, two = FakeNode("gw0"), FakeNode("gw1")
    join(made, one, names)
    join(made, two, names)
    assert started(made, one, two) == ["a", None]
    assert made.remove_node(one) == "a"
    assert two.running is None, "its agent may still be at work"
    assert not made.tests_finished
    made.after_crash("a", again=True)
    assert started(made, two) == ["a"]
    replacement = FakeNode("gw2")
    join(made, replacement, names)
    assert replacement.running is None
    finish(made, two)
    assert sorted(str(name) for name in started(made, two, replacement)) == ["None", "b"]


def test_a_worker_that_dies_idle_is_no_loss() -> None:
    made, one, two = scheduler(tasks(["a"])), FakeNode("gw0"), FakeNode("gw1")
    join(made, one, ["a"])
    join(made, two, ["a"])
    assert made.remove_node(two) is None
    finish(made, one)
    assert made.tests_finished


def test_a_worker_that_shuts_down_gets_nothing() -> None:
    made, one = scheduler(tasks(["a", "b"])), FakeNode()
    join(made, one, ["a", "b"])
    one.shutdown()
    finish(made, one)
    assert one.running is None
    assert one.sent == [0, 2]


def test_a_worker_with_another_list_is_sent_home() -> None:
    made, one, other = scheduler(tasks(["a", "b"])), FakeNode("gw0"), FakeNode("gw1")
    join(made, one, ["a", "b"])
    join(made, other, ["b", "a"])
    assert other.shut
    assert not other.sent


def test_nothing_is_handed_out_after_a_stop_and_what_runs_ends() -> None:
    made, one, two = scheduler(tasks(ABC)), FakeNode("gw0"), FakeNode("gw1")
    join(made, one, ABC)
    join(made, two, ABC)
    made.stop("enough")
    made.stop("later")
    finish(made, one)
    assert started(made, one, two) == [None, "b"]
    assert made.busy
    finish(made, two)
    assert made.tests_finished
    assert made.stopped == "enough"


def test_an_empty_collection_is_finished_at_once() -> None:
    made, one = scheduler([]), FakeNode()
    join(made, one, [])
    assert made.tests_finished


@pytest.mark.parametrize("limit", ["sessions", "landed"])
def test_tasks_that_run_count_against_the_limits(limit: str) -> None:
    settings = Settings(budget=BudgetSettings(sessions=2)) if limit == "sessions" else Settings()
    made = scheduler(tasks(["a", "b", "c", "d"]), settings)
    if limit == "landed":
        made.account.checkpoint = lambda more: "2 landed" if made.account.used.landed + more >= 2 else None
    nodes = [FakeNode(f"gw{n}") for n in range(3)]
    for node in nodes:
        join(made, node, ["a", "b", "c", "d"])
    assert started(made, *nodes) == ["a", "b", None], "a third might be one too many"
    finish(made, nodes[0])  # it was blocked: nothing was used
    assert sorted(filter(None, started(made, *nodes))) == ["b", "c"]
    made.account.add(Used(sessions=1, landed=1))
    finish(made, nodes[1])
    assert sorted(filter(None, started(made, *nodes))) == ["c"]
    made.account.add(Used(sessions=1, landed=1))
    finish(made, next(node for node in nodes if node.running is not None))
    assert made.tests_finished
    assert made.stopped is not None
    assert "2" in made.stopped


def test_a_limit_that_the_last_task_reaches_stops_nothing() -> None:
    made, one = scheduler(tasks(["a"]), Settings(budget=BudgetSettings(sessions=1))), FakeNode()
    join(made, one, ["a"])
    made.account.add(Used(sessions=1))
    finish(made, one)
    assert made.tests_finished
    assert made.stopped is None


NAMES = [f"t{n}" for n in range(8)]
PATTERNS = ["src/a.txt", "src/b.txt", "src/", "src/*.txt", "docs/", "docs/x.md", "**/*.md", "lib/new/"]


@st.composite
def queues(draw: st.DrawFn) -> list[Task]:
    """Up to eight tasks that depend on earlier ones, with scopes that overlap in all ways."""
    names = NAMES[: draw(st.integers(1, len(NAMES)))]
    depends_on = {
        name: draw(st.lists(st.sampled_from(names[:position]), max_size=2, unique=True)) if position else []
        for position, name in enumerate(names)
    }
    scopes = {
        name: draw(st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2, unique=True)) for name in names
    }
    made = tasks(names, depends_on, scopes)
    return draw(st.permutations(made))


class Handing(RuleBasedStateMachine):
    """Workers come, finish and die in any order."""

    @initialize(queue=queues(), workers=st.integers(1, 4))
    def begin(self, queue: list[Task], workers: int) -> None:
        self.names = [task.name for task in queue]
        self.tasks = {task.name: task for task in queue}
        self.scheduler = scheduler(queue)
        self.nodes: list[FakeNode] = []
        self.ended: list[str] = []
        self.crashes = 0
        for _ in range(workers):
            self.come()

    def come(self) -> None:
        node = FakeNode(f"gw{len(self.nodes)}")
        self.nodes.append(node)
        join(self.scheduler, node, self.names)

    @property
    def schedule(self) -> Schedule:
        assert self.scheduler.schedule_of_tasks is not None
        return self.scheduler.schedule_of_tasks

    def busy(self) -> list[FakeNode]:
        return [node for node in self.scheduler.nodes if self.scheduler.works_on(node)]  # type: ignore[misc]

    @precondition(lambda self: self.busy())
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        node = data.draw(st.sampled_from(self.busy()))
        self.ended.append(self.names[finish(self.scheduler, node)])

    @precondition(lambda self: self.busy() and self.crashes < 5)
    @rule(data=st.data(), again=st.booleans())
    def die(self, data: st.DataObject, again: bool) -> None:
        node = data.draw(st.sampled_from(self.busy()))
        self.crashes += 1
        name = self.scheduler.remove_node(node)
        assert name is not None
        if not again:
            self.ended.append(name)
        self.scheduler.after_crash(name, again=again)
        self.come()

    @rule()
    def another_comes(self) -> None:
        if len(self.nodes) < 10:
            self.come()

    @invariant()
    def no_two_that_run_share_files(self) -> None:
        running = [self.scheduler.works_on(node) for node in self.busy()]
        for a, b in combinations([str(name) for name in running], 2):
            assert not overlap(self.tasks[a].scope, self.tasks[b].scope)
        assert sorted(map(str, running)) == sorted(self.schedule.running)

    @invariant()
    def nobody_runs_before_what_it_depends_on_is_over(self) -> None:
        for name in self.schedule.running:
            assert set(self.tasks[name].front.depends_on) <= set(self.ended)

    @invariant()
    def nobody_is_idle_while_a_task_may_start(self) -> None:
        idle = [node for node in self.scheduler.nodes if not self.scheduler.works_on(node)]
        if not idle:
            return
        for name in self.schedule.waiting:
            held = set(self.tasks[name].front.depends_on) - set(self.ended)
            shared = any(overlap(self.tasks[name].scope, self.tasks[r].scope) for r in self.schedule.running)
            assert held or shared, f"{name} could run"

    @invariant()
    def every_worker_runs_what_it_was_given(self) -> None:
        for node in self.busy():
            assert node.running is not None
            assert self.names[node.running] == self.scheduler.works_on(node)

    def teardown(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        for _ in range(100):
            busy = self.busy()
            if not busy:
                break
            self.ended.append(self.names[finish(self.scheduler, busy[0])])
        assert sorted(self.ended) == sorted(self.names), "every task ends, once"
        assert self.scheduler.tests_finished


TestHanding = Handing.TestCase


@given(queue=queues(), workers=st.integers(1, 4))
def test_the_schedule_says_what_a_task_waits_for(queue: list[Task], workers: int) -> None:
    schedule = Schedule(queue)
    while (name := schedule.next()) is not None and len(schedule.running) < workers:
        schedule.begin(name)
    for waiting in schedule.waiting if len(schedule.running) < workers else []:
        before, shared = schedule.held_up_by(waiting)
        assert before or shared
