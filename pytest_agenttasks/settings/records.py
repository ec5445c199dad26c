"""The settings as immutable records: every key of agenttasks.yaml, its type, its default, and what it is for."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from .durations import Seconds
from .sizes import Bytes

FILE_NAME = "agenttasks.yaml"

Text = Annotated[str, Meta(min_length=1)]
Texts = tuple[Text, ...]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Usd = Annotated[float, Meta(gt=0)]
GateName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$",
        extra={
            "words": "a name of at most 40 letters, digits, `.`, `_` or `-`, starting with a letter or digit"
        },
    ),
]
CommitType = Annotated[
    str,
    Meta(
        pattern=r"^[a-z][a-z0-9-]{0,19}$",
        extra={"words": "a commit type of at most 20 lower-case letters, digits or `-`, such as feat or fix"},
    ),
]
TimeOfDay = Annotated[
    str,
    Meta(
        pattern=r"^([01]?[0-9]|2[0-3]):[0-5][0-9]$",
        extra={"words": "a time of day from 00:00 to 23:59, such as 06:30"},
    ),
]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all parts of the settings share: immutable, by keyword, closed to unknown keys."""


def _says(description: str) -> Meta:
    return Meta(description=description)


def _duration(seconds: float) -> Seconds:
    """A default as msgspec's schema can take it: it encodes no values of foreign types."""
    default: Seconds = msgspec.field(default_factory=partial(Seconds, seconds))
    return default


class AgentSettings(Record, frozen=True, kw_only=True):
    """The agent and the limits of one session. Times in seconds, money in USD."""

    name: Annotated[
        Text, _says("claude, command, replay, or the name of an agent that a plugin registers")
    ] = "claude"
    command: Annotated[
        Text | Annotated[Texts, Meta(min_length=1)],
        _says("The program to start: a name or path, or a list with arguments"),
    ] = "claude"
    model: Annotated[Text | None, _says("The model; null: the agent's own default")] = None
    allowed_tools: Annotated[Texts, _says("The tools that a session may use")] = (
        "Read",
        "Edit",
        "Write",
        "Bash",
        "Glob",
        "Grep",
    )
    bash_allow: Annotated[Texts | None, _says("Commands that Bash may run; null: every command")] = None
    max_turns: Annotated[Count, _says("Turns that a session may take")] = 100
    timeout: Annotated[Seconds, _says("Longest time of a session")] = _duration(3600)
    stall_timeout: Annotated[Seconds, _says("Longest time without any output")] = _duration(720)
    repeat_limit: Annotated[
        Annotated[int, Meta(ge=2, le=1_000_000)] | None,
        _says("How often in a row a session may make the very same tool call; null: no limit"),
    ] = 10
    budget_usd: Annotated[Usd | None, _says("Most that one session may cost; null: no limit")] = None
    env: Annotated[dict[str, str], _says("Environment variables to set for the agent")] = {}
    env_pass: Annotated[
        Texts,
        _says("Secret-looking variables that the agent may inherit; a trailing * stands for any ending"),
    ] = ()
    writable: Annotated[
        Texts, _says("The agent's own files and folders, to stay writable in a sandbox, such as ~/.codex")
    ] = ()
    args: Annotated[tuple[str, ...], _says("More arguments for the agent's command line")] = ()


