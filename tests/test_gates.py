from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_agenttasks import gate_run, gates, verdicts
from pytest_agenttasks.outcome import Kind, SetupError
from pytest_agenttasks.run import Run
from pytest_agenttasks.settings.records import GateSettings
from pytest_agenttasks.trees.composition import addition, commit, compose, write_blob
from pytest_agenttasks.trees.objects import entries
from pytest_agenttasks.verdicts import Verdict
from tests.opened import append, attempt_task, opened, outcome
from tests.user_repository import UserRepository


def check(run: Run, *, trust: bool = True, commit_id: str | None = None) -> list[Verdict]:
    head = commit_id or run.repository.tip()
    logs = run.queue.logs / "001-first"
    return gates.check(run, run.settings.gates, run.tree_of(head), head, logs, "attempt-1", trust=trust)


def candidate(run: Run, name: str, text: str) -> str:
    """A commit on the tip that sets one file, in the private repository only."""
    tip = run.repository.tip()
    tree = compose(
        run.shadow, run.tree_of(tip), [addition(name.encode(), write_blob(run.shadow, text.encode()))]
    )
    return commit(run.shadow, tree, tip, "candidate\n")


def one(repository: UserRepository, line: str, **more: object) -> Verdict:
    """The verdict of one gate on the last commit."""
    with opened(repository, gates=[{"name": "tests", "run": line, **more}]) as run:
        return check(run)[-1]


@pytest.fixture
def counter(tmp_path: Path) -> Callable[[], int]:
    """How often a gate with the line `echo >> ../count` … has run; the file is `tmp_path/count`."""

    def count() -> int:
        file = tmp_path / "count"
        return len(file.read_text().splitlines()) if file.exists() else 0

    return count


def test_gates_run_in_order_and_stop_at_the_first_red_one(repository: UserRepository, tmp_path: Path) -> None:
    lines = {"one": "true", "two": "echo said; false", "three": "true"}
    with opened(
        repository,
        gates=[{"name": n, "run": f"echo {n} >> {tmp_path}/order; {line}"} for n, line in lines.items()],
    ) as run:
        verdicts = check(run)
    assert [(v.gate, v.passed) for v in verdicts] == [("one", True), ("two", False)]
    assert (tmp_path / "order").read_text() == "one\ntwo\n" * 2, "once more before anyone is blamed"
    assert verdicts[1].evidence == "said\n"
    assert Path(verdicts[1].log).read_text() == "said\n"
    assert Path(verdicts[1].log).name == "attempt-1.gate-two.log"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("exit 3", "ended with exit status 3"),
        ("no-such-program-here", "ended with exit status 127 (a program that is not there)"),
        ("./src/a.txt", "ended with exit status 126 (a program that cannot be run)"),
        ("kill -9 $$", "was killed by signal 9"),
        ("echo x >> src/b.txt", "rewrote tracked files (src/b.txt)"),
        ("chmod +x src/b.txt", "rewrote tracked files (src/b.txt)"),
        ("rm src/b.txt", "rewrote tracked files (src/b.txt)"),
        ("printf 'B\\n' > src/b.txt", "rewrote tracked files (src/b.txt)"),
    ],
)
def test_a_red_gate_says_why(repository: UserRepository, line: str, reason: str) -> None:
    verdict = one(repository, line)
    assert not verdict.passed
    assert reason in verdict.reason


def test_a_gate_that_hangs_is_ended(repository: UserRepository) -> None:
    verdict = one(repository, "echo begun; (sleep 600) & sleep 600", timeout=0.3)
    assert "did not end within" in verdict.reason
    assert verdict.evidence == "begun\n"
    assert verdict.seconds < 30


def test_the_default_timeout_is_ten_minutes_or_five_times_the_base(repository: UserRepository) -> None:
    with opened(
        repository, gates=[{"name": "tests", "run": "true"}, {"name": "slow", "run": "true "}]
    ) as run:
        fast, slow = run.settings.gates
        times = {verdicts.definition(slow): 200.0}
        (run.repository.home / "gate-times.json").write_text(json.dumps(times))
        assert gate_run.default_timeout(run, fast) == 600
        assert gate_run.default_timeout(run, slow) == 1000


