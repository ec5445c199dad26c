"""Where checks of other parts join the examination. A seam that yields nothing is not listed."""

from __future__ import annotations

from collections.abc import Iterator

from ..run import Run
from ..settings.records import Settings
from .finding import Finding


def sandbox(settings: Settings) -> Iterator[Finding]:  # noqa: ARG001 - until it is joined
    """SEAM: what confines agents on this machine (`sandbox:` in the settings), from `processes.sandbox`."""
    yield from ()


def canary(run: Run, tree: str, tip: str) -> Iterator[Finding]:  # noqa: ARG001 - until it is joined
    """SEAM: whether some gate is red when everything is broken; called with the run's lock held, gates green on `tree`."""
    yield from ()
