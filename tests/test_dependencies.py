from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from pytest_agenttasks import preflight
from pytest_agenttasks.agents.contract import AgentWorkspace
from pytest_agenttasks.outcome import Kind, SetupError
from pytest_agenttasks.run import Run
from pytest_agenttasks.trees import recipe_checks
from pytest_agenttasks.trees.checkout import ready
from pytest_agenttasks.trees.composition import addition, commit, compose, write_blob
from pytest_agenttasks.trees.dependencies import STAMP, Manifest, SetupFailed
from pytest_agenttasks.trees.places import Place, Role
from tests.opened import append, attempt_task, events, fingerprint, opened, outcome
from tests.user_repository import UserRepository

GATES = [{"name": "tests", "run": "true"}]
SETUP = "echo ran >> ../setups; mkdir -p deps && cp lock deps/lock"


@pytest.fixture
def with_lock(repository: UserRepository) -> UserRepository:
    """A repository with a lock file, and dependencies that git ignores."""
    repository.write(".gitignore", "*.log\nbuild/\ndeps/\n.env\ncache/\n")
    repository.commit("lock", lock="one\n")
    return repository


def made(run: Run, role: Role = "gate", commit_id: str | None = None) -> Place:
    head = commit_id or run.repository.tip()
    return ready(run, role, run.tree_of(head), head)


def candidate(run: Run, **files: str) -> str:
    """A commit on the tip that sets files, in the private repository only."""
    tip = run.repository.tip()
    changes = [
        addition(os.fsencode(name), write_blob(run.shadow, text.encode())) for name, text in files.items()
    ]
    return commit(run.shadow, compose(run.shadow, run.tree_of(tip), changes), tip, "candidate\n")


def setups(where: Place) -> int:
    file = where.root / "setups"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_setup_runs_once_until_its_inputs_change(with_lock: UserRepository) -> None:
    with opened(with_lock, gates=GATES, workspace={"setup": SETUP, "setup_inputs": ["lock"]}) as run:
        where = made(run)
        assert (where.path / "deps/lock").read_text() == "one\n"
        made(run, commit_id=candidate(run, **{"src/a.txt": "A\n"}))
        made(run)
        assert setups(where) == 1
        made(run, commit_id=candidate(run, lock="two\n"))
        assert (where.path / "deps/lock").read_text() == "two\n"
        assert setups(where) == 2
        agents = made(run, "agent")
        assert agents.path != where.path
        assert (agents.path / "deps/lock").read_text() == "one\n"


@pytest.mark.parametrize(
    "poison",
    [
        "echo poison > deps/lock",
        "printf 'ONE\\n' > deps/lock; touch -r lock deps/lock",
        "rm deps/lock",
        "mv deps aside; cp -a aside deps; rm -r aside",
        "rm -r deps; ln -s /tmp deps",
        "chmod 000 deps",
    ],
)
@pytest.mark.parametrize("kind", ["setup", "copy"])
def test_touched_dependencies_are_made_anew(with_lock: UserRepository, kind: str, poison: str) -> None:
    with_lock.write("deps/lock", "one\n")
    recipe = {"setup": {"setup": SETUP, "setup_inputs": ["lock"]}, "copy": {"copy": ["deps"]}}[kind]
    with opened(with_lock, gates=[{"name": "tests", "run": poison}], workspace=recipe) as run:
        before = fingerprint(with_lock.path)
        where = made(run)
        expected = fingerprint(where.path / "deps").keys()
        finished = run.provider.run(where, poison, where.root / "poison.log", 60)
        assert finished.ok
        made(run)
        assert not (where.path / "deps").is_symlink()
        assert (where.path / "deps/lock").read_text() == "one\n"
        assert fingerprint(where.path / "deps").keys() == expected
        assert "dependencies-touched" in events(run)
        assert fingerprint(with_lock.path) == before


def test_what_was_added_to_dependencies_is_removed_and_they_stay(with_lock: UserRepository) -> None:
    with opened(with_lock, gates=GATES, workspace={"setup": SETUP, "setup_inputs": ["lock"]}) as run:
        where = made(run)
        expected = fingerprint(where.path / "deps")
        poison = "mkdir -p deps/.cache/a/b; touch deps/.cache/a/b/c deps/new.py; ln -s /tmp deps/link; mkfifo deps/pipe"
        assert run.provider.run(where, poison, where.root / "poison.log", 60).ok
        made(run)
        assert fingerprint(where.path / "deps") == expected
        assert setups(where) == 1


