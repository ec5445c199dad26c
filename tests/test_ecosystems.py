"""Projects of several kinds, end to end, with the tools that people use in them."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest

from pytest_agenttasks import preflight
from pytest_agenttasks.agents.contract import AgentWorkspace
from pytest_agenttasks.outcome import Kind, SetupError
from tests import opened as opened_runs
from tests.opened import append, fingerprint, outcome
from tests.queue_runs import Project
from tests.user_repository import UserRepository, make_repository, task_text
from tests.virtual_environments import install_editable, virtual_environment

opened = partial(opened_runs.opened, sandbox="auto")
"""Tools meet the sandbox here, where there is one."""

QUEUE = {f"tasks/{folder}/.gitkeep": "" for folder in ("pending", "done", "failed")}


def shell(folder: Path, line: str) -> None:
    subprocess.run(["/bin/sh", "-c", line], cwd=folder, check=True, capture_output=True)


# Node


@pytest.fixture
def npm(repository: UserRepository, monkeypatch: pytest.MonkeyPatch) -> UserRepository:
    """npm workspaces: `a` depends on `b` through a link in node_modules; both are installed in the user's checkout."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    monkeypatch.setenv("npm_config_offline", "true")
    monkeypatch.setenv("npm_config_audit", "false")
    monkeypatch.setenv("npm_config_fund", "false")
    monkeypatch.setenv("npm_config_update_notifier", "false")
    repository.commit(
        "packages",
        **{
            ".gitignore": "node_modules/\n",
            "package.json": '{"name": "top", "private": true, "workspaces": ["packages/*"]}',
            "packages/a/package.json": '{"name": "a", "version": "1.0.0", "dependencies": {"b": "1.0.0"}}',
            "packages/a/where.test.js": (
                "const assert = require('node:assert'); const fs = require('node:fs');\n"
                "require('node:test')('b', () => {\n"
                "  assert.ok(require.resolve('b').startsWith(fs.realpathSync('.') + '/packages/'));\n"
                "  assert.notStrictEqual(require('b').answer, 'broken');\n});\n"
            ),
            "packages/b/package.json": '{"name": "b", "version": "1.0.0", "main": "index.js"}',
            "packages/b/index.js": "exports.answer = 1;\n",
        },
    )
    shell(repository.path, "npm install --silent")
    assert os.readlink(repository.path / "node_modules/b") == "../packages/b"
    repository.commit("lock")
    return repository


NODE_GATE = {"name": "tests", "run": "node --test packages/a/"}
B = ("packages/b/index.js",)


def breaking(workspace: AgentWorkspace) -> None:
    text = "'broken'" if workspace.attempt == 1 else "2"
    (workspace.path / "packages/b/index.js").write_text(f"exports.answer = {text};\n")


@pytest.mark.node
@pytest.mark.parametrize(
    "recipe",
    [{"setup": "npm ci --silent", "setup_inputs": ["package-lock.json"]}, {"copy": ["node_modules"]}],
    ids=["npm ci", "copy"],
)
def test_npm_workspaces_use_the_attempts_packages(npm: UserRepository, recipe: dict[str, object]) -> None:
    with opened(npm, breaking, gates=[NODE_GATE], workspace=recipe) as run:
        before = fingerprint(npm.path / "node_modules")
        first = outcome(run, scope=B)
        assert first.kind is Kind.GATE, first
        assert "broken" in first.evidence
        second = outcome(run, first, scope=B)
        assert second.landed, second
    assert fingerprint(npm.path / "node_modules") == before
    assert npm.read("packages/b/index.js") == "exports.answer = 2;\n"
    assert npm.status() == ""


@pytest.mark.node
def test_an_install_by_the_agent_stays_in_its_workspace(npm: UserRepository) -> None:
    def agent(workspace: AgentWorkspace) -> None:
        shutil.rmtree(workspace.path / "node_modules")
        subprocess.run(["npm", "ci", "--silent"], cwd=workspace.path, env=workspace.environment, check=True)
        (workspace.path / "packages/b/index.js").write_text("exports.answer = 3;\n")

    with opened(npm, agent, gates=[NODE_GATE], workspace={"copy": ["node_modules"]}) as run:
        before = fingerprint(npm.path / "node_modules")
        assert outcome(run, scope=B).landed
    assert fingerprint(npm.path / "node_modules") == before


@pytest.mark.node
def test_a_linked_node_modules_of_npm_workspaces_is_refused(npm: UserRepository) -> None:
    with (
        opened(npm, gates=[NODE_GATE], workspace={"link": ["node_modules"]}) as run,
        pytest.raises(SetupError, match="npm workspace"),
    ):
        preflight.check(run, lambda line: None)


# Python


