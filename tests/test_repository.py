"""Kinds of repositories: those a run works in, and those it refuses before anything is spent or changed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_agenttasks.agents.contract import AgentWorkspace
from pytest_agenttasks.outcome import SetupError
from pytest_agenttasks.trees import repository as repository_module
from pytest_agenttasks.trees import survey
from pytest_agenttasks.trees.repository import discover, write_config
from pytest_agenttasks.trees.repository_checks import refuse_unusable
from tests.opened import Agent, append, attempt_task, fingerprint, opened, outcome
from tests.queue_runs import Project
from tests.user_repository import UserRepository, make_repository

GATES = [{"name": "tests", "run": "test -e src/a.txt"}]
QUEUE = {f"tasks/{folder}/.gitkeep": "" for folder in ("pending", "done", "failed")}
FILES = {**QUEUE, "src/a.txt": "a\n", "src/b.txt": "b\n"}


@pytest.fixture(autouse=True)
def _no_kept_variables() -> Iterator[None]:
    """What one test's environment gave to git must not reach the next test."""
    repository_module._KEPT.clear()
    yield
    repository_module._KEPT.clear()


def lands(
    repository: UserRepository,
    agent: Agent = append,
    scope: tuple[str, ...] = ("src/a.txt",),
    gate: str = "true",
) -> None:
    """One task lands as one commit, and the user's git finds nothing to complain about."""
    with opened(repository, agent, gates=[{"name": "tests", "run": gate}]) as run:
        before = repository.head()
        found = outcome(run, scope=scope)
        assert found.landed, found
    assert repository.status() == ""
    assert repository.git("rev-list", "--count", f"{before}..HEAD") == "2"
    assert "error" not in repository.git("fsck", "--connectivity-only", "--no-dangling")


# What works


def test_a_sha256_repository(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "project", object_format="sha256")
    repository.commit("first", **FILES)
    lands(repository, gate="git log --oneline && test $(git rev-parse HEAD | wc -c) = 65")
    assert repository.read("src/a.txt") == "a\nattempt 1\n"


def test_a_shallow_clone(repository: UserRepository, tmp_path: Path) -> None:
    repository.commit("second", **{"src/a.txt": "a2\n"})
    clone = cloned(repository, tmp_path / "clone", "--depth=1")
    assert clone.git("rev-parse", "--is-shallow-repository") == "true"
    lands(clone, gate="git log --oneline")


def test_a_clone_that_borrows_its_objects(repository: UserRepository, tmp_path: Path) -> None:
    lands(cloned(repository, tmp_path / "clone", "--shared"))


def test_a_partial_clone_with_all_files_of_the_last_commit(
    repository: UserRepository, tmp_path: Path
) -> None:
    repository.commit("second", **{"src/a.txt": "a2\n"})
    repository.git("config", "uploadpack.allowFilter", "true")
    clone = cloned(repository, tmp_path / "clone", "--filter=blob:none")
    lands(clone)


def cloned(repository: UserRepository, path: Path, *args: str) -> UserRepository:
    """A clone on a branch of its own."""
    repository.git(
        "clone",
        "-q",
        *args,
        f"file://{repository.path}" if args != ("--shared",) else str(repository.path),
        str(path),
    )
    clone = UserRepository(path)
    clone.git("switch", "-q", "-c", "agents/queue")
    return clone


def test_a_worktree_of_a_bare_repository(repository: UserRepository, tmp_path: Path, home: Path) -> None:
    repository.git("config", "--global", "safe.bareRepository", "explicit")
    repository.git("clone", "-q", "--bare", str(repository.path), str(tmp_path / "bare.git"))
    bare = UserRepository(tmp_path / "bare.git")
    bare.git(f"--git-dir={bare.path}", "worktree", "add", "-q", str(tmp_path / "tree"), "-b", "agents/queue")
    lands(UserRepository(tmp_path / "tree"))


def test_a_submodules_own_checkout(repository: UserRepository, tmp_path: Path) -> None:
    around = make_repository(tmp_path / "around")
    around.commit("first", file="x\n")
    around.git(
        "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repository.path), "inner"
    )
    inner = UserRepository(around.path / "inner")
    inner.git("switch", "-q", "-c", "agents/queue")
    lands(inner)


def test_a_git_dir_elsewhere(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "project")
    repository.git("init", "-q", f"--separate-git-dir={tmp_path}/elsewhere.git")
    repository.commit("first", **FILES)
    lands(repository)


