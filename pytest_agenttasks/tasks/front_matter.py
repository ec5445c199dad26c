"""The YAML between `---` lines at the top of a task file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from ..settings import checks as settings_checks
from ..settings import explain, strict_yaml
from ..settings.durations import ALLOWED as DURATION_ALLOWED
from ..settings.durations import Seconds
from ..settings.explain import Flaw, flaw
from ..settings.records import CommitType, Count, GateSettings, Record, TaskBudget, Text, Usd
from .names import name_problem

LIVE_MARKERS = frozenset(
    {
        "skip",
        "skipif",
        "xfail",
        "parametrize",
        "usefixtures",
        "filterwarnings",
        "tryfirst",
        "trylast",
        "hookwrapper",
        "timeout",
        "flaky",
        "asyncio",
        "anyio",
        "trio",
        "xdist_group",
        "no_cover",
        "order",
        "first",
        "last",
        "repeat",
        "dependency",
        "benchmark",
        "forked",
        "django_db",
        "freeze_time",
        "vcr",
        "block_network",
        "allow_hosts",
        "enable_socket",
        "disable_socket",
        "hypothesis",
        "pytestmark",
    }
)
"""Markers that pytest or a common plugin acts on: as a tag they would change how the task is run."""

_OPERATORS = frozenset({"and", "or", "not", "True", "False", "None"})
_TAG = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_FENCE = re.compile(r"---[ \t]*")
_END = re.compile(r"(?:---|\.\.\.)[ \t]*")


class FrontMatter(Record, frozen=True, kw_only=True):
    """What a task asks for itself. Times in seconds, money in USD; None: as the settings say."""

    depends_on: tuple[Text, ...] = ()
    tags: tuple[Text, ...] = ()
    accept: tuple[Text, ...] = ()
    timeout: Seconds | None = None
    max_attempts: Count | None = None
    max_turns: Count | None = None
    model: Text | None = None
    budget_usd: Usd | None = None
    budget: TaskBudget = TaskBudget()
    type: CommitType | None = None
    gates: tuple[GateSettings, ...] = ()
    allow_tests: bool = False
    allow_no_change: bool = False


class FrontMatterError(ValueError):
    """What is wrong with a front matter; `line` counts from 1 in the task file."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


def split(lines: Sequence[str]) -> tuple[int, int]:
    """Where the YAML lies and the Markdown begins: `lines[first:end]` is YAML, `end + 1` the line after it.

    `(0, 0)` when there is none. Raises FrontMatterError when it is not closed.
    """
    first = next((at for at, line in enumerate(lines) if line.strip()), 0)
    if not lines or not _FENCE.fullmatch(lines[first]):
        return 0, 0
    for end in range(first + 1, len(lines)):
        if _END.fullmatch(lines[end]):
            return first + 1, end
    raise FrontMatterError(
        first + 1, "the front matter that starts here is not closed: end it with a line `---`"
    )


def parse(text: str, first_line: int, task: str) -> tuple[FrontMatter, tuple[FrontMatterError, ...]]:
    """The front matter of the task named `task`, and all that is wrong with it.

    `first_line` is the line of the task file on which `text` starts.
    """
    try:
        document = strict_yaml.parse(text, first_line=first_line)
    except strict_yaml.YamlError as error:
        return FrontMatter(), (FrontMatterError(error.line or first_line, f"front matter: {error.message}"),)
    raw = {} if document.value is None else document.value
    if not isinstance(raw, dict):
        message = f"front matter: expected keys and values, got {explain.found(raw)}"
        return FrontMatter(), (FrontMatterError(first_line, message),)
    raw = {key: value for key, value in raw.items() if value is not None}
    try:
        front = msgspec.convert(raw, FrontMatter, dec_hook=explain.decode)
        flaws = list(_flaws(front, task))
    except msgspec.ValidationError as error:
        front, flaws = FrontMatter(), [explain.explain(error, raw, FrontMatter)]
    return front, tuple(
        FrontMatterError(document.line(found.place) or first_line, f"front matter: {found.message}")
        for found in flaws
    )


def _flaws(front: FrontMatter, task: str) -> Iterator[Flaw]:
    if front.timeout is not None and front.timeout <= 0:
        yield flaw(("timeout",), f"expected {DURATION_ALLOWED}, more than 0; got 0")
    yield from settings_checks.gate_flaws(front.gates)
    seen: set[str] = set()
    for position, name in enumerate(front.depends_on):
        if problem := name_problem(name):
            yield flaw(
                ("depends_on", position), f"{problem}; a dependency is the name of a task file without `.md`"
            )
        elif name.casefold() == task.casefold():
            yield flaw(("depends_on", position), "the task depends on itself; take its own name out")
        elif name.casefold() in seen:
            yield flaw(("depends_on", position), f"`{name}` is listed twice")
        seen.add(name.casefold())
    for position, tag in enumerate(front.tags):
        if problem := _tag_problem(tag):
            yield flaw(("tags", position), problem)


def _tag_problem(tag: str) -> str | None:
    if not _TAG.fullmatch(tag):
        return f"`{tag}` is no tag for `pytest -m`: allowed are letters, digits and `_`, with a letter first"
    if tag in _OPERATORS:
        return f"`{tag}` is an operator of `pytest -m`; choose another name"
    if tag in LIVE_MARKERS or tag.startswith("pytest_"):
        return f"`{tag}` is a marker that pytest or a plugin acts on; choose another name"
    return None
