"""A place made ready: the tree's files, its dependencies, a throw-away git, and an environment of its own."""

from __future__ import annotations

import os
import socket
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ..processes.environment import Environment, scrub
from .ahead import Prepared
from .places import Place, Role, place
from .removal import remove
from .repository import Repository
from .switch import Swept
from .workspace import move_to, sweep, tracked, write_git

if TYPE_CHECKING:
    from ..run import Run

PORTS = 20
"""How many ports each workspace may count on from `AGENTTASKS_PORT_BASE`."""


def ready(run: Run, role: Role, tree: str, head: str, *, base_tree: str | None = None) -> Place:
    """The place of `role`, holding exactly `tree`, with HEAD at `head`.

    `base_tree`: the tree of `head` where the files are another's (an attempt that goes on). Raises SetupFailed
    when `workspace.setup` fails on this tree.
    """
    known = run.ahead.take(role)
    where = _place(run, role)
    if known is not None and known.folder != _folder(where):
        known = None  # a program has put something else there meanwhile
    index_of = base_tree if base_tree != tree else None
    if known is not None and (known.tree, known.head, index_of) == (tree, head, None):
        return known.where

    def give_git() -> None:
        write_git(run.shadow, where, head, run.branch, run.tags, index_of=index_of)

    where = _moved(run, where, tree, None if known is None else known.swept)
    fresh, touched = run.provider.fresh(where, tree)
    if not fresh:
        if touched:
            run.events.write("dependencies-touched", role=role, paths=", ".join(touched))

        give_git()  # for set-up commands that ask for tags
        run.provider.provide(where, tree, partial(tracked, run.shadow, where))
        where = _moved(run, where, tree)
    give_git()
    _empty(where.tmp)
    return where


def make_ahead(run: Run, role: Role, tree: str, head: str) -> None:
    """Begin to make ready what `ready` will probably be asked for; set-up is left to that."""

    def work() -> Prepared | None:
        where = _moved(run, _place(run, role), tree)
        if not run.provider.fresh(where, tree)[0]:
            return Prepared(where, _folder(where))
        write_git(run.shadow, where, head, run.branch, run.tags)
        _empty(where.tmp)
        return Prepared(where, _folder(where), tree, head)

    run.ahead.start(role, work)


def sweep_ahead(run: Run, role: Role) -> None:
    """Begin to remove what an earlier use has left, for a place that will soon be asked for."""

    def work() -> Prepared:
        where = _place(run, role)
        return Prepared(where, _folder(where), swept=sweep(run.shadow, where, run.provider.kept(where)))

    run.ahead.start(role, work)


def bare(run: Run, role: Role, tree: str) -> Place:
    """The place of `role`, holding exactly `tree` to be read: no dependencies, no git."""
    where = move_to(run.shadow, place(run.shadow, role, run.worker), tree, ())
    _empty(where.tmp)
    return where


def _place(run: Run, role: Role) -> Place:
    """The place of `role`, with what is known of its index."""
    where = place(run.shadow, role, run.worker)
    last = run.ahead.given.get(role)
    return where if last is None else replace(where, seal=last.seal, tree=last.tree, listing=last.listing)


def _folder(where: Place) -> tuple[int, int, int]:
    """A folder that is made anew may get the number of the one before, but not its time."""
    found = where.path.lstat()
    return found.st_dev, found.st_ino, found.st_ctime_ns


def _moved(run: Run, where: Place, tree: str, swept: Swept | None = None) -> Place:
    where = run.ahead.given[where.role] = move_to(run.shadow, where, tree, run.provider.kept(where), swept)
    return where


def _empty(folder: Path) -> None:
    remove(folder)
    folder.mkdir()


def environment(
    repository: Repository,
    where: Place,
    source: Mapping[str, str],
    *,
    passed: Iterable[str],
    extra: Mapping[str, str],
) -> Environment:
    """What programs in a place inherit."""
    own = {
        "AGENTTASKS_ACTIVE": "1",
        "AGENTTASKS_WORKER": str(where.worker),
        "AGENTTASKS_ROLE": where.role,
        "AGENTTASKS_PORT_BASE": str(_port_base(repository.identifier, where.role, where.worker)),
        "COMPOSE_PROJECT_NAME": f"agenttasks-{zlib.crc32(os.fsencode(where.root)):08x}",
        "TMPDIR": str(where.tmp),
        "PYTHONDONTWRITEBYTECODE": "1",
        "GIT_CEILING_DIRECTORIES": str(where.root),
    }
    return scrub(source, passed, {**own, **extra})


@cache
def _port_base(repository: str, role: Role, worker: int) -> int:
    """The first of a block of free ports, the same at each run where that is possible; no two places share one."""
    blocks = 30000 // PORTS
    roles = get_args(Role)
    first = zlib.crc32(repository.encode()) + worker * len(roles) + roles.index(role)
    for step in range(blocks):
        # A prime beyond the places that usually are: nobody takes what is another's.
        base = 20000 + (first + step * 211) % blocks * PORTS
        if all(_free(port) for port in range(base, base + PORTS)):
            return base
    return 20000 + first % blocks * PORTS


def _free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