@pytest.mark.parametrize(
    ("scope", "settings"),
    [
        ("--local", {"core.splitIndex": "true", "core.sharedRepository": "group", "core.fileMode": "false"}),
        ("--local", {"feature.manyFiles": "true", "index.version": "4", "extensions.worktreeConfig": "true"}),
        (
            "--local",
            {"core.untrackedCache": "true", "core.fsmonitor": "true", "core.logAllRefUpdates": "false"},
        ),
        (
            "--local",
            {
                "commit.gpgSign": "true",
                "gpg.program": "/bin/false",
                "submodule.recurse": "true",
                "core.pager": "false",
            },
        ),
        (
            "--local",
            {
                "diff.noprefix": "true",
                "diff.external": "false",
                "color.ui": "always",
                "log.showSignature": "true",
            },
        ),
        (
            "--global",
            {
                "commit.gpgSign": "true",
                "core.fileMode": "false",
                "init.defaultBranch": "trunk",
                "core.splitIndex": "true",
            },
        ),
        (
            "--global",
            {
                "status.showUntrackedFiles": "all",
                "core.quotePath": "false",
                "diff.external": "false",
                "alias.status": "!false",
            },
        ),
    ],
    ids=lambda found: found if isinstance(found, str) else next(iter(found)),
)
def test_settings_of_git_that_people_use(
    repository: UserRepository, settings: dict[str, str], scope: str
) -> None:
    repository.commit(
        "settings", **{"agenttasks.yaml": "{agent: {name: scripted}, gates: [{name: t, run: 'true'}]}"}
    )
    for key, value in settings.items():
        repository.git("config", scope, key, value)
    repository.git("update-index", "-q", "--refresh")
    with opened(repository) as run:
        assert outcome(run).landed
    assert repository.status() == ""
    assert (
        repository.git("-c", "color.ui=never", "log", "-1", "--no-show-signature", "--format=%cn <%ce>")
        == "Test User <test@example.org>"
    )


@pytest.mark.parametrize("how", ["autocrlf", "attributes", "global attributes"])
def test_line_endings_are_the_users(repository: UserRepository, home: Path, how: str) -> None:
    if how == "autocrlf":
        repository.git("config", "--global", "core.autocrlf", "true")
    elif how == "attributes":
        repository.commit("eol", **{".gitattributes": "*.txt text eol=crlf\n"})
    else:
        (home / "attributes").write_text("*.txt text eol=crlf\n")
        repository.git("config", "--global", "core.attributesFile", "~/attributes")
    repository.git("rm", "-rq", "--cached", ".")
    repository.git("reset", "-q", "--hard")
    assert (repository.path / "src/a.txt").read_bytes() == b"a\r\n"

    def agent(workspace: AgentWorkspace) -> None:
        data = (workspace.path / "src/a.txt").read_bytes()
        assert data == b"a\r\n"
        (workspace.path / "src/a.txt").write_bytes(data + b"more\n")

    lands(repository, agent, gate="grep -q \"$(printf '\\r')\" src/a.txt")
    assert (repository.path / "src/a.txt").read_bytes() == b"a\r\nmore\r\n"
    assert repository.git("cat-file", "blob", "HEAD:src/a.txt") == "a\nmore"


def test_a_filter_of_the_user_cleans_and_smudges(repository: UserRepository) -> None:
    repository.git("config", "--global", "filter.upper.clean", "tr a-z A-Z")
    repository.git("config", "--global", "filter.upper.smudge", "tr A-Z a-z")
    repository.git("config", "--global", "filter.upper.required", "true")
    repository.commit("filter", **{".gitattributes": "*.up filter=upper\n", "src/x.up": "text\n"})
    assert repository.git("cat-file", "blob", "HEAD:src/x.up") == "TEXT"

    def agent(workspace: AgentWorkspace) -> None:
        assert (workspace.path / "src/x.up").read_text() == "text\n"
        (workspace.path / "src/x.up").write_text("more\n")

    lands(repository, agent, ("src/x.up",), gate="test $(cat src/x.up) = more || test $(cat src/x.up) = text")
    assert repository.read("src/x.up") == "more\n"
    assert repository.git("cat-file", "blob", "HEAD:src/x.up") == "MORE"


