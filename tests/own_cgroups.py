"""Cgroups that tests can make here; without any, tests of them are skipped, but fail where they are said to be there."""

from __future__ import annotations

import os

import pytest

from pytest_agenttasks.processes import cgroups

_NEEDED = bool(os.environ.get("AGENTTASKS_TEST_CGROUPS"))


@pytest.fixture(scope="session")
def own_cgroups() -> cgroups.Cgroups:
    """This machine's, with a limit of 64 MiB and 32 processes."""
    found = cgroups.find(64 * 1024**2, 32)
    if found.for_memory is None or found.for_processes is None:
        if _NEEDED:
            pytest.fail(found.reason, pytrace=False)
        pytest.skip(f"no cgroup can be made here: {found.reason}")
    return found