class GateSettings(Record, frozen=True, kw_only=True):
    """One gate: either a shell line (`run`) that must end with exit status 0 before a task lands, or an `agent`
    that reviews the change. `checks.gate_flaws` sees to it that it is one of both, with the keys of that one.
    """

    name: Annotated[GateName, _says("What the gate is called in reports")]
    run: Annotated[Text, _says("A shell line; exit status 0 means green")] = ""
    agent: Annotated[
        Annotated[
            Literal["claude"],
            Meta(extra={"words": "claude (a review needs a read-only session and an answer by a schema)"}),
        ]
        | None,
        _says(
            "Instead of `run`, claude: a fresh read-only session reviews the change, after all other gates"
        ),
    ] = None
    timeout: Annotated[Seconds | None, _says("null: max(10m, 5 x its time on the base); of a review 15m")] = (
        None
    )
    cwd: Annotated[Text | None, _says("Where to run, relative to the top folder; null: the top folder")] = (
        None
    )
    junit: Annotated[
        Text | None, _says("The JUnit file that the gate writes, as evidence that tests ran")
    ] = None
    env: Annotated[dict[str, str], _says("Environment variables to set for the gate")] = {}
    env_pass: Annotated[
        Texts, _says("Secret-looking variables that the gate may inherit; a trailing * stands for any ending")
    ] = ()
    known_red: Annotated[Texts, _says("Tests that are red on the base and may stay so")] = ()
    command: Annotated[
        Text | Annotated[Texts, Meta(min_length=1)] | None,
        _says(
            "Of a review: the program to start; null: `agent.command` where that agent is claude, else claude"
        ),
    ] = None
    model: Annotated[
        Text | None, _says("Of a review: the model; null: `agent.model` where that agent is claude")
    ] = None
    max_turns: Annotated[Count | None, _says("Of a review: turns that it may take; null: 40")] = None
    budget_usd: Annotated[Usd | None, _says("Of a review: most that it may cost; null: no limit")] = None
    instructions: Annotated[
        Text | None, _says("Of a review: what this project's reviewer is to look at besides the usual")
    ] = None


class WorkspaceSettings(Record, frozen=True, kw_only=True):
    """How a workspace gets its dependencies. Paths are relative to the git top folder."""

    setup: Annotated[Text | None, _says("A shell line that installs the dependencies, such as npm ci")] = None
    setup_inputs: Annotated[
        Texts,
        _says(
            "Files and folders that decide what setup installs; none: the usual manifests in the top folder"
        ),
    ] = ()
    setup_timeout: Annotated[Seconds, _says("Longest time of setup")] = _duration(1800)
    env_pass: Annotated[
        Texts, _says("Secret-looking variables that setup may inherit; a trailing * stands for any ending")
    ] = ()
    copy: Annotated[Texts, _says("Ignored files or folders that each workspace gets a private copy of")] = ()
    cache: Annotated[Texts, _says("Folders kept per worker and role from task to task; never landed")] = ()
    link: Annotated[
        Texts, _says("Folders of your checkout that workspaces see by a link, to be read only")
    ] = ()
    up: Annotated[
        Text | None,
        _says(
            "A shell line that starts services, before a session and before the gates; outside the sandbox"
        ),
    ] = None
    down: Annotated[
        Text | None,
        _says("A shell line that ends them; it runs whatever happens, after a kill by the next start"),
    ] = None
    up_timeout: Annotated[Seconds, _says("Longest time of `up`")] = _duration(600)
    down_timeout: Annotated[Seconds, _says("Longest time of `down`")] = _duration(120)


class MemorySettings(Record, frozen=True, kw_only=True):
    """The file in which a project tells agents what they must know."""

    file: Annotated[Text, _says("The memory file, relative to the top folder")] = "CLAUDE.md"
    completed_log_limit: Annotated[Count, _says("Entries that its Completed Tasks Log keeps")] = 30


class CommitSettings(Record, frozen=True, kw_only=True):
    """What a landed task's commit looks like."""

    type: Annotated[CommitType, _says("The Conventional Commits type of a task's commit")] = "feat"
    trailers: Annotated[bool, _says("Whether commits carry Agent-… trailers")] = True


class ReviewSettings(Record, frozen=True, kw_only=True):
    """When a run stops for a human."""

    every_tasks: Annotated[
        Count | None, _says("Stop after that many landed tasks since the last approval")
    ] = None
    every_hours: Annotated[
        Usd | None, _says("Stop when what landed or failed that many hours ago is not approved yet")
    ] = None