def test_what_the_user_ignores_everywhere_is_ignored(repository: UserRepository, home: Path) -> None:
    (home / "ignore").write_text("*.swp\n")
    repository.git("config", "--global", "core.excludesFile", "~/ignore")
    with (repository.path / ".git/info/exclude").open("a") as file:
        file.write("*.mine\n")

    def agent(workspace: AgentWorkspace) -> None:
        append(workspace)
        (workspace.path / "src/a.swp").touch()
        (workspace.path / "src/a.mine").touch()

    lands(repository, agent)
    assert repository.files_of("HEAD") == [
        "src/a.txt",
        "tasks/done/001-first.md",
        "tasks/pending/001-first.md",
    ]


HOOKS = (
    "pre-commit",
    "commit-msg",
    "post-commit",
    "post-checkout",
    "post-index-change",
    "reference-transaction",
)


@pytest.mark.parametrize("where", ["repository", "core.hooksPath"])
def test_no_hook_of_the_user_runs(repository: UserRepository, tmp_path: Path, where: str) -> None:
    folder = repository.path / ".git/hooks" if where == "repository" else tmp_path / "hooks"
    with opened(repository, gates=GATES):
        pass
    folder.mkdir(exist_ok=True)
    for name in HOOKS:
        (folder / name).write_text(f"#!/bin/sh\necho {name} >> {tmp_path}/ran\nexit 1\n")
        (folder / name).chmod(0o755)
    if where != "repository":
        repository.git("config", "--global", "core.hooksPath", str(folder))
    with opened(repository) as run:
        assert outcome(run).landed
    assert not (tmp_path / "ran").exists()


