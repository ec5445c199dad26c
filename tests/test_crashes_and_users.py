"""Users and fate in any order, as a state machine of hypothesis."""

from __future__ import annotations

import os

import hypothesis

from tests.crash.machine import Fate

EXAMPLES = int(os.environ.get("AGENTTASKS_TEST_FATES", "2"))
"""`make crashes` asks for more."""

TestFate = Fate.TestCase
TestFate.settings = hypothesis.settings(
    max_examples=EXAMPLES, stateful_step_count=6, deadline=None, database=None, print_blob=True,
    suppress_health_check=list(hypothesis.HealthCheck), phases=[hypothesis.Phase.generate],
)  # fmt: skip
