"""`--tx` as it is typed, and what xdist is told instead."""

from __future__ import annotations

import argparse

import execnet
import pytest

from pytest_agenttasks.far.names import Elsewhere
from pytest_agenttasks.integration.machines import machine_of, machines_of, some_here


def options(*tx: str, numprocesses: int | None = None) -> argparse.Namespace:
    return argparse.Namespace(tx=list(tx), numprocesses=numprocesses)


def test_each_machine_is_named_once_and_each_worker_is_a_local_process() -> None:
    option = options("2*ssh=a", "popen", "ssh=a", "3*ssh=-p 22 me@b//python=/opt/py")
    machines = machines_of(option)
    assert machines == (Elsewhere("ssh=a"), Elsewhere("ssh=-p 22 me@b//python=/opt/py"))
    assert [machine.name for machine in machines] == ["a", "me@b"]
    specs = [execnet.XSpec(spec) for spec in option.tx]
    assert all(spec.popen and not spec.chdir for spec in specs)
    where = [machine_of(spec, machines) for spec in specs]
    assert [one and one.name for one in where] == ["a", "a", None, "a", "me@b", "me@b", "me@b"]
    assert some_here(option)


def test_without_a_machine_nothing_changes() -> None:
    option = options("2*popen")
    assert machines_of(option) == ()
    assert option.tx == ["popen", "popen"]
    assert some_here(option)
    assert not some_here(options("popen//agenttasks_machine=0"))


@pytest.mark.parametrize(
    ("spec", "name", "trial"),
    [
        ("ssh=build2", "build2", "`ssh -o BatchMode=yes build2 python3 --version`"),
        (
            "ssh=-p 9 me@x//ssh_config=c//python=/p",
            "me@x",
            "`ssh -F c -o BatchMode=yes -p 9 me@x /p --version`",
        ),
        ("popen//python=/p", "--tx popen//python=/p", "`/p --version` has to work"),
    ],
)
def test_what_a_machine_is_called_and_how_it_is_tried(spec: str, name: str, trial: str) -> None:
    assert Elsewhere(spec).name == name
    assert trial in Elsewhere(spec).trial()
