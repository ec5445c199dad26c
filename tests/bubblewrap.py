"""Whether bubblewrap works here; without it tests of the sandbox are skipped, but fail where CI is set."""

from __future__ import annotations

import os

import pytest

from pytest_agenttasks.processes import sandbox

_CI = bool(os.environ.get("CI"))  # the tests' own environment has it no more


@pytest.fixture(scope="session")
def bubblewrap() -> sandbox.Sandbox:
    """The sandbox of this machine."""
    found = sandbox.find("auto")
    if not found.active:
        message = f"{found.reason}; {found.remedy}"
        if _CI:
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    return found