@pytest.fixture
def package(repository: UserRepository) -> UserRepository:
    """A src layout."""
    repository.commit(
        "package",
        **{
            ".gitignore": ".venv/\n",
            "pyproject.toml": "[project]\nname = 'pkg'\n",
            "src/pkg/__init__.py": "VALUE = 1\n",
        },
    )
    return repository


PYTHON_GATE = {
    "name": "tests",
    "run": (
        "python3 -c 'import pkg; print(pkg.VALUE, pkg.__file__)' && "
        'test "$(cd src && python3 -c "import pkg; print(pkg.__file__)")" = "$PWD/src/pkg/__init__.py" && '
        "python3 -c 'import pkg; assert pkg.VALUE != 0'"
    ),
}
PKG = ("src/pkg/__init__.py",)


def zero(workspace: AgentWorkspace) -> None:
    (workspace.path / "src/pkg/__init__.py").write_text(f"VALUE = {(workspace.attempt - 1) * 2}\n")


@pytest.mark.parametrize("how", ["pth", "finder"])
def test_an_editable_install_in_the_active_environment_does_not_hide_the_attempt(
    package: UserRepository, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    site = virtual_environment(package.path / ".venv")
    install_editable(site, how, package.path / "src/pkg")
    monkeypatch.setenv("PATH", f"{package.path}/.venv/bin:{os.environ['PATH']}")
    monkeypatch.setenv("VIRTUAL_ENV", f"{package.path}/.venv")
    with opened(package, zero, gates=[PYTHON_GATE]) as run:
        before = fingerprint(package.path / ".venv")
        first = outcome(run, scope=PKG)
        assert first.kind is Kind.GATE, first
        assert first.evidence.startswith("0 ")
        assert str(package.path) not in first.evidence
        second = outcome(run, first, scope=PKG)
        assert second.landed, second
        assert fingerprint(package.path / ".venv") == before


def test_a_session_sees_its_own_code_as_the_gates_do(
    package: UserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = virtual_environment(package.path / ".venv")
    install_editable(site, "finder", package.path / "src/pkg")
    monkeypatch.setenv("PATH", f"{package.path}/.venv/bin:{os.environ['PATH']}")
    seen = []

    def agent(workspace: AgentWorkspace) -> None:
        (workspace.path / "src/pkg/__init__.py").write_text("VALUE = 7\n")
        line = ["python3", "-c", "import pkg; print(pkg.VALUE)"]
        asked = subprocess.run(
            line,
            cwd=workspace.path / "tasks",
            env=workspace.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        seen.append(asked.stdout)

    with opened(package, agent, gates=[PYTHON_GATE]) as run:
        assert outcome(run, scope=PKG).landed
    assert seen == ["7\n"]


def test_an_environment_made_by_setup_is_used_before_the_active_one(
    package: UserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = virtual_environment(package.path / ".venv")
    install_editable(site, "pth", package.path / "src/pkg")
    monkeypatch.setenv("PATH", f"{package.path}/.venv/bin:{os.environ['PATH']}")
    setup = 'python3 -m venv --without-pip .venv; for d in .venv/lib/*/site-packages; do echo "$PWD/src" > $d/own.pth; done'
    prefix = {"name": "prefix", "run": 'test "$(python3 -c "import sys; print(sys.prefix)")" = "$PWD/.venv"'}
    with opened(
        package,
        zero,
        gates=[prefix, PYTHON_GATE],
        workspace={"setup": setup, "setup_inputs": ["pyproject.toml"]},
    ) as run:
        before = fingerprint(package.path / ".venv")
        first = outcome(run, scope=PKG)
        assert (first.kind, first.gate) == (Kind.GATE, "tests"), first
        assert outcome(run, first, scope=PKG).landed
        assert fingerprint(package.path / ".venv") == before


# Others


def test_a_repository_without_python_or_node(repository: UserRepository) -> None:
    files = {"go.mod": "module example.org/x\n", "main.go": "package main\n", ".gitignore": "target/\n"}
    repository.commit("go", **files)
    gates = [
        {"name": "vet", "run": '! grep -q TODO main.go && test -z "$PYTHONPATH"'},
        {"name": "build", "run": "mkdir -p target && cp main.go target/ && test $(ls target | wc -l) = 1"},
    ]
    with opened(repository, gates=gates, workspace={"cache": ["target"]}) as run:
        assert outcome(run).landed
    assert not (repository.path / "target").exists()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_a_makefile_run_from_within_make(repository: UserRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAKEFLAGS", "n -j8 --jobserver-auth=3,4")
    monkeypatch.setenv("MAKELEVEL", "1")
    repository.commit("make", Makefile="test:\n\ttest `wc -l < src/a.txt` -lt 3\n\techo done > made.log\n")
    with opened(repository, gates=[{"name": "make", "run": "make test && test -e made.log"}]) as run:
        assert outcome(run).landed


def test_a_repository_whose_path_and_files_have_odd_names(tmp_path: Path) -> None:
    odd = "a b'\"$x [ü]*.txt"
    repository = make_repository(tmp_path / 'sömé "odd" $dir [x]' / "пр o'ject")
    repository.commit(
        "first", **{**QUEUE, "src/a.txt": "a\n", f"src/{odd}": "a\n", ".gitignore": ".env file\ndeps dir/\n"}
    )
    repository.write(".env file", "A=1\n")
    repository.write("deps dir/it", "x")

    def agent(workspace: AgentWorkspace) -> None:
        (workspace.path / "src" / odd).write_text("b\n")
        (workspace.path / "src/new ñ").write_text("n\n")

    gate = {
        "name": "tests",
        "run": 'test -e ".env file" -a -e "deps dir/it" && test -d "$TMPDIR" && git log -1 --format=%s',
    }
    recipe = {"copy": [".env file", "deps dir"], "setup": "true"}
    with opened(repository, agent, gates=[gate], workspace=recipe) as run:
        found = outcome(run, scope=("src/",))
        assert found.landed, found
    assert repository.read(f"src/{odd}") == "b\n"
    assert repository.read("src/new ñ") == "n\n"
    assert repository.status() == ""


def test_a_monorepo_run_from_a_folder_of_it(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "project")
    service = {f"services/api/{name}": text for name, text in QUEUE.items()}
    settings = (
        "gates:\n  - {name: tests, run: test -e a.txt, cwd: services/api}\nretry_delay: 0\n"
        f"agent: {{name: command, command: 'sh {tmp_path}/agent.sh'}}\n"
    )
    repository.commit(
        "first", **{**service, "services/api/a.txt": "a\n", "web/b.txt": "b\n", "agenttasks.yaml": settings}
    )
    repository.write("services/api/tasks/pending/001-first.md", task_text("One", ("services/api/",)))
    project = Project(UserRepository(repository.path / "services/api"), tmp_path / "agent.sh")
    project.agent("echo x >> services/api/a.txt")
    result = project.run()
    assert result.outcomes == {"001-first": "landed"}, result.output
    assert repository.files_of("HEAD") == [
        "services/api/a.txt", "services/api/tasks/done/001-first.md", "services/api/tasks/pending/001-first.md"
    ]  # fmt: skip
    assert repository.status() == ""


def test_a_linked_worktree_lands_on_its_branch_and_leaves_the_main_one_alone(
    project: Project, tmp_path: Path
) -> None:
    main = project.repository
    main.git("branch", "-m", "main")
    main.git("worktree", "add", "-q", str(tmp_path / "project.agents"), "-b", "agents/queue")
    linked = UserRepository(tmp_path / "project.agents")
    main.write("src/a.txt", "the user's unfinished work\n")
    main.write("untracked.txt", "mine\n")
    but = [
        ".git/objects",
        ".git/agenttasks",
        ".git/worktrees",
        ".git/refs/heads/agents",
        ".git/logs/refs/heads/agents",
    ]
    before = fingerprint(main.path, but=but)
    there = Project(linked, project.script)
    there.task("001-first")
    there.task("002-second", scope=("src/new.txt",))
    result = there.run()
    assert result.outcomes == {"001-first": "landed", "002-second": "scope"}, result.output
    assert fingerprint(main.path, but=but) == before
    assert linked.status() == ""
    assert linked.git("symbolic-ref", "HEAD") == "refs/heads/agents/queue"
    assert linked.read("src/a.txt") == "a\nby 001-first\n"
    assert linked.git("reflog", "-3", "--format=%gs").splitlines()[1:] == [
        "agenttasks: 001-first landed",
        "agenttasks: queue",
    ]
    assert main.git("log", "-1", "--format=%s", "main") == "settings"
    assert main.git("stash", "list") == ""


def test_agents_and_gates_of_a_linked_worktree_see_a_repository_of_their_own(
    repository: UserRepository, tmp_path: Path
) -> None:
    repository.git("worktree", "add", "-q", str(tmp_path / "linked"), "-b", "agents/queue")
    linked = UserRepository(tmp_path / "linked")

    def agent(workspace: AgentWorkspace) -> None:
        append(workspace)
        line = "git commit -qam mine; git branch -f work; git tag evil; git config core.hooksPath /tmp; git worktree list"
        subprocess.run(
            ["/bin/sh", "-ec", line],
            cwd=workspace.path,
            env=workspace.environment,
            check=True,
            capture_output=True,
        )

    with opened(
        linked, agent, gates=[{"name": "tests", "run": "git rev-parse --is-inside-work-tree"}]
    ) as run:
        refs = linked.git("for-each-ref", "refs/heads/work", "refs/tags")
        config = (repository.path / ".git/config").read_text()
        assert outcome(run).landed
    assert linked.git("for-each-ref", "refs/heads/work", "refs/tags") == refs
    assert (repository.path / ".git/config").read_text() == config