def test_what_a_session_does_to_its_dependencies_reaches_no_gate_and_no_later_session(
    with_lock: UserRepository,
) -> None:
    seen: list[str] = []

    def agent(workspace: AgentWorkspace) -> None:
        seen.append((workspace.path / "deps/lock").read_text())
        (workspace.path / "deps/lock").write_text("poison\n")
        append(workspace)

    gate = {"name": "tests", "run": "grep one deps/lock && echo poison > deps/lock"}
    recipe = {"setup": SETUP, "setup_inputs": ["lock"]}
    with opened(with_lock, agent, gates=[gate], workspace=recipe) as run:
        assert attempt_task(run, name="001-first").outcome is not None
        this = attempt_task(run, name="002-second")
        assert this.outcome is not None
        assert this.outcome.landed
        assert seen == ["one\n", "one\n"]
    assert with_lock.files_of("HEAD") == [
        "src/a.txt",
        "tasks/done/002-second.md",
        "tasks/pending/002-second.md",
    ]


def test_a_cache_is_kept_for_each_role_and_never_lands(with_lock: UserRepository) -> None:
    def agent(workspace: AgentWorkspace) -> None:
        (workspace.path / "cache").mkdir(exist_ok=True)
        with (workspace.path / "cache/agent").open("a") as file:
            file.write("x")
        append(workspace)

    gate = {"name": "tests", "run": "test ! -e cache/agent && mkdir -p cache && echo >> cache/gate"}
    with opened(with_lock, agent, gates=[gate], workspace={"cache": ["cache/"]}) as run:
        for name in ("001-first", "002-second"):
            this = attempt_task(run, name=name)
            assert this.outcome is not None
            assert this.outcome.landed, this.outcome
        assert (made(run, "agent").path / "cache/agent").read_text() == "xx"
        assert (made(run).path / "cache/gate").read_text() == "\n" * 3
        assert not (made(run).path / "cache/agent").exists()
    assert not (with_lock.path / "cache").exists()


def test_a_cache_inside_dependencies_does_not_count_as_touched(with_lock: UserRepository) -> None:
    recipe = {"setup": SETUP, "setup_inputs": ["lock"], "cache": ["deps/.cache"]}
    with opened(with_lock, gates=GATES, workspace=recipe) as run:
        where = made(run)
        (where.path / "deps/.cache").mkdir()
        (where.path / "deps/.cache/x").touch()
        made(run)
        assert setups(where) == 1
        assert (where.path / "deps/.cache/x").exists()


def test_copies_are_private_and_renewed(with_lock: UserRepository) -> None:
    with_lock.write("deps/deep/file", "mine\n")
    (with_lock.path / "deps/link").symlink_to("deep/file")
    (with_lock.path / "deps/run").write_text("#!/bin/sh\n")
    (with_lock.path / "deps/run").chmod(0o755)
    with_lock.write(".env", "SECRET=1\n")
    recipe = {"copy": ["deps/", ".env", "deps/deep"], "setup_inputs": ["lock"]}
    with opened(with_lock, gates=GATES, workspace=recipe) as run:
        before = fingerprint(with_lock.path)
        where = made(run)
        assert sorted(fingerprint(where.path / "deps")) == ["deep", "deep/file", "link", "run"]
        assert os.readlink(where.path / "deps/link") == "deep/file"
        assert os.access(where.path / "deps/run", os.X_OK)
        assert (where.path / ".env").read_text() == "SECRET=1\n"
        (where.path / "deps/deep/file").write_text("theirs\n")
        made(run)
        assert (where.path / "deps/deep/file").read_text() == "mine\n"
        assert fingerprint(with_lock.path) == before
        stamp = (where.path / "deps/run").stat().st_ctime_ns
        made(run, commit_id=candidate(run, lock="two\n"))
        assert (where.path / "deps/run").stat().st_ctime_ns != stamp
        with_lock.write(".env", "SECRET=22\n")
        made(run)
        assert (where.path / ".env").read_text() == "SECRET=22\n"
        with_lock.write("deps/added", "new\n")
        made(run)
        assert (where.path / "deps/added").read_text() == "new\n"
        with_lock.write("deps/deep/added", "new\n")
        made(run)
        assert (where.path / "deps/deep/added").read_text() == "new\n"


