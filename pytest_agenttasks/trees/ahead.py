"""Work on places that goes on beside the run: one is cleaned or made ready before it is asked for.

Whoever uses a place takes what is known of it away first, so nothing is believed of a place that a program has been
in since. Work that failed is forgotten: the same is then done, and fails, where it is needed.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ..held_signals import STOP_SIGNALS
from .places import Place, Role
from .switch import Swept


@dataclass(frozen=True, slots=True)
class Prepared:
    """A place with nothing in it but the files of its index, dependencies and caches.

    `folder` is the one that this was done in, by device, number and time: another may be put in its place later. `tree` and
    `head` as `ready` made it, "" where it was only cleaned; `swept`, where it was, what was found then.
    """

    where: Place
    folder: tuple[int, int, int]
    tree: str = ""
    head: str = ""
    swept: Swept | None = None


class Ahead:
    """What goes on, by role; at most one piece of work for each."""

    def __init__(self) -> None:
        # A Ctrl-C is for the run: a git that dies of it here would leave a lock behind.
        self._threads = ThreadPoolExecutor(
            2, "ahead", initializer=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        )
        self._places: dict[Role, Future[Prepared | None]] = {}
        self.given: dict[Role, Place] = {}
        """Each place as it was when it was brought to a tree last."""

    def start(self, role: Role, work: Callable[[], Prepared | None]) -> None:
        """Begin `work` on the place of `role`, after what is going on there."""
        self.take(role)
        self._places[role] = self._threads.submit(work)

    def take(self, role: Role) -> Prepared | None:
        """What is known of the place, and from now on no more; None where it is nothing. Waits for what goes on."""
        begun = self._places.pop(role, None)
        return None if begun is None or begun.exception() is not None else begun.result()

    def submit(self, work: Callable[[], Any]) -> Future[Any]:
        """Begin something else, whose end somebody will wait for."""
        return self._threads.submit(work)

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
