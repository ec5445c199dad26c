"""Several runner processes on one repository, each with a run of its own: what a worker of `pytest -n` is to the core.

A process is told what to do line by line, and answers each with a line; its agent is a shell script.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pytest_agenttasks import attempt as attempt_module
from pytest_agenttasks import bookkeeping, preflight, recovery
from pytest_agenttasks.agents.contract import AgentResult, AgentWorkspace, Progress, Prompt
from pytest_agenttasks.attempt_record import earlier_failures
from pytest_agenttasks.outcome import Kind, Outcome, SetupError
from pytest_agenttasks.queue import open_queue
from pytest_agenttasks.run import NoExtensions, Run, open_run
from pytest_agenttasks.settings.loading import load
from pytest_agenttasks.settings.records import FILE_NAME
from pytest_agenttasks.tasks.task import Task, read
from pytest_agenttasks.trees import repository as repository_module
from pytest_agenttasks.trees.repository import discover
from tests.user_repository import UserRepository, task_text

MEMORY = "# Project\n\n## Do Not Touch\n\n- LICENSE\n\n## Active Task Queue\n\n## Completed Tasks Log\n"


def configured(repository: UserRepository, gate: str = "sh gate.sh", **more: object) -> None:
    """Settings, a memory file and a gate that is red when a file says `broken`."""
    document = {
        "agent": {"name": "scripted"}, "retry_delay": 0, "canary": "off", "sandbox": "none",
        "gates": [{"name": "tests", "run": gate}], **more,
    }  # fmt: skip
    repository.commit(
        "settings",
        **{"agenttasks.yaml": json.dumps(document), "CLAUDE.md": MEMORY, "gate.sh": "! grep -r broken src\n"},
    )


def queued(repository: UserRepository, tasks: dict[str, str], folder: str = "tasks/pending") -> None:
    """Task files, each with one file in scope, committed."""
    for name, file in tasks.items():
        repository.write(f"{folder}/{name}.md", task_text(f"Task {name}", (file,)))
    repository.commit("queue")


class RunnerProcess:
    """One of them; `worker` is its slot, `owner` its name in the journal."""

    def __init__(self, repository: UserRepository, script: Path, queue: str = "tasks/pending") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.runner_processes", str(repository.path), str(script), queue],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
            env=os.environ,
        )
        hello = self.answer()
        self.worker: int = hello["worker"]
        self.owner: str = hello["owner"]

    def tell(self, what: str, name: str = "") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([what, name]) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """What became of the command that was told first and is not answered yet."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the runner process has ended"
        found: dict[str, Any] = json.loads(line)
        return found

    def do(self, what: str, name: str = "") -> dict[str, Any]:
        self.tell(what, name)
        return self.answer()

    def attempt(self, name: str) -> dict[str, Any]:
        return self.do("attempt", name)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """Let it end by itself, in time."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.kill()


def hold(folder: Path, *tasks: str) -> str:
    """Shell lines for an agent whose sessions of these tasks go on until `go` is called."""
    names = "|".join(tasks)
    return (
        f'case "$TASK" in {names}) mkfifo {folder}/go-$TASK-$ATTEMPT\n'
        f"touch {folder}/there-$TASK-$ATTEMPT; read go < {folder}/go-$TASK-$ATTEMPT;; esac\n"
    )


def go(folder: Path, session: str) -> None:
    with (folder / f"go-{session}").open("w") as fifo:
        fifo.write("on\n")


def there(folder: Path) -> set[str]:
    """The sessions that have begun, as `TASK-ATTEMPT`."""
    return {file.name.removeprefix("there-") for file in folder.glob("there-*")}


def steps(script: Path) -> str:
    """What the processes have shown of what they do."""
    file = script.with_suffix(".steps")
    return file.read_text() if file.exists() else ""


@contextmanager
def processes(
    repository: UserRepository, script: Path, count: int, queue: str = "tasks/pending"
) -> Iterator[list[RunnerProcess]]:
    """So many of them, started one after the other; killed at the end, should they not end by themselves."""
    with ExitStack() as stack:
        started = []
        for _ in range(count):
            process = RunnerProcess(repository, script, queue)
            stack.callback(process.close)
            started.append(process)
        yield started


class _Scripted(NoExtensions):
    """The agent `scripted`: a shell script, with `$TASK`, `$ATTEMPT`, `$FILE` (the first of the scope) and `$PROMPT`.

    It shows life when there is a file `alive-TASK-ATTEMPT` beside the script; status 75 is an overloaded service.
    """

    def __init__(self, script: Path) -> None:
        self.script = script

    def run_agent(self, task: Task, workspace: AgentWorkspace, prompt: Prompt) -> AgentResult | None:
        variables = {
            "TASK": task.name, "ATTEMPT": str(workspace.attempt), "FILE": task.scope[0].pattern, "PROMPT": str(prompt.file),
        }  # fmt: skip
        alive = self.script.with_name(f"alive-{task.name}-{workspace.attempt}")

        def poll() -> None:
            workspace.progress(Progress(turns=1 if alive.exists() else None, session="s"))

        finished = workspace.execute(
            ["/bin/sh", "-eu", str(self.script)], stdout=workspace.logs / "said",
            env={**workspace.environment, **variables}, poll=poll,
        )  # fmt: skip
        if finished.exit_code == 75:
            return AgentResult(failure=Outcome(Kind.OVERLOADED, "the service is overloaded"))
        assert finished.ok, (workspace.logs / "said").read_text()
        return AgentResult()

    def knows_agent(self, name: str) -> bool:
        return name == "scripted"


def _obey(run: Run, what: str, name: str) -> dict[str, Any]:
    file = run.queue.pending / f"{name}.md"
    match what:
        case "check":
            said: list[str] = []
            preflight.check(run, said.append)
            return {"said": said}
        case "attempt":
            task = read(file)
            this = attempt_module.attempt(run, task, earlier_failures(run, task))
            assert this.outcome is not None
            return {"number": this.number, **_plain(this.outcome)}
        case "give-up":
            return {"note": bookkeeping.give_up(run, read(file))}
        case "commit-queue":
            return {"commit": bookkeeping.commit_queue(run)}
        case "die-at":
            _die_at(name)
            return {}
        case "recover":
            lines: list[str] = []
            return {"recovered": recovery.recover_worker(run, name, lines.append), "said": lines}
        case _:
            raise ValueError(what)


def _die_at(command: str) -> None:
    """From now on this process is killed where it would start this git command in the user's repository."""
    real = vars(repository_module)["git"]

    def git(args: Sequence[str], **options: Any) -> bytes:
        if args[0] == command:
            os.kill(os.getpid(), signal.SIGKILL)
        return bytes(real(args, **options))

    vars(repository_module)["git"] = git


def _plain(outcome: Outcome) -> dict[str, Any]:
    return {
        "kind": outcome.kind.value, "summary": outcome.summary, "evidence": outcome.evidence, "commit": outcome.commit,
    }  # fmt: skip


def main() -> None:
    top, script, pending = sys.argv[1:]
    repository = discover(Path(top))
    file = repository.top / FILE_NAME
    queue = open_queue(repository, repository.top / pending)
    steps = Path(script).with_suffix(".steps")

    def progress(task: str, now: Progress) -> None:
        with steps.open("a") as log:
            log.write(f"{task}: {now.step}\n")

    run = open_run(repository, queue, load(file), file, _Scripted(Path(script)), progress=progress)
    out = sys.stdout
    sys.stdout = sys.stderr
    print(json.dumps({"worker": run.worker, "owner": run.owner}), file=out, flush=True)
    try:
        for line in sys.stdin:
            what, name = json.loads(line)
            try:
                answer = _obey(run, what, name)
            except SetupError as error:
                answer = {"kind": "setup-error", "summary": str(error)}
            print(json.dumps(answer), file=out, flush=True)
    finally:
        run.close()


if __name__ == "__main__":
    main()