def test_a_worktreeinclude_file_means_more_copies(with_lock: UserRepository) -> None:
    with_lock.commit(
        "include", **{".worktreeinclude": ".env\ndeps\nnot-ignored\nbuild/keep.json\n*.nothing\n"}
    )
    for name in (".env", "deps/x", "not-ignored", "build/keep.json", "build/other"):
        with_lock.write(name, name)
    with opened(with_lock) as run:
        pass
    with_lock.commit("settings", **{"agenttasks.yaml": "workspace: {copy: [deps]}\n"})
    with_lock.git("rm", "-q", "--cached", "not-ignored")
    with_lock.git("commit", "-qm", "untracked")
    with opened(with_lock) as run:
        where = made(run)
        present = fingerprint(where.path, but=[".git"])
        assert {".env", "deps/x", "build/keep.json"} <= present.keys()
        assert not {"not-ignored", "build/other", "deps/deps"} & present.keys()


def test_a_missing_copy_is_named(with_lock: UserRepository) -> None:
    with (
        opened(with_lock, gates=GATES, workspace={"copy": ["deps"]}) as run,
        pytest.raises(SetupError, match="`deps` is not in"),
    ):
        preflight.check(run, lambda line: None)


def test_what_a_linked_worktree_lacks_is_named_with_where_it_is(
    with_lock: UserRepository, tmp_path: Path
) -> None:
    with opened(with_lock, gates=GATES, workspace={"copy": ["./deps/"]}):
        pass
    with_lock.write("deps/x", "mine\n")
    with_lock.git("worktree", "add", "-q", str(tmp_path / "linked tree"), "-b", "agents/queue")
    linked = UserRepository(tmp_path / "linked tree")
    with opened(linked) as run:
        with pytest.raises(SetupError, match="`deps` is not in") as refused:
            preflight.check(run, lambda line: None)
        subprocess.run(str(refused.value).split("`")[3], shell=True, check=True)
        preflight.check(run, lambda line: None)
        assert (made(run).path / "deps/x").read_text() == "mine\n"


def test_a_link_leads_to_the_users_folder_and_is_neither_landed_nor_deleted(
    with_lock: UserRepository,
) -> None:
    with_lock.write("deps/x", "mine\n")
    (with_lock.path / "deps/.bin").symlink_to("x")

    def agent(workspace: AgentWorkspace) -> None:
        assert (workspace.path / "deps/x").read_text() == "mine\n"
        append(workspace)

    with opened(
        with_lock,
        agent,
        gates=[{"name": "tests", "run": "test -L deps && grep mine deps/x"}],
        workspace={"link": ["deps"]},
    ) as run:
        before = fingerprint(with_lock.path / "deps")
        for name in ("001-first", "002-second"):
            this = attempt_task(run, name=name)
            assert this.outcome is not None
            assert this.outcome.landed, this.outcome
        assert fingerprint(with_lock.path / "deps") == before
    assert "deps" not in with_lock.git("ls-files")


@pytest.mark.parametrize(
    ("recipe", "files", "words"),
    [
        ({"copy": ["src"]}, {}, "workspace.copy: `src` is tracked"),
        ({"cache": ["src/a.txt"]}, {}, "workspace.cache: `src/a.txt` is tracked"),
        ({"link": ["src"]}, {}, "workspace.link: `src` is tracked"),
        (
            {"link": ["node_modules"]},
            {"package.json": '{"workspaces": ["packages/*"]}', "node_modules/x/index.js": ""},
            "npm workspace",
        ),
        (
            {"link": ["web/node_modules"]},
            {"web/package.json": '{"workspaces": ["packages/*"]}', "web/node_modules/x": ""},
            "npm workspace",
        ),
        ({"link": ["env"]}, {"env/pyvenv.cfg": "home = /usr/bin\n"}, "virtual environment"),
        ({"link": ["node_modules"], "setup": "npm ci"}, {"node_modules/x/index.js": ""}, "workspace.setup"),
        ({"link": ["deps"]}, {}, "`deps` is not in"),
        (
            {"setup": "true", "setup_inputs": ["packages/*/package.json"]},
            {},
            "workspace.setup_inputs: `packages/*/package.json`",
        ),
    ],
)
def test_recipes_that_cannot_work_are_refused(
    with_lock: UserRepository, recipe: dict[str, object], files: dict[str, str], words: str
) -> None:
    with_lock.commit("ignore", **{".gitignore": "node_modules/\nenv/\ndeps/\n", **files})
    with opened(with_lock, gates=GATES, workspace=recipe) as run, pytest.raises(SetupError) as refused:
        preflight.check(run, lambda line: None)
    assert words in str(refused.value)


