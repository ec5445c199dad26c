"""Which tasks a run is about, and their order: pytest's collection, kept to the plan."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

import pytest

from ..plan import order
from .collection import TaskItem, folder
from .session import QueueSession


class Choosing:
    """The hooks of collection.

    `frozen` are the node ids of those that were chosen when the run began: a worker that replaces another chooses by
    them, for options such as --lf look at files that may be elsewhere by now.
    """

    def __init__(self, session: QueueSession, frozen: Sequence[str] | None = None) -> None:
        self.queue_session = session
        self.frozen = frozen

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        pending = self.queue_session.queue.pending
        if path != pending and path not in pending.parents:
            return None
        return folder(self.queue_session, path, parent)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> Generator[None, object, object]:
        """Dependencies first, whatever other plugins did to the order; runs after all of them."""
        collected = {item.nodeid: item for item in items}
        result = yield
        if self.frozen is not None:
            items[:] = [collected[node_id] for node_id in self.frozen if node_id in collected]
            return result
        tasks = {item.task.name: item for item in items if isinstance(item, TaskItem)}
        if len(tasks) == len(items):
            planned = [task.name for task in self.queue_session.plan.tasks if task.name in tasks]
            ordered = order(planned, {name: tasks[name].task.front.depends_on for name in planned})
            items[:] = [tasks[name] for name in ordered]
        if config.getoption("lf", False):
            self._only_last_failed(config, items)
        return result

    def _only_last_failed(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """--lf: pytest would run all tasks when those that failed are no longer pending; that would be spending."""
        cache = config.cache
        folder = self.queue_session.plan.folder
        known = cache.get("cache/lastfailed", {}) if cache is not None else {}
        failed = [node_id for node_id in known if node_id.startswith(f"{folder}/")]
        if not failed or any(item.nodeid in failed for item in items):
            return
        config.hook.pytest_deselected(items=items[:])
        items.clear()
        names = " ".join(node_id.rpartition("::")[2] for node_id in failed)
        self.queue_session.notes.append(
            f"--lf: the tasks that failed last are not pending; `agenttasks requeue {names}` puts them back into the queue"
        )

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.queue_session.chosen = [item.task for item in session.items if isinstance(item, TaskItem)]
