"""Which workers have their sessions on another machine: `--tx ssh=…`, as xdist and execnet spell it.

The worker itself is a process on this machine, whatever was typed: it does all of an attempt but the session.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any

import pytest

from ..far.names import Elsewhere

KEY = "agenttasks_machine"
"""What is added to the spec of a worker: the number of its machine, which one that replaces it inherits."""

_SPEC = re.compile(r"(?:(?P<count>\d+)\*)?(?P<spec>.*)", re.DOTALL)
_CARRIERS = ("ssh", "vagrant_ssh", "popen")


def machines_of(option: argparse.Namespace) -> tuple[Elsewhere, ...]:
    """The machines that `--tx` names, each once; has xdist start a local worker for each that is wanted there.

    Raises UsageError for what agents cannot be started by.
    """
    machines: list[Elsewhere] = []
    specs: list[str] = []
    for typed in getattr(option, "tx", None) or []:
        count, spec = _counted(typed)
        if spec == "popen":
            specs += ["popen"] * count
            continue
        _refuse(typed, spec)
        where = Elsewhere(spec)
        if where not in machines:
            machines.append(where)
        specs += [f"popen//{KEY}={machines.index(where)}"] * count
    if machines and getattr(option, "numprocesses", None) is not None:
        raise pytest.UsageError(
            f"-n and --tx {machines[0].spec}: xdist takes one or the other; for workers here as well add `--tx N*popen`"
        )
    if specs:
        option.tx = specs
    return tuple(machines)


def machine_of(spec: Any, machines: Sequence[Elsewhere]) -> Elsewhere | None:
    """Where the worker with this spec has its sessions, None: here."""
    number = getattr(spec, KEY, None)
    return None if number is None else machines[int(number)]


def some_here(option: argparse.Namespace) -> bool:
    """Whether some worker has its sessions on this machine."""
    return any(KEY not in spec for spec in option.tx)


def _counted(typed: str) -> tuple[int, str]:
    found = _SPEC.fullmatch(typed)
    assert found is not None
    return int(found["count"] or 1), found["spec"]


def _refuse(typed: str, spec: str) -> None:
    parts = [part.partition("=") for part in spec.split("//")]
    keys = [key for key, _, _ in parts]
    if not any(key in _CARRIERS and (value or key == "popen") for key, _, value in parts):
        raise pytest.UsageError(
            f"--tx {typed}: agents are started by `ssh=user@host` (with `//python=…` where it is not python3), or here by "
            "`popen`; docs/several-machines.md says what has to be there"
        )
    for unknown in ("via", "installvia", "socket", "chdir", "id"):
        if unknown in keys:
            raise pytest.UsageError(f"--tx {typed}: `{unknown}=` means nothing for agent tasks; leave it out")
    if len(keys) != len(set(keys)):
        raise pytest.UsageError(f"--tx {typed}: a key is there twice")