def test_links_into_the_users_own_packages_are_refused(with_lock: UserRepository) -> None:
    with_lock.commit("ignore", **{".gitignore": "node_modules/\n", "packages/b/index.js": ""})
    (with_lock.path / "node_modules/@scope").mkdir(parents=True)
    (with_lock.path / "node_modules/@scope/b").symlink_to("../../packages/b")
    with (
        opened(with_lock, gates=GATES, workspace={"link": ["node_modules"]}) as run,
        pytest.raises(SetupError, match="@scope/b"),
    ):
        preflight.check(run, lambda line: None)


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("pip install -e .", True),
        ("npm ci && python3 -m pip install -r requirements.txt", True),
        (".venv/bin/pip install -e .", False),
        ("python3 -m venv .venv && .venv/bin/python -m pip install -e .", False),
        (". env/bin/activate; pip install -e .", False),
        ("uv pip install --python env .", False),
        ("npm ci", False),
    ],
)
def test_a_setup_that_would_install_into_the_users_own_python_is_refused(
    with_lock: UserRepository, line: str, refused: bool
) -> None:
    with opened(with_lock, gates=GATES, workspace={"setup": line}) as run:
        tree = run.tree_of(run.repository.tip())
        if refused:
            with pytest.raises(SetupError, match="venv"):
                recipe_checks.refuse_unusable(run.provider, tree)
        else:
            recipe_checks.refuse_unusable(run.provider, tree)


def test_a_setup_that_fails_on_the_base_stops_the_run_with_the_end_of_its_output(
    with_lock: UserRepository,
) -> None:
    with opened(
        with_lock, gates=GATES, workspace={"setup": "seq 1 9999; echo no such registry; exit 7"}
    ) as run:
        with pytest.raises(SetupError) as refused:
            preflight.check(run, lambda line: None)
        text = str(refused.value)
        assert "gate `setup` is red on the base" in text
        assert "exit status 7" in text
        assert text.endswith("no such registry")
        log = run.queue.logs / "base.gate-setup.log"
        assert str(log) in text
        assert log.read_text().startswith("1\n2\n")


def test_a_setup_that_fails_on_the_attempt_is_its_failure_and_the_next_session_can_mend_it(
    with_lock: UserRepository,
) -> None:
    def agent(workspace: AgentWorkspace) -> None:
        (workspace.path / "lock").write_text("bad\n" if workspace.attempt == 1 else "good\n")

    recipe = {"setup": "! grep bad lock && mkdir deps", "setup_inputs": ["lock"]}
    with opened(with_lock, agent, gates=GATES, workspace=recipe) as run:
        first = outcome(run, scope=("lock",))
        assert (first.kind, first.gate) == (Kind.GATE, "setup")
        assert "workspace.setup" in first.summary
        assert first.evidence == "bad\n"
        assert first.log == str(run.queue.logs / "001-first/attempt-1.gate-setup.log")
        second = outcome(run, first, scope=("lock",))
        assert second.landed, second


def test_a_setup_that_fails_on_the_base_now_is_not_the_tasks_failure(
    with_lock: UserRepository, tmp_path: Path
) -> None:
    def agent(workspace: AgentWorkspace) -> None:
        (workspace.path / "lock").write_text("two\n")
        (tmp_path / "outage").touch()

    recipe = {"setup": f"test ! -e {tmp_path}/outage && mkdir deps", "setup_inputs": ["lock"]}
    with opened(with_lock, agent, gates=GATES, workspace=recipe) as run:
        found = outcome(run, scope=("lock",))
    assert (found.kind, found.gate) == (Kind.BASE_RED, "setup")