def test_too_much_output_ends_a_gate(repository: UserRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_run, "MAX_OUTPUT", 2 * 1024 * 1024)
    verdict = one(repository, "yes", timeout=60)
    assert "printed more than 2 MB" in verdict.reason
    assert Path(verdict.log).stat().st_size <= 2 * 1024 * 1024


def test_the_failure_has_the_last_16_kb_and_the_log_everything(repository: UserRepository) -> None:
    verdict = one(repository, "seq 1 20000; exit 1")
    assert len(verdict.evidence.encode()) < 16 * 1024 + 100
    assert verdict.evidence.endswith("\n19999\n20000\n")
    assert Path(verdict.log).read_text() == "".join(f"{n}\n" for n in range(1, 20001))


def test_a_gate_runs_in_its_folder(repository: UserRepository) -> None:
    assert one(repository, "test -e a.txt", cwd="src").passed
    assert one(repository, "true", cwd="lib").reason == "its folder `lib` is not in the tree"
    assert "its folder `src/a.txt`" in one(repository, "true", cwd="src/a.txt").reason


FOREIGN = (
    "PYTEST_ADDOPTS",
    "COV_CORE_SOURCE",
    "VIRTUAL_ENV",
    "GIT_TRACE",
    "PYTHONPATH",
    "SOME_TOKEN",
    "OTHER_TOKEN",
)


