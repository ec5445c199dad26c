"""The canary: would the gates notice if the code were broken? It breaks files on purpose, and asks them.

Two questions, both about the base of a run, both put to the project's gates in their order up to the first that is red:

- With the whole product broken, is some gate red? If not, the gates look at another checkout, or at nothing. Asked
  once before the first task; under `canary: strict` a no is fatal.
- With the existing files of one task's scope broken, is some gate red? If not, the task is unguarded: its green gates say
  nothing about its change. That is said, never held against the task.

The second is asked before the session, not when the result is about to land: nothing is at stake yet that an interrupt
could cost, the answer is journaled before the session begins, so a kill cannot lose it, and a retry on the same base
knows it already. What that costs is a gate run for a task that fails later; a guarded task's gates are mostly red
within seconds.

A gate that runs into its timeout is red: it did not pass, and it would not have passed an attempt either. One whose program
is missing, or whose `workspace.setup` fails, says nothing; neither does a canary that breaks down: the answer is unknown.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from . import gates, verdicts
from .base import Base, base_of
from .broken_files import garbled, of_product, of_scope, programs, raising
from .outcome import SetupError
from .processes.supervisor import SupervisorLost
from .report.printable import one_line, printable
from .run import Run
from .state_file import load, save
from .tasks.task import Task
from .trees.changes import shown
from .trees.checkout import ready
from .trees.composition import commit, compose, removal
from .trees.dependencies import STAMP, USUAL_INPUTS
from .trees.objects import entries
from .trees.places import place
from .trees.replacement import File, files_of, replaced
from .trees.repository import Repository
from .verdicts import Verdict

MESSAGE = "chore: break files to see whether a gate notices\n"
NAMED = 5
"""How many broken files a message names."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one question. `why` is one line for people; `gate` the one that was red, `log` its output;
    `broken` the first few of the `count` files that were broken. `n/a`: there is nothing to break."""

    guarded: Literal["yes", "no", "n/a", "unknown"]
    why: str
    gate: str | None = None
    log: str = ""
    broken: tuple[str, ...] = ()
    count: int = 0


def everything(run: Run, base: Base) -> Answer:
    """The first question. Where no gate runs into what every program dies of, also: does one at least read the files?"""
    files = of_product(files_of(run.shadow, base.tree), base.rules, _held(run, base.tree))
    if not files:
        return Answer(guarded="n/a", why="nothing is tracked that a gate could notice")
    logs = run.queue.logs
    answer = _ask(run, base, files, raising, logs, "canary")
    if answer.guarded != "no" or all(raising(file.name) == garbled(file.name) for file in files):
        return answer
    read = _ask(run, base, files, garbled, logs, "canary.garbled")
    if read.guarded == "yes":
        why = f"{read.why}, which only reads the files: no gate runs what it reads"
        return msgspec.structs.replace(read, why=why)
    return read


def of_task(run: Run, task: Task, base: Base, logs: Path, stem: str) -> Answer | None:
    """The second question; None where it is turned off. A canary that breaks down is an unknown, no error."""
    if run.settings.canary == "off":
        return None
    answer = _survived(lambda: _of_task(run, task, base, logs, stem))
    run.events.write(
        "canary",
        task=task.name,
        guarded=answer.guarded,
        why=answer.why,
        gate=answer.gate,
        broken=answer.count,
    )
    return answer


def _of_task(run: Run, task: Task, base: Base, logs: Path, stem: str) -> Answer:
    existing = files_of(run.shadow, base.tree)
    files = of_scope(existing, task.scope, task.front.allow_tests, base.rules, _held(run, base.tree))
    if not files:
        return Answer(guarded="n/a", why="no file of its scope exists yet that a gate could notice")
    return _ask(run, base, files, raising, logs, f"{stem}.canary")


def at_start(run: Run) -> Answer | None:
    """The first question as a run asks it; None where it is turned off. Raises SetupError under `strict`."""
    if run.settings.canary == "off":
        return None
    base = base_of(run)
    answer = _survived(lambda: everything(run, base))
    run.events.write("canary", guarded=answer.guarded, why=answer.why, gate=answer.gate, broken=answer.count)
    save(_last(run.repository), answer)
    if run.settings.canary == "strict" and answer.guarded in ("no", "unknown"):
        raise SetupError(f"{run.settings_file}: canary: {explain(answer)}")
    return answer


def last(repository: Repository) -> Answer | None:
    """What the first question's answer was when a run last asked it."""
    return load(_last(repository), Answer)


def _last(repository: Repository) -> Path:
    return repository.home / "canary" / "last.json"


def _survived(ask: Callable[[], Answer]) -> Answer:
    try:
        return ask()
    except (SetupError, SupervisorLost):
        raise
    except Exception as error:  # noqa: BLE001 - whatever breaks, it says nothing of the task
        why = f"the canary broke down: {one_line(f'{type(error).__name__}: {error}')}"
        return Answer(guarded="unknown", why=why)


