"""The schedule as xdist wants it: tasks go to workers, one at a time, the moment they may start.

A worker of xdist starts an item only when it knows the one after it. Every task is therefore sent with an idle item
behind it, which each worker has at the end of its list and which does nothing (`worker.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from .limits import OwnAccount
from .schedule import Schedule


class Node(Protocol):
    """What is used of xdist's WorkerController."""

    @property
    def shutting_down(self) -> bool: ...
    def send_runtest_some(self, indices: Sequence[int]) -> None: ...
    def shutdown(self) -> None: ...


class TaskScheduler:
    """xdist's `Scheduling`. `stopped`: why nothing is handed out any more."""

    def __init__(
        self,
        config: Any,
        account: OwnAccount,
        begin: Callable[[Sequence[str]], Schedule],
        tick: Callable[[], None],
        leaves: Callable[[Node], bool] = lambda _: False,
    ) -> None:
        """`begin` is called once, with the node ids that were collected, before anything is handed out. `leaves`: whether
        a worker could not do the task that it had, and is to get no other."""
        self.config = config  # other plugins look for it
        self.account = account
        self.schedule_of_tasks: Schedule | None = None
        self.stopped: str | None = None
        self.collection: list[str] | None = None
        self._begin = begin
        self._tick = tick
        self._leaves = leaves
        self._works_on: dict[Node, str | None] = {}
        self._ready: set[Node] = set()
        self._names: list[str] = []

    def stop(self, why: str) -> None:
        """Hand out nothing more; the first reason is the one that counts."""
        self.stopped = self.stopped or why

    def works_on(self, node: Node) -> str | None:
        return self._works_on.get(node)

    @property
    def busy(self) -> bool:
        """Whether some worker has a task."""
        return any(self._works_on.values())

    @property
    def nodes(self) -> list[Node]:
        return list(self._works_on)

    @property
    def collection_is_completed(self) -> bool:
        """True with the first worker's: all collect from the same plan."""
        return self.collection is not None

    @property
    def tests_finished(self) -> bool:
        schedule = self.schedule_of_tasks
        if schedule is None:
            return False
        return not schedule.running and (self.stopped is not None or not schedule.waiting)

    @property
    def has_pending(self) -> bool:
        schedule = self.schedule_of_tasks
        return schedule is not None and not schedule.finished

    def add_node(self, node: Node) -> None:
        self._works_on[node] = None

    def add_node_collection(self, node: Node, collection: Sequence[str]) -> None:
        if self.collection is None:
            self.collection = list(collection)
        if list(collection) == self.collection:
            self._ready.add(node)
        else:  # a plugin's doing; the others can work
            node.shutdown()

    def schedule(self) -> None:
        """Begin, or go on with a worker that has just come."""
        if self.schedule_of_tasks is None:
            assert self.collection is not None
            self.schedule_of_tasks = self._begin(self.collection)
            self._names = list(self.schedule_of_tasks.tasks)
        self._hand_out()

    def mark_test_complete(self, node: Node, item_index: int, _duration: float = 0) -> None:
        name = self._works_on.get(node)
        if name is None or item_index == len(self._names):  # the idle item
            return
        self._works_on[node] = None
        assert self.schedule_of_tasks is not None
        if self._leaves(node):
            self.schedule_of_tasks.put_back(name)
            self._ready.discard(node)
            node.shutdown()
        else:
            self.schedule_of_tasks.end(name)
        self.account.hand_out(-1)
        self._hand_out()

    def mark_test_pending(self, _item: str) -> None:
        """What a plugin for reruns asks for. Whether a task runs again after its worker died is not its to say."""

    def remove_pending_tests_from_node(self, _node: Node | None, _indices: Sequence[int]) -> None:
        """xdist takes tests back only at a scheduler's request. This one asks for none, and takes the event as a tick."""
        self._tick()

    def remove_node(self, node: Node) -> str | None:
        """Forget a worker; the node id of the task that it had not finished. Its files stay reserved until `after_crash`."""
        self._ready.discard(node)
        name = self._works_on.pop(node)
        return None if name is None else self._id_of(name)

    def after_crash(self, name: str, *, again: bool) -> None:
        """The dead worker's agent has been ended: others may have its files now."""
        assert self.schedule_of_tasks is not None
        if again:
            self.schedule_of_tasks.put_back(name)
        else:
            self.schedule_of_tasks.end(name)
        self.account.hand_out(-1)
        self._hand_out()

    def name_of(self, node_id: str) -> str:
        assert self.collection is not None
        return self._names[self.collection.index(node_id)]

    def _id_of(self, name: str) -> str:
        assert self.collection is not None
        return self.collection[self._names.index(name)]

    def _hand_out(self) -> None:
        schedule = self.schedule_of_tasks
        assert schedule is not None
        for node, busy in list(self._works_on.items()):
            if busy is not None or node not in self._ready or node.shutting_down:
                continue
            if self.stopped is not None or not schedule.waiting:
                return
            if (reason := self.account.exhausted()) is not None:
                self.stop(reason)
                return
            name = None if self.account.full() else schedule.next()
            if name is None:
                return
            schedule.begin(name)
            self.account.hand_out(+1)
            self._works_on[node] = name
            node.send_runtest_some([self._names.index(name), len(self._names)])
