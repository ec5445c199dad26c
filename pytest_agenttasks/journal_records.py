"""What a journal's lines say: one kind of record for each change of state."""

from __future__ import annotations

import time

import msgspec

from .outcome import Kind


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="record"):
    """`at` is epoch seconds; `owner` the process that wrote it (`owner.this_process`), "" in journals from before."""

    at: float = msgspec.field(default_factory=time.time)
    owner: str = ""


class RunStarted(Record, frozen=True, tag="run-started"):
    """`began` is when its run did, epoch seconds; `budget` are its limits, as the settings name them."""

    pid: int
    queue: str
    branch: str
    began: float = 0.0
    budget: dict[str, float] = {}


class AttemptStarted(Record, frozen=True, tag="attempt-started"):
    """`task_blob` is the git id of the frozen task text, `base` the commit it works on."""

    task: str
    attempt: int
    base: str
    task_blob: str


class CanaryAsked(Record, frozen=True, tag="canary-asked"):
    """What the canary said of the attempt's scope: yes, no, n/a or unknown."""

    task: str
    attempt: int
    guarded: str


class SessionBegins(Record, frozen=True, tag="session-begins"):
    """From here on what lies in the workspace is this attempt's: a kill must not lose it."""

    task: str
    attempt: int


class ProgramStarted(Record, frozen=True, tag="program-started"):
    """A process of the runner that must not outlive it; `started` as `supervisor.process_start_time` gives it."""

    pid: int
    started: float


class SessionStarted(Record, frozen=True, tag="session-started"):
    """A session begins, of the agent or of a review; its stream is `stem`.jsonl. `run`: when its run began; `cap_usd`: the
    most that it may cost, None without a limit."""

    task: str
    attempt: int
    run: float
    stem: str
    cap_usd: float | None = None


class SessionEnded(Record, frozen=True, tag="session-ended"):
    """The session of the process `of` is over, `cost_usd` is what it has cost: None where nobody knows, `estimated` where the
    agent did not live to tell."""

    of: str
    cost_usd: float | None
    estimated: bool = False


class AttemptStored(Record, frozen=True, tag="attempt-stored"):
    task: str
    attempt: int
    ref: str
    tree: str
    by_hand: bool = False


class Passed(Record, frozen=True, tag="passed"):
    """The gates passed, those that are shell lines: `commit` is the task's, `new` the tip it brings (bookkeeping on
    top), `old` where it goes. Reviews come after this record, and what is resumed from it goes through them again."""

    task: str
    attempt: int
    old: str
    new: str
    commit: str
    branch: str
    task_blob: str
    tracked: bool
    queue: str = ""


class Abandoned(Record, frozen=True, tag="abandoned"):
    """A passed attempt that will not land (the task was edited, or it no longer fits)."""

    task: str
    attempt: int


class Forward(Record, frozen=True, tag="forward"):
    """The branch is about to move from `old` to `new`, and with it the checkout at `top`, under an index lock that holds the
    text `lock`."""

    old: str
    new: str
    branch: str
    lock: str
    top: str = ""


class Forwarded(Record, frozen=True, tag="forwarded"):
    new: str


class Withdrawn(Record, frozen=True, tag="withdrawn"):
    """A forward that did not begin: the branch had moved, or the checkout was in the way."""

    new: str


class Landed(Record, frozen=True, tag="landed"):
    task: str
    attempt: int
    commit: str


class AttemptEnded(Record, frozen=True, tag="attempt-ended"):
    task: str
    attempt: int
    kind: Kind
    summary: str
    seconds: float = 0.0
    cost_usd: float | None = None
    turns: int | None = None
    session: str | None = None
    flaky: tuple[str, ...] = ()
    together: bool = False
    by_hand: bool = False

    @property
    def charged(self) -> bool:
        """Whether it uses up one of the task's attempts; what a person has tried does not."""
        return self.kind.charged and not self.by_hand


class ServicesStarted(Record, frozen=True, tag="services-started"):
    """`workspace.up` is about to run for the workspace of this role; `down` is the line that ends what it starts, with
    these variables."""

    role: str
    worker: int
    down: str
    variables: dict[str, str]


class ServicesEnded(Record, frozen=True, tag="services-ended"):
    """`down` has run; whether it could end them is in the notes."""

    role: str
    worker: int


class Failed(Record, frozen=True, tag="failed"):
    """The task is given up: it goes to the failed folder."""

    task: str


class Released(Record, frozen=True, tag="released"):
    """A person has put the task back: attempts count anew, and a reverted commit no longer holds it."""

    task: str


class Rejected(Record, frozen=True, tag="rejected"):
    """A person has taken the landed `commit` back, and has put the task back with a reason: as Released, and the next
    session is shown both."""

    task: str
    commit: str
    why: str


class Recovered(Record, frozen=True, tag="recovered"):
    """What the dead process `of` had left is ended, stored and written down: nothing more is to be done for it."""

    of: str


AnyRecord = (
    RunStarted
    | AttemptStarted
    | CanaryAsked
    | SessionBegins
    | ProgramStarted
    | SessionStarted
    | SessionEnded
    | AttemptStored
    | Passed
    | Abandoned
    | Forward
    | Forwarded
    | Withdrawn
    | Landed
    | AttemptEnded
    | ServicesStarted
    | ServicesEnded
    | Failed
    | Released
    | Rejected
    | Recovered
)
