"""What goes over a connection to another machine: a name, a document as JSON in ASCII, and bytes.

One request at a time from here, one answer to each from there. In between, and in both directions at any time, come
messages that nobody answers: signs of life, steps, pieces of logs and of packs, the request to stop.
"""

from __future__ import annotations

import json
from typing import TypeVar

import msgspec

from ..agents.contract import AgentResult
from ..outcome import Outcome
from ..settings import explain
from ..settings.records import Settings
from ..tasks.scope import Rules
from ..trees.survey import Oddity

T = TypeVar("T")
Message = tuple[str, str, bytes]

# Requests.
CLONE = "clone"  # a Clone: there is one, and what it has
OPEN = "open"  # an Opening: a run on it, with a worker slot of its own
CHECK = "check"  # whether sessions can be held there at all
HAVE = "have"  # what it has, and the attempts that are stored there
READY = "ready"  # a Session: its workspace is made
HOLD = "hold"  # a Told: the session is held and stored
FETCH = "fetch"  # a Wanted: its logs, and its tree as a pack
FORGET = "forget"  # a Wanted: it is stored here now
# Unanswered.
BEAT = "beat"
STOP = "stop"
PACK = "pack"  # a piece
STEP = "step"  # a Progress
LOG = "log"  # a Piece
# Answers, besides a request's own name.
ENDED = "ended"  # an Outcome: the attempt is over
REFUSED = "refused"  # {"why"}: the run cannot go on
STOPPED = "stopped"  # as was asked
BROKEN = "broken"  # {"why", "trace"}: a defect

BEAT_SECONDS = 10.0
SILENCE = 60.0
"""Seconds without a sign of life after which each side takes the other one for gone."""


class Clone(msgspec.Struct, frozen=True, kw_only=True):
    """A clone to be made or brought up to date. `name` is its folder's, `identifier` that of the folder around it;
    `settings` are lines of its git configuration."""

    identifier: str
    name: str
    object_format: str
    branch: str
    settings: dict[str, str]
    shallow: bytes
    exclude: bytes
    attributes: bytes


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """`tip` is the branch's commit, `tags` a packed-refs file of tags; `settings` are the run's, `queue` as git names it."""

    tip: str
    tags: bytes
    settings: str
    settings_file: str
    typed: tuple[str, ...]
    pending: str
    queue: str
    tracked: bool


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that is stored there; `base` is the commit it began with, "" where that is not known."""

    task: str
    attempt: int
    tree: str
    base: str = ""


class Has(msgspec.Struct, frozen=True, kw_only=True):
    """Commits that the clone has, attempts that are stored there, and what is to be told of the opening."""

    commits: tuple[str, ...] = ()
    attempts: tuple[Held, ...] = ()
    said: tuple[str, ...] = ()
    top: str = ""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A session to come: of the task with this text (`data`), on `base`, beginning with the files of `start`."""

    task: str
    data: bytes
    attempt: int
    base: str
    tree: str
    start: str
    rules: str


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """`timeout` is in seconds, None: the settings' own. `budget_usd`: what the session may cost, None: no limit."""

    prompt: str
    timeout: float | None
    budget_usd: float | None = None


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What a session that was held has left. `result` is an AgentResult, None where none came about; `ended` the outcome
    that ended it instead."""

    result: str | None
    ended: str | None
    begun: bool
    stopped: bool
    denials: int
    notes: tuple[str, ...]
    tree: str
    oddities: tuple[Oddity, ...]
    left_over: tuple[bytes, ...]
    empty: tuple[bytes, ...]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A stored attempt; its objects without the files of the commit `known`."""

    task: str
    attempt: int
    known: str = ""


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """Of a log file: its name, and where in the file the bytes belong."""

    name: str
    offset: int


def message(name: str, document: object = None, data: bytes = b"") -> Message:
    return name, plain(document), data


def plain(document: object) -> str:
    """As JSON that execnet carries whatever an agent has put into a text."""
    return json.dumps(msgspec.to_builtins(document, enc_hook=float))


def read(text: str, kind: type[T]) -> T:
    """What `plain` was given."""
    return msgspec.convert(json.loads(text), kind, dec_hook=explain.decode)


def settings_of(text: str) -> Settings:
    return read(text, Settings)


def rules_of(text: str) -> Rules:
    return read(text, Rules)


def result_of(text: str) -> AgentResult:
    return read(text, AgentResult)


def outcome_of(text: str) -> Outcome:
    return read(text, Outcome)