def test_a_setup_that_hangs_is_ended(with_lock: UserRepository) -> None:
    recipe = {"setup": "sleep 600", "setup_timeout": 0.2}
    with opened(with_lock, gates=GATES, workspace=recipe) as run, pytest.raises(SetupFailed, match="timeout"):
        made(run)


def test_a_lock_file_that_setup_rewrites_is_put_back(with_lock: UserRepository) -> None:
    recipe = {"setup": "echo more >> lock; mkdir deps", "setup_inputs": ["lock"]}
    with opened(with_lock, gates=[{"name": "tests", "run": "test -d deps"}], workspace=recipe) as run:
        assert outcome(run).landed
        assert (made(run).path / "lock").read_text() == "one\n"
    assert with_lock.files_of("HEAD") == [
        "src/a.txt",
        "tasks/done/001-first.md",
        "tasks/pending/001-first.md",
    ]


def test_setup_runs_again_for_the_usual_files_where_no_inputs_are_named(with_lock: UserRepository) -> None:
    with opened(with_lock, gates=GATES, workspace={"setup": SETUP}) as run:
        where = made(run)
        made(run, commit_id=candidate(run, lock="two\n"))
        assert setups(where) == 1
        made(run, commit_id=candidate(run, **{"package-lock.json": "{}"}))
        assert setups(where) == 2


def test_setup_sees_history_and_tags(with_lock: UserRepository) -> None:
    with_lock.git("tag", "v1")
    with opened(
        with_lock,
        gates=GATES,
        workspace={"setup": "git describe --tags > deps.log && git status --porcelain"},
    ) as run:
        assert (made(run).path / "deps.log").read_text().startswith("v1")


def test_dependencies_among_tracked_files_are_found_again(with_lock: UserRepository) -> None:
    with_lock.commit("package", **{"packages/a/index.js": ""})
    setup = "mkdir -p packages/a/deps deps && touch packages/a/deps/x deps/y && ln -s ../packages/a deps/a"
    with opened(with_lock, gates=GATES, workspace={"setup": setup}) as run:
        where = made(run)
        for path in ("packages/a/deps/x", "deps/y"):
            (where.path / path).unlink()
            made(run)
            assert (where.path / path).exists()
        assert os.readlink(where.path / "deps/a") == "../packages/a"


def test_setup_inherits_the_secrets_that_are_passed_to_it_and_names_those_withheld(
    with_lock: UserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", "t0")
    monkeypatch.setenv("OTHER_TOKEN", "t1")
    setup = 'mkdir -p deps && test "$REGISTRY_TOKEN" = t0 && test -z "$OTHER_TOKEN" && touch deps/made'
    gate = {"name": "tests", "run": 'test -z "$REGISTRY_TOKEN"'}
    with opened(with_lock, gates=[gate], workspace={"setup": setup}) as run:
        with pytest.raises(SetupFailed) as failed:
            made(run)
        said = failed.value.evidence.splitlines()[-1]
        assert "REGISTRY_TOKEN" in said
        assert said.endswith("; see workspace.env_pass)")
    with opened(with_lock, gates=[gate], workspace={"setup": setup, "env_pass": ["REGISTRY_*"]}) as run:
        assert (made(run).path / "deps/made").exists()
        assert outcome(run).landed


@pytest.mark.parametrize("named", [b"../../mine", b".."])
def test_a_forged_list_of_dependencies_has_nothing_removed(with_lock: UserRepository, named: bytes) -> None:
    with opened(with_lock, gates=GATES, workspace={"setup": SETUP, "setup_inputs": ["lock"]}) as run:
        where = made(run)
        stamp = where.root / STAMP
        found = msgspec.msgpack.decode(stamp.read_bytes(), type=Manifest)
        mine = where.root.parent / "mine"
        mine.mkdir()
        stamp.write_bytes(
            msgspec.msgpack.encode(Manifest("others", (*found.roots, named), {b"x": (0, 0, 0, 0)}))
        )
        made(run)
        assert mine.is_dir()
        assert where.root.is_dir()
        assert setups(where) == 2
