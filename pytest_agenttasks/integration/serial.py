"""One agent at a time, in this process."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack

import pytest

from ..outcome import SetupError
from .announcer import Announcer
from .collection import TaskItem
from .limits import OwnAccount
from .opening import mend, obey_signals, start, usage_error, warnings_are_no_errors
from .protocol import ItemProtocol
from .session import QueueSession
from .terminal import Terminal


class Serial:
    """The hooks of a run without `-n`."""

    def __init__(
        self, session: QueueSession, account: OwnAccount, terminal: Terminal, announcer: Announcer
    ) -> None:
        self.queue_session = session
        self.account = account
        self.terminal = terminal
        self.announcer = announcer
        self.protocol = ItemProtocol(session, terminal)
        session.config.pluginmanager.register(self.protocol, "agenttasks-protocol")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        if session.config.option.collectonly or session.testsfailed:
            return (yield)
        with warnings_are_no_errors(), ExitStack() as stack:
            obey_signals(stack)
            try:
                if not session.items:
                    mend(self.queue_session, self.terminal, self.announcer)
                    return (yield)
                start(self.queue_session, self.terminal, self.announcer, stack)
            except SetupError as error:
                raise usage_error(error) from error
            return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        if not isinstance(item, TaskItem):
            return None
        reason = self.account.exhausted() or self.protocol.run(item, nextitem)
        if reason is not None:
            item.session.shouldstop = self.queue_session.stopped = reason
        return True
