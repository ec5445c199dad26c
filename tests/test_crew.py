"""What workers say of themselves, and who may leave."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pytest_agenttasks.integration import wire
from pytest_agenttasks.integration.crew import Crew
from pytest_agenttasks.integration.limits import OwnAccount
from pytest_agenttasks.settings.records import Settings


def test_all_but_the_last_worker_may_leave() -> None:
    crew = Crew(OwnAccount(Settings(), datetime(2026, 1, 1)))
    answers: list[Any] = []
    hear = {name: crew.join(name, answers.append, f"{name} on far") for name in ("gw0", "gw1", "gw2")}
    hear["gw1"](wire.message(wire.LEAVES, "gone"))
    crew.leave("gw2")
    hear["gw0"](wire.message(wire.LEAVES, "gone, too"))
    assert answers == [True, False]
    assert crew.leaving == {"gw1": "gone"}
    assert crew.notes == ["gw1 on far was given up: gone"]