class BudgetSettings(Record, frozen=True, kw_only=True):
    """What may be used up: by a whole run, by one task, in a day. Sessions of reviews count."""

    usd: Annotated[Usd | None, _says("Money that a run may spend, in USD; null: no limit")] = None
    sessions: Annotated[Count | None, _says("Sessions that a run may hold; null: no limit")] = None
    task_usd: Annotated[
        Usd | None, _says("Money that all sessions of a task may cost, since it was queued; null: no limit")
    ] = None
    task_sessions: Annotated[
        Count | None, _says("Sessions that a task may take, uncharged ones too; null: no limit")
    ] = None
    day_usd: Annotated[
        Usd | None, _says("Money that all runs here may spend in a day (local time); null: no limit")
    ] = None
    day_sessions: Annotated[
        Count | None, _says("Sessions that all runs here may hold in a day; null: no limit")
    ] = None


class TaskBudget(Record, frozen=True, kw_only=True):
    """What a task may use up, of its own: instead of `budget.task_usd` and `budget.task_sessions`."""

    usd: Annotated[Usd | None, _says("Money that all its sessions may cost")] = None
    sessions: Annotated[Count | None, _says("Sessions that it may take")] = None


class LimitsSettings(Record, frozen=True, kw_only=True):
    """What one program (a session, a gate, set-up) may take, with all that it starts."""

    memory: Annotated[Bytes | None, _says("Memory of a program, such as 4G; null: 80% of what there is")] = (
        None
    )
    processes: Annotated[
        Annotated[int, Meta(ge=16, le=4_194_304)] | None,
        _says("Processes and threads of a program; null: 4096"),
    ] = None


class Settings(Record, frozen=True, kw_only=True):
    """Everything that steers a run. Immutable; the command line's values are already in it."""

    agent: AgentSettings = msgspec.field(default_factory=AgentSettings)
    gates: Annotated[
        tuple[GateSettings, ...], _says("What every task must pass, in this order; cheap ones first")
    ] = ()
    max_attempts: Annotated[Count, _says("Sessions that a task may use up")] = 2
    retry_delay: Annotated[Seconds, _says("Pause before the next attempt, doubling")] = _duration(30)
    retry_from: Annotated[
        Literal["auto", "base"],
        _says("auto: after a failed gate go on from the attempt's files; base: always start afresh"),
    ] = "auto"
    wait: Annotated[
        Seconds | None,
        _says("How long to wait for a usage limit or an outage; null: no limit (0 with CI set)"),
    ] = None
    until: Annotated[TimeOfDay | None, _says("Hand out nothing after that time of day")] = None
    gate_slots: Annotated[
        Count | None, _says("Sets of gates that run at a time, over all workers; null: no limit")
    ] = None
    protected: Annotated[Texts, _says("Paths that no task may change")] = ()
    tests: Annotated[Texts | None, _says("Globs of test files; null: the usual ones of every language")] = (
        None
    )
    drop: Annotated[
        Texts, _says("Paths whose changes are left out and listed, neither landed nor a failure")
    ] = ()
    workspace: WorkspaceSettings = msgspec.field(default_factory=WorkspaceSettings)
    memory: MemorySettings = msgspec.field(default_factory=MemorySettings)
    commit: CommitSettings = msgspec.field(default_factory=CommitSettings)
    review: ReviewSettings = msgspec.field(default_factory=ReviewSettings)
    budget: BudgetSettings = msgspec.field(default_factory=BudgetSettings)
    limits: LimitsSettings = msgspec.field(default_factory=LimitsSettings)
    sandbox: Annotated[
        Literal["auto", "bwrap", "none"],
        _says("What confines agents and gates: bubblewrap where it works, or nothing"),
    ] = "auto"
    canary: Annotated[
        Literal["warn", "strict", "off"], _says("What to do about gates that stay green on broken code")
    ] = "warn"
    keep_awake: Annotated[
        bool, _says("Keep the machine from going to sleep while a run goes on, where that can be asked for")
    ] = True
    notify: Annotated[Text | None, _says("A command that is given each event as JSON on standard input")] = (
        None
    )