def test_a_large_file_that_nobody_touched_is_in_nobodys_way(
    repository: UserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit("large", **{"large.bin": "x" * 5000})
    monkeypatch.setattr(survey, "MAX_FILE", 1000)
    lands(repository)

    def agent(workspace: AgentWorkspace) -> None:
        (workspace.path / "large.bin").write_text("y" * 5000)

    with opened(repository, agent) as run:
        this = attempt_task(run, name="002-second", scope=("large.bin",))
        assert this.outcome is not None
        assert this.outcome.paths == ("large.bin",)


def test_the_reflog_says_who_moved_the_branch(repository: UserRepository) -> None:
    lands(repository)
    for name in ("HEAD", "work"):
        assert repository.git("reflog", name, "-1", "--format=%gs") == "agenttasks: 001-first landed"


def test_started_from_within_a_git_hook(project: Project, tmp_path: Path) -> None:
    other = make_repository(tmp_path / "other")
    other.commit("other", **FILES)
    before = fingerprint(other.path)
    project.environment = {
        "GIT_DIR": f"{other.path}/.git", "GIT_INDEX_FILE": f"{other.path}/.git/index", "GIT_WORK_TREE": str(other.path),
        "GIT_PREFIX": "", "GIT_EDITOR": ":", "GIT_AUTHOR_NAME": "From Hook", "GIT_AUTHOR_EMAIL": "hook@example.org",
        "GIT_COMMITTER_NAME": "From Hook", "GIT_COMMITTER_EMAIL": "hook@example.org",
        "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.abbrev", "GIT_CONFIG_VALUE_0": "12",
    }  # fmt: skip
    project.task("001-first")
    result = project.run()
    assert result.outcomes == {"001-first": "landed"}, result.output
    assert project.repository.status() == ""
    assert project.repository.git("log", "-1", "--format=%cn <%ce>") == "From Hook <hook@example.org>"
    assert fingerprint(other.path) == before


@pytest.mark.parametrize("how", ["folder", "queue"])
def test_reached_through_a_link(project: Project, tmp_path: Path, how: str) -> None:
    (tmp_path / "link").symlink_to(project.path)
    project.task("001-first")
    if how == "folder":
        project = Project(UserRepository(tmp_path / "link"), project.script)
        result = project.run()
    else:
        process = project.start(command=("--agent-tasks", f"{tmp_path}/link/tasks/pending"))
        output, _ = process.communicate(timeout=60)
        result = project.result(process.returncode, output)
    assert result.outcomes == {"001-first": "landed"}, result.output
    assert project.repository.status() == ""


# What is refused


Break = Callable[[UserRepository], object]


def _unborn(repository: UserRepository) -> None:
    repository.git("switch", "-q", "--orphan", "empty")
    repository.write("tasks/pending/001-first.md", "# T\n")


def _remote_default(repository: UserRepository) -> None:
    clone = repository.path.parent / "upstream"
    repository.git("clone", "-q", "--bare", str(repository.path), str(clone))
    repository.git("remote", "add", "upstream", str(clone))
    repository.git("fetch", "-q", "upstream")
    repository.git("remote", "set-head", "upstream", "work")


def _twice(repository: UserRepository) -> None:
    repository.git("worktree", "add", "-q", "--force", str(repository.path.parent / "second"), "work")


def _submodule(repository: UserRepository) -> None:
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{repository.head()},vendor/lib")
    repository.git("commit", "-qm", "submodule")
    (repository.path / "vendor/lib").mkdir(parents=True)


def _sparse(repository: UserRepository) -> None:
    repository.git("sparse-checkout", "set", "src", "tasks")


def _merging(repository: UserRepository) -> None:
    repository.git("switch", "-q", "-c", "side", "HEAD~1")
    repository.commit("side", **{"other.txt": "x\n"})
    repository.git("switch", "-q", "work")
    repository.git("merge", "-q", "--no-commit", "--no-ff", "-s", "ours", "side")


def _no_identity(repository: UserRepository) -> None:
    repository.git("config", "--global", "--remove-section", "user")


REFUSALS: dict[str, tuple[Break, list[str]]] = {
    "detached": (lambda r: r.git("switch", "-q", "--detach"), ["HEAD is detached", "git switch -c"]),
    "unborn": (_unborn, ["no commit yet", "git commit"]),
    "main": (
        lambda r: r.git("branch", "-m", "main"),
        ["default branch `main`", "git switch -c", "agenttasks init"],
    ),
    "master": (lambda r: r.git("branch", "-m", "master"), ["default branch `master`", "git switch -c"]),
    "remote default": (_remote_default, ["default branch `work`", "git switch -c"]),
    "checked out twice": (_twice, ["checked out twice", "second switch --detach", "git worktree remove"]),
    "submodule": (_submodule, ["submodules are not supported", "vendor/lib"]),
    "lfs": (
        lambda r: r.commit("lfs", **{"a/.gitattributes": "*.bin filter=lfs diff=lfs\n"}),
        ["Git LFS is not supported"],
    ),
    "sparse": (_sparse, ["sparse checkouts are not supported", "git sparse-checkout disable"]),
    "modified": (lambda r: r.write("src/a.txt", "mine\n"), ["uncommitted changes in src/a.txt", "git stash"]),
    "staged": (
        lambda r: (r.write("new ñ.txt", "n\n"), r.git("add", "new ñ.txt")),
        ["uncommitted changes in new ñ.txt", "git stash"],
    ),
    "deleted": (lambda r: (r.path / "src/b.txt").unlink(), ["uncommitted changes in src/b.txt"]),
    "merging": (_merging, ["in the middle of a merge", "git merge --abort"]),
    "no identity": (_no_identity, ["git config user.name", "git config user.email"]),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_refusal_names_the_remedy_and_spends_and_changes_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    spoil, words = REFUSALS[kind]
    project.agent("touch ../ran")
    project.repository.commit("task", **{"tasks/pending/001-first.md": project.task("001-first").read_text()})
    spoil(project.repository)
    before = fingerprint(project.path)
    monkeypatch.chdir(project.path)
    status = pytest.main(["--agent-tasks", "tasks/pending", "-p", "no:cacheprovider"])
    said = capfd.readouterr()
    assert status == 4
    for word in words:
        assert word in said.err, said.err
    assert "Traceback" not in said.out + said.err
    assert not (project.path.parent / "ran").exists()
    assert fingerprint(project.path) == before


def test_not_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tasks/pending").mkdir(parents=True)
    (tmp_path / "tasks/pending/001-first.md").write_text("# T\n")
    monkeypatch.chdir(tmp_path)
    assert pytest.main(["--agent-tasks", "tasks/pending", "-p", "no:cacheprovider"]) == 4
    assert "not inside a git checkout; run `git init`" in capfd.readouterr().err


def test_a_queue_in_the_git_folder_is_refused_in_words(
    repository: UserRepository, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (repository.path / ".git/tasks/pending").mkdir(parents=True)
    monkeypatch.chdir(repository.path)
    assert pytest.main(["--agent-tasks", ".git/tasks/pending", "-p", "no:cacheprovider"]) == 4
    assert "not inside a git checkout" in capfd.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_another_users_repository_is_refused_with_gits_own_words(repository: UserRepository) -> None:
    for folder, folders, files in os.walk(repository.path):
        for name in (folder, *(os.path.join(folder, name) for name in (*folders, *files))):
            os.chown(name, 12345, 12345, follow_symlinks=False)
    with pytest.raises(SetupError, match=r"safe\.directory"):
        discover(repository.path)
    repository.git("config", "--global", "--add", "safe.directory", str(repository.path))
    repository.git("config", "--global", "--add", "safe.directory", "/some/other")
    refuse_unusable(discover(repository.path))


def test_untracked_files_are_no_dirt(repository: UserRepository) -> None:
    repository.commit(
        "settings", **{"agenttasks.yaml": "{agent: {name: scripted}, gates: [{name: t, run: 'true'}]}"}
    )
    repository.write("untracked.txt", "mine\n")
    repository.write("src/a.log", "mine\n")
    with opened(repository) as run:
        assert outcome(run).landed
    assert repository.status() == "?? untracked.txt"


def test_a_partial_clone_without_the_files_names_a_command_that_mends_it(
    repository: UserRepository, tmp_path: Path
) -> None:
    repository.commit(
        "settings", **{"agenttasks.yaml": "{agent: {name: scripted}, gates: [{name: t, run: 'true'}]}"}
    )
    repository.git("config", "uploadpack.allowFilter", "true")
    repository.git(
        "clone",
        "-q",
        "--filter=blob:none",
        "--no-checkout",
        f"file://{repository.path}",
        str(tmp_path / "clone"),
    )
    clone = UserRepository(tmp_path / "clone")
    clone.git("symbolic-ref", "HEAD", "refs/heads/agents/queue")
    clone.git("update-ref", "refs/heads/agents/queue", "origin/work")
    with pytest.raises(SetupError, match="partial clone") as refused:
        refuse_unusable(discover(clone.path))
    command = str(refused.value).split("`")[1]
    subprocess.run(command.split(), cwd=clone.path, check=True, capture_output=True)
    refuse_unusable(discover(clone.path))


def test_a_worktree_that_was_deleted_by_hand_is_no_second_checkout(
    repository: UserRepository, tmp_path: Path
) -> None:
    _twice(repository)
    subprocess.run(["rm", "-r", str(tmp_path / "second")], check=True)
    refuse_unusable(discover(repository.path))


@pytest.mark.parametrize(
    "command", ["python3 tools/strip.py", "./tools/strip.py %f", "sh -c 'cat | tools/strip.py'"]
)
def test_a_filter_that_runs_out_of_the_checkout_is_refused(repository: UserRepository, command: str) -> None:
    repository.commit("filter", **{"tools/strip.py": "", ".gitattributes": "*.x filter=strip\n"})
    repository.git("config", "filter.strip.clean", command)
    with pytest.raises(SetupError, match=r"filter\.strip\.clean.*tools/strip\.py"):
        refuse_unusable(discover(repository.path))
    repository.git(
        "config",
        "filter.strip.clean",
        command.replace("./tools", "tools").replace("tools", f"{repository.path}/tools"),
    )
    refuse_unusable(discover(repository.path))


def test_a_git_planted_in_the_workspace_does_not_run(
    repository: UserRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit("ignore", **{".gitignore": "node_modules/\n"})

    def agent(workspace: AgentWorkspace) -> None:
        append(workspace)
        for folder in (workspace.path / "node_modules/.bin", workspace.path):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "git").write_text(f"#!/bin/sh\necho ran >> {tmp_path}/ran\nexit 1\n")
            (folder / "git").chmod(0o755)

    monkeypatch.setenv("PATH", f"node_modules/.bin:.::{os.environ['PATH']}")
    with opened(repository, agent, gates=GATES) as run:
        found = outcome(run)
    assert found.paths == ("git",)
    assert not (tmp_path / "ran").exists()


def test_settings_survive_being_written_and_read(tmp_path: Path, repository: UserRepository) -> None:
    wanted = {
        "filter.a.b c.clean": 'sed "s/\\t/ /" # x; y',
        "core.autocrlf": "input",
        "user.name": 'Jo "Q" \\ Ö\n',
        "filter.x].smudge": "cat",
        "user.email": "",
    }
    write_config(tmp_path / "config", wanted)
    listed = repository.git("config", "--list", "-z", "--file", str(tmp_path / "config"))
    assert dict(entry.split("\n", 1) for entry in listed.split("\0")[:-1]) == wanted


def test_a_key_without_a_value_means_true(repository: UserRepository) -> None:
    with (repository.path / ".git/config").open("a") as file:
        file.write("[core]\n\tautocrlf\n")
    assert discover(repository.path).settings["core.autocrlf"] == "true"
