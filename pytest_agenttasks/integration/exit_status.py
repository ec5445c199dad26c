"""How a run ends for whoever started it."""

from __future__ import annotations

import pytest

from .session import QueueSession


class ExitStatus:
    """0 only when every chosen task landed."""

    def __init__(self, session: QueueSession) -> None:
        self.queue_session = session

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if (
            exitstatus == pytest.ExitCode.OK
            and not session.config.option.collectonly
            and not self.queue_session.all_landed
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