def test_a_gate_inherits_nothing_of_the_runner(
    repository: UserRepository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    line = f"env -0 > {tmp_path}/environment; touch $TMPDIR/left; exit 1"
    with opened(
        repository, gates=[{"name": "tests", "run": line, "env": {"OWN": "own"}, "env_pass": ["OTHER_*"]}]
    ) as run:
        for name in FOREIGN:
            monkeypatch.setenv(name, "/nowhere")
        monkeypatch.setenv("PLAIN", "plain")
        verdict = check(run)[-1]
        known = dict(item.split("=", 1) for item in (tmp_path / "environment").read_text().split("\0")[:-1])
        assert known["OWN"] == "own"
        assert known["PLAIN"] == "plain"
        assert known["OTHER_TOKEN"] == "/nowhere"
        assert known["AGENTTASKS_ACTIVE"] == "1"
        assert known["AGENTTASKS_ROLE"] == "gate"
        assert known["AGENTTASKS_WORKER"] == "0"
        assert 1024 < int(known["AGENTTASKS_PORT_BASE"]) < 65536
        assert known["COMPOSE_PROJECT_NAME"].startswith("agenttasks-")
        foreign = {
            n
            for n in known
            if n.startswith(("PYTEST_", "COV_", "VIRTUAL_ENV", "GIT_", "PYTHONPATH", "SOME_"))
        }
        assert foreign == {"GIT_CEILING_DIRECTORIES", "PYTEST_ADDOPTS"}
        assert "/nowhere" not in known["PYTEST_ADDOPTS"]
        assert "SOME_TOKEN" in verdict.evidence
        assert "OTHER_TOKEN" not in verdict.evidence
        assert verdict.withheld == ("SOME_TOKEN",)
        private = Path(known["TMPDIR"])
        assert (private / "left").exists()
        assert not private.is_relative_to(repository.path)
        check(run)
        assert os.listdir(private) == ["left"]


def test_a_gate_sees_history_and_tags_and_a_clean_checkout_of_the_tree_to_land(
    repository: UserRepository,
) -> None:
    repository.git("tag", "v1")
    line = 'test "$(git status --porcelain)" = "" && git describe --tags && test ! -e untracked.txt -a ! -e ignored.log'
    with opened(repository, gates=[{"name": "tests", "run": line}]) as run:
        repository.write("untracked.txt", "mine\n")
        repository.write("ignored.log", "mine\n")
        assert check(run)[-1].passed


def test_left_overs_of_a_gate_do_not_reach_the_next_tree(repository: UserRepository) -> None:
    line = (
        "test ! -e left.log -a ! -e build -a ! -e made.txt && mkdir build && touch left.log build/x made.txt"
    )
    with opened(
        repository,
        gates=[{"name": "tests", "run": line}, {"name": "again", "run": "test -e left.log -a -e build/x"}],
    ) as run:
        assert [v.passed for v in check(run)] == [True, True]
        assert [v.passed for v in check(run, commit_id=candidate(run, "src/a.txt", "A\n"))] == [True, True]


def test_a_verdict_is_asked_for_once(
    repository: UserRepository, tmp_path: Path, counter: Callable[[], int]
) -> None:
    line = f"echo >> {tmp_path}/count"
    with opened(repository, gates=[{"name": "tests", "run": line}]) as run:
        assert [v.cached for v in check(run)] == [False]
        assert [v.cached for v in check(run)] == [True]
        assert counter() == 1
        check(run, trust=False)
        assert counter() == 2
        check(run, commit_id=candidate(run, "src/a.txt", "A\n"))
        assert counter() == 3


def test_a_red_verdict_is_never_kept(repository: UserRepository, tmp_path: Path) -> None:
    with opened(repository, gates=[{"name": "tests", "run": f"test -e {tmp_path}/mended"}]) as run:
        assert not check(run)[-1].passed
        (tmp_path / "mended").touch()
        assert check(run)[-1].passed


@pytest.mark.parametrize(
    "change", [{"run": "echo >> {count} # changed"}, {"env": {"A": "1"}}, {"cwd": "src"}]
)
def test_another_definition_is_another_verdict(
    repository: UserRepository, tmp_path: Path, counter: Callable[[], int], change: dict[str, object]
) -> None:
    gate: dict[str, object] = {"name": "tests", "run": f"echo >> {tmp_path}/count"}
    with opened(repository, gates=[gate]) as run:
        head = run.repository.tip()
        check(run, commit_id=head)
    changed = {
        **gate,
        **{k: v.format(count=tmp_path / "count") if isinstance(v, str) else v for k, v in change.items()},
    }
    with opened(repository, gates=[changed]) as run:
        check(run, commit_id=head)
    assert counter() == 2


def test_another_program_on_the_path_is_another_verdict(
    repository: UserRepository, tmp_path: Path, counter: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("one", "two"):
        tool = tmp_path / folder / "some-linter"
        tool.parent.mkdir()
        tool.write_text(f"#!/bin/sh\necho >> {tmp_path}/count\n")
        tool.chmod(0o755)
    path = os.environ["PATH"]
    with opened(repository, gates=[{"name": "lint", "run": "cd src && some-linter"}]) as run:
        for folder, expected in (("one", 1), ("one", 1), ("two", 2)):
            monkeypatch.setenv("PATH", f"{tmp_path / folder}:{path}")
            check(run)
            assert counter() == expected


def test_other_dependencies_are_another_verdict(
    repository: UserRepository, tmp_path: Path, counter: Callable[[], int]
) -> None:
    repository.write(".gitignore", "deps\n")
    repository.write("deps", "one")
    with opened(
        repository,
        gates=[{"name": "t", "run": f"cat deps; echo >> {tmp_path}/count"}],
        workspace={"copy": ["deps"]},
    ) as run:
        check(run)
        check(run)
        assert counter() == 1
        repository.write("deps", "three")
        check(run)
        assert counter() == 2
        assert (tmp_path / "project/tasks/logs/001-first/attempt-1.gate-t.log").read_text() == "three"


def test_two_gates_of_one_name_are_two_gates(repository: UserRepository, tmp_path: Path) -> None:
    with opened(repository, gates=[{"name": "tests", "run": "true"}]) as run:
        both = [*run.settings.gates, GateSettings(name="tests", run="false")]
        head = run.repository.tip()
        found = gates.check(run, both, run.tree_of(head), head, run.queue.logs, "attempt-1")
        assert [v.passed for v in found] == [True, False]
        found = gates.check(run, both, run.tree_of(head), head, run.queue.logs, "attempt-1")
        assert [v.passed for v in found] == [True, False]


def test_a_tasks_own_gates_come_after_the_projects(repository: UserRepository) -> None:
    front = "gates:\n  - {name: own, run: grep -q attempt src/a.txt}\n  - {name: more, run: 'echo no; false'}"
    with opened(repository, gates=[{"name": "tests", "run": "true"}]) as run:
        this = attempt_task(run, front=front)
    assert [(v.gate, v.passed) for v in this.verdicts] == [("tests", True), ("own", True), ("more", False)]
    assert this.outcome is not None
    assert (this.outcome.kind, this.outcome.gate, this.outcome.evidence) == (Kind.GATE, "more", "no\n")


def test_red_on_the_attempt_alone_is_the_tasks_failure(repository: UserRepository) -> None:
    with opened(repository, gates=[{"name": "tests", "run": "! grep attempt src/a.txt"}]) as run:
        found = outcome(run)
    assert (found.kind, found.gate) == (Kind.GATE, "tests")
    assert found.evidence == "attempt 1\n"


def test_a_gate_that_needs_what_an_earlier_one_built(repository: UserRepository, tmp_path: Path) -> None:
    gates = [
        {"name": "build", "run": "mkdir build && cp src/a.txt build/"},
        {
            "name": "tests",
            "run": f"test -e build/a.txt && ! grep attempt build/a.txt && test -e {tmp_path}/mended",
        },
    ]
    with opened(repository, gates=gates) as run:
        with pytest.raises(SetupError, match="`tests` is red on the base"):
            outcome(run)
        (tmp_path / "mended").touch()
        found = outcome(run)
        assert (found.kind, found.gate) == (Kind.GATE, "tests")


def test_red_on_the_base_too_is_not(repository: UserRepository, tmp_path: Path) -> None:
    def agent(workspace: object) -> None:
        append(workspace)  # type: ignore[arg-type]
        (tmp_path / "outage").touch()

    line = f"test ! -e {tmp_path}/outage"
    with opened(repository, agent, gates=[{"name": "tests", "run": line}]) as run:
        found = outcome(run)
        assert (found.kind, found.gate) == (Kind.BASE_RED, "tests")
        with pytest.raises(SetupError, match="red on the base"):
            outcome(run)
        (tmp_path / "outage").unlink()
        assert outcome(run).kind is Kind.BASE_RED


def test_a_landed_commits_bookkeeping_needs_no_second_run(
    repository: UserRepository, tmp_path: Path, counter: Callable[[], int]
) -> None:
    repository.commit("memory", **{"CLAUDE.md": "# M\n\n## Completed Tasks Log\n"})
    with opened(repository, gates=[{"name": "tests", "run": f"echo >> {tmp_path}/count"}]) as run:
        assert outcome(run).landed
        assert counter() == 2
        head = run.repository.tip()
        assert entries(run.repository, head, [b"CLAUDE.md"])
        assert gates.green_base(run, run.settings.gates, run.tree_of(head), head) is None
        assert counter() == 2
        check(run)
        assert counter() == 3, "an inherited verdict does not stand in for a gate's run on that very tree"


@pytest.mark.parametrize(
    "left",
    [
        "rm -rf $TMPDIR",
        "rm -rf $TMPDIR; echo > $TMPDIR",
        "ln -sfn / $TMPDIR.2; rm -r $TMPDIR; mv $TMPDIR.2 $TMPDIR",
    ],
)
def test_a_gate_that_takes_its_temporary_folder_away_spoils_nothing(
    repository: UserRepository, left: str
) -> None:
    gates = [{"name": "one", "run": left}, {"name": "two", "run": "test -d $TMPDIR && test -w $TMPDIR"}]
    with opened(repository, gates=gates) as run:
        assert [verdict.passed for verdict in check(run)] == [True, True]