def explain(answer: Answer) -> str:
    """What an answer to the first question means, in a line; a no or an unknown with what to try."""
    if answer.guarded in ("yes", "n/a"):
        return answer.why
    if answer.guarded == "unknown":
        return f"whether the gates look at this checkout is not known: {answer.why}"
    more = f", … {answer.count} in all" if answer.count > len(answer.broken) else ""
    return (
        f"{answer.why}, with everything broken ({', '.join(map(printable, answer.broken))}{more}): the gates look at another "
        f"checkout, or at nothing, and a green gate means nothing\n"
        "  another checkout: what is installed is not this checkout (install it editable in workspace.setup, as "
        "`pip install -e .`), a gate's line sets PYTHONPATH or names an absolute path, or a src layout is not on the path "
        "(`env: {PYTHONPATH: src}` of the gate)\n"
        "  nothing: `npm test` is a placeholder, a pattern matches no test, or an exit status is lost (`… || true`, a pipe)\n"
        f"  what they said: {answer.log or 'the logs named canary.*'}; `canary: warn` starts all the same, `off` does not ask"
    )


def _held(run: Run, tree: str) -> frozenset[str]:
    """What decides how gates run although it may look like product: programs they start, inputs of the set-up."""
    started = {name for gate in run.settings.gates for name in programs(gate.run, gate.cwd)}
    there = entries(run.shadow, tree, [os.fsencode(name) for name in sorted(started)])
    workspace = run.settings.workspace
    inputs = (*workspace.setup_inputs, *USUAL_INPUTS) if workspace.setup else ()
    files = {os.fsdecode(path) for path, entry in there.items() if entry.mode != "040000"}
    return frozenset(files.union(path.strip("/").removeprefix("./") for path in inputs))


def _ask(
    run: Run, base: Base, files: Sequence[File], broken: Callable[[str], bytes], logs: Path, stem: str
) -> Answer:
    """Whether a project's gate is red with `files` of the base broken; known answers are not asked for again."""
    note = _Note(run, base, files, broken)
    known = note.recall()
    if known is not None:
        return known
    names = tuple(shown(file.path) for file in files[:NAMED])
    red = gates.green_base(run, run.settings.gates, base.tree, base.commit)
    if red is not None:
        return Answer(guarded="unknown", why=f"gate `{red.gate}` is red with nothing broken", log=red.log)
    index = run.shadow.git_dir / f"canary-{run.worker}.index"
    tree = replaced(run.shadow, base.tree, [(file, broken(file.name)) for file in files], index)
    said = _verdicts(run, base, tree, logs, stem)
    last = said[-1]
    answer = Answer(guarded="no", why="no gate is red", log=last.log, broken=names, count=len(files))
    if not last.passed:
        silent = last.missing or last.gate not in [gate.name for gate in run.settings.gates]
        why = (
            f"gate `{last.gate}` could not be asked ({last.reason})"
            if silent
            else f"guarded by gate `{last.gate}`"
        )
        answer = msgspec.structs.replace(
            answer, guarded="unknown" if silent else "yes", why=why, gate=None if silent else last.gate
        )
    if answer.guarded != "unknown":
        note.keep(answer)
    return answer


def _verdicts(run: Run, base: Base, tree: str, logs: Path, stem: str) -> list[Verdict]:
    """What the gates say of a broken tree: each asked once, for a red one is what is hoped for."""
    head = commit(run.shadow, tree, base.commit, MESSAGE)  # a gate may ask whether its checkout is clean
    with _dependencies_of(run, base):
        return gates.check(run, run.settings.gates, tree, head, logs, stem, second_chance=False)


@contextmanager
def _dependencies_of(run: Run, base: Base) -> Iterator[None]:
    """Dependencies are made from whole files: what a set-up would make of broken ones must not serve a later gate."""
    where = place(run.shadow, "gate", run.worker)
    if not run.provider.fresh(where, base.tree)[0]:
        ready(run, "gate", base.tree, base.commit)
    stamp = where.root / STAMP
    before = stamp.read_bytes() if stamp.exists() else b""
    try:
        yield
    finally:
        if stamp.exists() and stamp.read_bytes() != before:
            stamp.unlink()


class _Note:
    """Where the answer to one question is kept: by base, what was broken, how, and all that a verdict depends on.

    The base is taken without queue and memory file: a bookkeeping commit asks nothing anew.
    """

    def __init__(self, run: Run, base: Base, files: Collection[File], broken: Callable[[str], bytes]) -> None:
        aside = [os.fsencode(path) for path in (*run.queue.folders, base.rules.memory_file)]
        found = entries(run.shadow, base.tree, aside)
        tree = compose(
            run.shadow, base.tree, [removal(path, entry.object_id) for path, entry in found.items()]
        )
        parts = [verdicts.key(run, gate, tree).encode() for gate in gates.shell(run.settings.gates)]
        parts += [part for file in files for part in (file.path, broken(file.name))]
        digest = hashlib.sha256(b"\0".join(parts)).hexdigest()
        self._file = run.repository.home / "canary" / f"{digest}.json"

    def recall(self) -> Answer | None:
        return load(self._file, Answer)

    def keep(self, answer: Answer) -> None:
        save(self._file, answer)
