"""The canary's two questions, put to real gates: in this process where one step is enough, else by whole runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from pytest_agenttasks import canary, gates, preflight
from pytest_agenttasks.base import base_of
from pytest_agenttasks.cli import main
from pytest_agenttasks.journal import Journal
from pytest_agenttasks.outcome import Kind, SetupError
from pytest_agenttasks.run import Run
from pytest_agenttasks.trees.dependencies import STAMP
from pytest_agenttasks.trees.places import place
from pytest_agenttasks.trees.replacement import files_of, replaced
from tests.opened import attempt_task, events, opened
from tests.queue_runs import Project, Result
from tests.user_repository import UserRepository, make_repository

LOADS_A = 'test "$(head -c1 src/a.txt)" = a'
"""A gate that notices when `src/a.txt` is broken, and nothing else."""


def named_tests(line: str, **more: object) -> dict[str, object]:
    return {"name": "tests", "run": line, **more}


def everything(run: Run) -> canary.Answer:
    return canary.everything(run, base_of(run))


def suite_properties(result: Result) -> dict[str, str]:
    suite = ET.parse(result.junit).find(".//testsuite/properties")
    return {} if suite is None else {p.get("name", ""): p.get("value", "") for p in suite}


@pytest.fixture
def python(tmp_path: Path) -> UserRepository:
    """A package in a src layout with a test of `used.py`, none of `unused.py`, and a queue."""
    made = make_repository(tmp_path / "project")
    made.write("src/shop/__init__.py", "")
    made.write("src/shop/used.py", "def one() -> int:\n    return 1\n")
    made.write("src/shop/unused.py", "def two() -> int:\n    return 2\n")
    made.write(
        "tests/test_used.py",
        "import unittest\n\nfrom shop.used import one\n\n\nclass Used(unittest.TestCase):\n"
        "    def test_one(self) -> None:\n        self.assertEqual(one(), 1)\n",
    )
    made.write("README.md", "# Shop\n")
    made.write("tasks/pending/.gitkeep", "")
    made.commit("first")
    return made


UNITTEST = "python3 -m unittest discover -q -s tests"
IN_SRC = f"PYTHONPATH=src {UNITTEST}"
LINT = "python3 -m compileall -q -f src && rm -rf src/shop/__pycache__"
"""Reads every file, as a linter does, and loads none."""


def test_gates_that_load_the_product_are_red_when_all_of_it_is_broken(python: UserRepository) -> None:
    with opened(python, gates=[named_tests(IN_SRC)], canary="strict") as run:
        answer = canary.at_start(run)
        assert answer is not None
        assert (answer.guarded, answer.gate, answer.count) == ("yes", "tests", 3)
        assert answer.why == "guarded by gate `tests`"
        assert "raise RuntimeError" in Path(answer.log).read_text()
        assert Path(answer.log) == run.queue.logs / "canary.gate-tests.log"
    assert python.status() == ""


def test_a_gate_that_looks_at_nothing_is_found_out(python: UserRepository) -> None:
    with opened(python, gates=[named_tests("true")], canary="strict") as run:
        assert everything(run).guarded == "no"
        with pytest.raises(SetupError, match="no gate is red, with everything broken") as raised:
            canary.at_start(run)
    text = str(raised.value)
    assert "src/shop/used.py" in text
    assert "npm test" in text
    assert "PYTHONPATH" in text
    assert "canary.garbled.gate-tests.log" in text


def test_a_gate_that_looks_at_another_checkout_is_found_out_though_a_linter_reads_this_one(
    python: UserRepository,
) -> None:
    elsewhere = f"PYTHONPATH={python.path}/src {UNITTEST}"
    with opened(
        python, gates=[{"name": "lint", "run": LINT}, named_tests(elsewhere)], canary="strict"
    ) as run:
        answer = canary.at_start(run)
        assert answer is not None
        assert (answer.guarded, answer.gate) == ("yes", "lint")
        assert "only reads the files" in answer.why
    with opened(python, gates=[named_tests(elsewhere)], canary="strict") as run:
        assert everything(run).guarded == "no"


def test_the_answer_is_known_the_second_time_and_after_bookkeeping(
    python: UserRepository, tmp_path: Path
) -> None:
    python.commit("memory", **{"CLAUDE.md": "# M\n\n## Completed Tasks Log\n"})
    count = tmp_path / "count"

    def asked() -> int:
        return count.read_text().count("\n") if count.exists() else 0

    gate = named_tests(f"echo >> {count}; {IN_SRC}")
    with opened(python, gates=[gate], canary="warn") as run:
        first = everything(run)
        assert asked() == 2, "the base, and the broken files"
        Path(first.log).unlink()
        assert everything(run) == first
        python.commit("book", **{"CLAUDE.md": "# M\n", "tasks/done/001-a.md": "# done\n"})
        assert everything(run) == first
        assert asked() == 2
        assert not Path(first.log).exists()
        python.commit("code", **{"src/shop/used.py": "def one() -> int:\n    return 2 - 1\n"})
        assert everything(run).guarded == "yes"
        assert asked() == 4
    changed = named_tests(f"echo >> {count}; {IN_SRC} -v")
    with opened(python, gates=[changed], canary="warn") as run:
        assert everything(run).guarded == "yes"
        assert asked() == 6


@pytest.mark.parametrize(
    ("scope", "guarded", "why"),
    [
        (("src/shop/used.py",), "yes", "guarded by gate `tests`"),
        (("src/shop/",), "yes", "guarded by gate `tests`"),
        (("src/shop/unused.py",), "no", "no gate is red"),
        (("src/shop/new.py",), "n/a", "no file of its scope exists yet"),
        (("README.md",), "n/a", "no file of its scope exists yet"),
        (("tests/test_used.py",), "yes", "guarded by gate `tests`"),
    ],
)
def test_a_task_is_guarded_when_a_gate_loads_a_file_of_its_scope(
    python: UserRepository, scope: tuple[str, ...], guarded: str, why: str
) -> None:
    def agent(workspace: object) -> None:
        path = workspace.path / (f"{scope[0]}new.py" if scope[0].endswith("/") else scope[0])  # type: ignore[attr-defined]
        path.write_text((path.read_text() if path.exists() else "") + "\n")

    with opened(
        python, agent, gates=[{"name": "lint", "run": LINT}, named_tests(IN_SRC)], canary="warn"
    ) as run:
        this = attempt_task(run, scope=scope)
        assert this.outcome is not None
        assert this.outcome.landed, this.outcome
        assert this.guarded == guarded
        assert any(note.startswith(f"canary: {why}") for note in this.notes), this.notes
        started = Journal(run.journal.file).history.guarded["001-first"]
        assert started.guarded == guarded
        document = json.loads((run.queue.logs / "001-first/attempt-1.json").read_text())
        assert document["guarded"] == guarded
    assert "canary" not in python.git("log", "--format=%B")


def test_what_an_interrupted_canary_leaves_is_no_gates_business(
    repository: UserRepository, tmp_path: Path
) -> None:
    """Dependencies that a set-up made from broken files must not serve a later gate."""
    repository.write(".gitignore", "made\n")
    gate = named_tests(f"test -e {tmp_path}/spoil && rm -rf made; {LOADS_A}", cwd=None)
    more = {"name": "more", "run": "cmp made src/b.txt"}
    with opened(
        repository, gates=[gate, more], canary="warn", workspace={"setup": "cp src/b.txt made"}
    ) as run:
        preflight.check(run, lambda line: None)
        (tmp_path / "spoil").touch()
        base = base_of(run)
        canary._verdicts(run, base, _broken_b(run), run.queue.logs, "canary")
        (tmp_path / "spoil").unlink()
        found = gates.check(run, run.settings.gates, base.tree, base.commit, run.queue.logs, "x", trust=False)
        assert [verdict.passed for verdict in found] == [True, True]


def _broken_b(run: Run) -> str:
    base = base_of(run)
    (file,) = [file for file in files_of(run.shadow, base.tree) if file.name == "src/b.txt"]
    return replaced(run.shadow, base.tree, [(file, b"broken\n")], run.shadow.git_dir / "test.index")


def test_a_set_up_that_takes_part_stays_whole(repository: UserRepository, tmp_path: Path) -> None:
    repository.write(".gitignore", "made\n")
    repository.commit("tool", **{"tools/check.sh": LOADS_A + "\n"})
    setup = {"setup": f"echo >> {tmp_path}/count; cp src/b.txt made", "setup_inputs": ["src/b.txt"]}
    with opened(
        repository, gates=[named_tests("sh tools/check.sh")], canary="strict", workspace=setup
    ) as run:
        answer = everything(run)
        assert (answer.guarded, answer.broken) == ("yes", ("src/a.txt",))
    assert (tmp_path / "count").read_text() == "\n"


def test_set_up_that_is_due_runs_on_whole_files(repository: UserRepository) -> None:
    repository.write(".gitignore", "made\n")
    with opened(
        repository,
        gates=[named_tests("cmp made src/b.txt")],
        canary="warn",
        workspace={"setup": "cp src/b.txt made"},
    ) as run:
        preflight.check(run, lambda line: None)
        (place(run.shadow, "gate", 0).root / STAMP).unlink()
        assert everything(run).guarded == "yes"


def test_where_there_is_nothing_to_break_nothing_is_asked(tmp_path: Path) -> None:
    made = make_repository(tmp_path / "project")
    made.write("README.md", "# Words\n")
    made.write("tasks/pending/.gitkeep", "")
    made.commit("first")
    with opened(made, gates=[named_tests("true")], canary="strict") as run:
        answer = canary.at_start(run)
        assert answer is not None
        assert answer.guarded == "n/a"
        assert "gate-started" not in events(run)


def test_a_stop_while_the_canary_asks_costs_nothing(project: Project, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "asked")
    a_alone = f'test -z "$(grep -x b src/b.txt)" || {{ echo > {tmp_path}/asked; exec sleep 600; }}'
    project.configure(gate=f"{LOADS_A} || {{ {a_alone}; false; }}", canary="warn")
    project.agent("touch ../spent; echo x >> src/a.txt")
    project.task("001-first")
    run = project.start()
    try:
        (tmp_path / "asked").read_text()
        run.send_signal(signal.SIGINT)
        output, _ = run.communicate(timeout=60)
    finally:
        run.kill()
    result = project.result(run.returncode, output)
    assert result.status == 2, output
    assert result.outcomes == {"001-first": "interrupted"}
    assert project.where("001-first") == ["pending"]
    assert not (tmp_path / "spent").exists()
    project.configure(gate=LOADS_A, canary="warn")
    assert project.run().properties["001-first"]["attempts"] == "1"
    assert project.where("001-first") == ["done"]


def test_the_checkout_that_a_gate_sees_is_clean(repository: UserRepository) -> None:
    line = 'test -z "$(git status --porcelain)"'
    with opened(repository, gates=[named_tests(line)], canary="warn") as run:
        assert everything(run).guarded == "no"


def test_a_gate_that_hangs_on_broken_files_is_red(repository: UserRepository) -> None:
    with opened(
        repository, gates=[named_tests(f"{LOADS_A} || exec sleep 600", timeout=3)], canary="warn"
    ) as run:
        assert everything(run).guarded == "yes"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f"{LOADS_A} || no-such-program-here", "could not be asked"),
        ("false", "is red with nothing broken"),
    ],
)
def test_what_is_no_answer_is_not_kept_and_stops_a_strict_run(
    repository: UserRepository, line: str, why: str
) -> None:
    with opened(repository, gates=[named_tests(line)], canary="strict") as run:
        assert everything(run).guarded == "unknown"
        assert not (run.repository.home / "canary").exists()
        with pytest.raises(SetupError, match=why):
            canary.at_start(run)


def test_a_canary_that_breaks_down_does_not_touch_the_attempt(
    repository: UserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise OSError("no space")

    monkeypatch.setattr(canary, "replaced", broken)
    with opened(repository, gates=[named_tests(LOADS_A)], canary="warn") as run:
        this = attempt_task(run)
        assert this.outcome is not None
        assert this.outcome.landed
        assert this.guarded == "unknown"
        assert this.notes == ["canary: the canary broke down: OSError: no space"]


def test_it_is_asked_before_the_session_and_once_for_all_attempts_on_a_base(
    repository: UserRepository,
) -> None:
    def agent(workspace: object) -> None:
        (workspace.path / "src/a.txt").write_text("b\n")  # type: ignore[attr-defined]

    with opened(repository, agent, gates=[named_tests(LOADS_A)], canary="warn") as run:
        first = attempt_task(run)
        assert first.outcome is not None
        assert first.outcome.kind is Kind.GATE
        told = events(run)
        assert told.index("attempt-started") < told.index("canary") < told.index("attempt-ended")
        second = attempt_task(run, first.outcome)
        assert second.guarded == "yes"
        assert sorted(file.name for file in (run.queue.logs / "001-first").glob("*.canary.*")) == [
            "attempt-1.canary.gate-tests.log"
        ]


def test_a_verified_result_that_lands_later_keeps_its_answer(repository: UserRepository) -> None:
    def agent(workspace: object) -> None:
        (workspace.path / "src/a.txt").write_text("a\nmore\n")  # type: ignore[attr-defined]
        repository.write("src/a.txt", "mine\n")

    with opened(repository, agent, gates=[named_tests(LOADS_A)], canary="warn") as run:
        first = attempt_task(run)
        assert first.outcome is not None
        assert first.outcome.kind is Kind.CHECKOUT
        repository.git("checkout", "--", "src/a.txt")
        second = attempt_task(run)
        assert second.outcome is not None
        assert second.outcome.landed
        assert second.agent is None
        assert second.guarded == "yes"
        assert events(run).count("canary") == 1


def test_off_asks_nothing(repository: UserRepository) -> None:
    with opened(repository, gates=[named_tests("true")], canary="off") as run:
        assert canary.at_start(run) is None
        assert attempt_task(run).guarded is None
        assert "canary" not in events(run)


def test_a_strict_run_on_blind_gates_is_refused_with_nothing_spent(project: Project) -> None:
    project.configure(gate="true", canary="strict")
    project.agent("touch ../spent; echo x >> src/a.txt")
    project.task("001-first")
    result = project.run()
    assert result.status == 4, result.output
    assert "no gate is red, with everything broken (src/a.txt, src/b.txt)" in result.output
    assert not (project.path.parent / "spent").exists()
    assert project.where("001-first") == ["pending"]


def test_a_warned_run_goes_on_and_says_it_everywhere(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project.configure(gate="true", canary="warn")
    project.task("001-first")
    project.task("002-new", scope=("src/new.txt",))
    project.agent("echo x >> $(test $AGENTTASKS_TASK = 002-new && echo src/new.txt || echo src/a.txt)")
    result = project.run()
    assert result.outcomes == {"001-first": "landed", "002-new": "landed"}, result.output
    warning = "WARNING: canary: no gate is red, with everything broken (src/a.txt, src/b.txt)"
    assert result.output.count(warning) == 2, "before the first task, and at the end"
    assert suite_properties(result)["canary"] == "no: no gate is red"
    assert {name: found["guarded"] for name, found in result.properties.items()} == {
        "001-first": "no",
        "002-new": "n/a",
    }
    assert "unguarded, so worth a look: 001-first (no gate was red" in result.output
    log = (project.path / "tasks/logs/orchestration.log").read_text()
    assert ' canary - guarded=no why="no gate is red"' in log
    assert ' canary 001-first guarded=no why="no gate is red" broken=1' in log
    monkeypatch.chdir(project.path)
    assert main(["status"]) == 0
    told = capsys.readouterr().out
    assert "001-first: landed unguarded" in told
    assert "canary of the last run: no, no gate is red" in told
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unguarded"] == ["001-first"]
    assert main(["show", "001-first"]) == 0
    assert "unguarded" in capsys.readouterr().out


def test_a_run_by_default_asks_and_is_content_with_a_gate_that_notices(project: Project) -> None:
    project.configure(gate=LOADS_A)
    file = project.path / "agenttasks.yaml"
    project.repository.commit("default", **{"agenttasks.yaml": file.read_text().replace("canary: off\n", "")})
    project.task("001-first")
    result = project.run()
    assert result.outcomes == {"001-first": "landed"}, result.output
    assert "WARNING" not in result.output
    assert "unguarded" not in result.output
    assert suite_properties(result)["canary"] == "yes: guarded by gate `tests`"
    assert result.properties["001-first"]["guarded"] == "yes"


@pytest.mark.skipif(shutil.which("npm") is None, reason="no npm here")
@pytest.mark.parametrize(
    ("script", "guarded"),
    [("node --test", "yes"), ("echo no test specified", "no"), ("node --test || true", "no")],
)
def test_a_node_project(tmp_path: Path, script: str, guarded: str) -> None:
    made = make_repository(tmp_path / "project")
    made.write("package.json", json.dumps({"name": "shop", "type": "module", "scripts": {"test": script}}))
    made.write("src/used.js", "export const one = () => 1;\n")
    made.write("src/unused.js", "export const two = () => 2;\n")
    made.write(
        "test/used.test.js",
        "import assert from 'node:assert';\nimport test from 'node:test';\n"
        "import { one } from '../src/used.js';\n\ntest('one', () => assert.equal(one(), 1));\n",
    )
    made.write("tasks/pending/.gitkeep", "")
    made.commit("first")

    def agent(workspace: object) -> None:
        with (workspace.path / "src/unused.js").open("a") as file:  # type: ignore[attr-defined]
            file.write("// more\n")

    with opened(made, agent, gates=[named_tests("npm test --silent")], canary="warn") as run:
        assert everything(run).guarded == guarded
        assert attempt_task(run, scope=("src/unused.js",)).guarded == "no"
        if guarded == "yes":
            assert attempt_task(run, name="002-used", scope=("src/used.js",)).guarded == "yes"
