"""What types cannot say about settings: names, paths, contradictions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from .durations import ALLOWED as DURATION_ALLOWED
from .explain import Flaw, flaw
from .strict_yaml import Place

if TYPE_CHECKING:
    from .records import GateSettings, Settings

SHELL_KEYS = ("cwd", "junit", "env", "env_pass", "known_red")
REVIEW_KEYS = ("command", "model", "max_turns", "budget_usd", "instructions")
"""What only a gate with `run` may have, and only one with `agent`; each is empty where it was not given."""

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ENV_GLOB = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*\*?|\*)")
_OWN_GATES = re.compile(r"(?i)setup|up|accept-\d+")
_OWN_PREFIX = "AGENTTASKS_"


def flaws(settings: Settings) -> Iterator[Flaw]:
    """Everything wrong with settings whose types are right, most basic first."""
    yield from gate_flaws(settings.gates)
    yield from _positive(("agent",), settings.agent, "timeout", "stall_timeout")
    yield from _positive(("workspace",), settings.workspace, "setup_timeout", "up_timeout", "down_timeout")
    if settings.workspace.up is not None and settings.workspace.down is None:
        yield flaw(
            ("workspace", "up"),
            "needs `workspace.down`, the line that ends what it starts (`down: 'true'` where nothing is to be ended)",
        )
    yield from _environment(("agent",), settings.agent.env, settings.agent.env_pass)
    yield from _writable(settings.agent.writable)
    yield from _environment(("workspace",), {}, settings.workspace.env_pass)
    yield from _paths(("protected",), settings.protected)
    yield from _paths(("drop",), settings.drop)
    for key in ("copy", "cache", "link", "setup_inputs"):
        yield from _paths(("workspace", key), getattr(settings.workspace, key))
    yield from _path(("memory", "file"), settings.memory.file)
    yield from _one_list_each(settings)
    yield from _links(settings.workspace.link)


def gate_flaws(gates: Sequence[GateSettings], place: Place = ("gates",)) -> Iterator[Flaw]:
    """Everything wrong with the gates at `place`, of the settings or of one task."""
    names: set[str] = set()
    for position, gate in enumerate(gates):
        here = (*place, position)
        yield from _sort_flaws(gate, here)
        if gate.name.casefold() in names:
            yield flaw((*here, "name"), f"`{gate.name}` is used twice; each gate needs a name of its own")
        names.add(gate.name.casefold())
        if _OWN_GATES.fullmatch(gate.name):
            yield flaw(
                (*here, "name"),
                f"`{gate.name}` is what the runner's own checks are called; choose another name",
            )
        yield from _positive(here, gate, "timeout")
        yield from _environment(here, gate.env, gate.env_pass)
        for key in ("cwd", "junit"):
            path = getattr(gate, key)
            if path is not None:
                yield from _path((*here, key), path, top_is_fine=key == "cwd")


def _sort_flaws(gate: GateSettings, here: Place) -> Iterator[Flaw]:
    """A gate is a shell line or a review, with the keys of that one only."""
    if gate.run and gate.agent:
        yield flaw((*here, "agent"), "a gate has either `run` or `agent`; make two gates of it")
        return
    if not gate.run and not gate.agent:
        yield flaw(
            (*here, "run"), "is missing; a gate needs `run`, a shell line, or `agent: claude`, a review"
        )
        return
    others = SHELL_KEYS if gate.agent else REVIEW_KEYS
    for key in others:
        if getattr(gate, key):
            kind, other = ("a review", "run") if gate.agent else ("a shell line", "agent")
            yield flaw((*here, key), f"belongs to gates with `{other}`; this one is {kind}: remove it")


def _positive(place: Place, record: object, *keys: str) -> Iterator[Flaw]:
    for key in keys:
        if getattr(record, key) == 0:
            yield flaw((*place, key), f"expected {DURATION_ALLOWED}, more than 0; got 0")


def _environment(place: Place, env: Mapping[str, str], env_pass: Sequence[str]) -> Iterator[Flaw]:
    for name in env:
        here = (*place, "env", name)
        if not _ENV_NAME.fullmatch(name):
            yield flaw(here, "not a variable's name: letters, digits and `_`, not starting with a digit")
        elif name.startswith(_OWN_PREFIX):
            yield flaw(here, f"`{_OWN_PREFIX}…` variables are set by the runner; choose another name")
    for position, glob in enumerate(env_pass):
        if not _ENV_GLOB.fullmatch(glob):
            yield flaw(
                (*place, "env_pass", position),
                f"`{glob}` is not a variable's name: letters, digits and `_`, not starting with a digit; "
                "a trailing `*` stands for any ending",
            )


def _paths(place: Place, paths: Sequence[str]) -> Iterator[Flaw]:
    for position, path in enumerate(paths):
        yield from _path((*place, position), path)


def _path(place: Place, path: str, *, top_is_fine: bool = False) -> Iterator[Flaw]:
    parts = PurePosixPath(path).parts
    if path.startswith(("/", "~")) or ".." in parts:
        yield flaw(
            place, f"`{path}` leaves the repository; write a path relative to its top folder, without `..`"
        )
    elif any(part.lower() == ".git" for part in parts):
        yield flaw(place, f"`{path}` is inside `.git`, which belongs to git alone")
    elif not parts and not top_is_fine:
        yield flaw(place, f"`{path}` is the whole top folder; name a file or folder in it")
    elif place[-1] in ("file", "junit") and path.endswith("/"):
        yield flaw(place, f"`{path}` names a folder; name a file")
    elif place[-1] == "junit" and any("**" in part and part != "**" for part in parts):
        yield flaw(place, f"`{path}`: `**` stands for folders, between slashes, such as `**/report.xml`")


def _writable(paths: Sequence[str]) -> Iterator[Flaw]:
    for position, path in enumerate(paths):
        if not path.startswith(("/", "~/")) or ".." in path.split("/") or not path.strip("~/."):
            yield flaw(
                ("agent", "writable", position),
                f"`{path}` is no place for an agent's own files; write an absolute path, or one that starts with `~/`, "
                "without `..`",
            )


def _one_list_each(settings: Settings) -> Iterator[Flaw]:
    owners: dict[PurePosixPath, str] = {}
    for key in ("copy", "cache", "link"):
        for position, path in enumerate(getattr(settings.workspace, key)):
            other = owners.setdefault(PurePosixPath(path), key)
            if other != key:
                yield flaw(
                    ("workspace", key, position), f"`{path}` is in `workspace.{other}` too; decide for one"
                )


def _links(links: Sequence[str]) -> Iterator[Flaw]:
    for position, path in enumerate(links):
        if ".venv" in PurePosixPath(path).parts:
            yield flaw(
                ("workspace", "link", position),
                f"`{path}` cannot be linked: tools would write into your own environment; "
                "use `workspace.copy` or `workspace.setup`",
            )
