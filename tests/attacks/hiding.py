"""Changes that the runner is not to see: each is seen all the same, or left out of what lands."""

from __future__ import annotations

import json
from typing import Any

from tests.attacks.attack import ATTACK_TASK, HONEST_CHANGE, Attack, Played
from tests.attacks.scripts import script

PAYLOADS = ("other/kept.txt", "other/payload.txt", "other/more/payload.txt")


def _payload_is_named(played: Played) -> None:
    """Refused for what was hidden, not only for the means of hiding it."""
    record = json.loads((played.project.path / f"tasks/logs/{ATTACK_TASK}/attempt-1.json").read_text())
    for payload in PAYLOADS:
        if f'"{payload}"' in played.attack.script:
            assert {payload, "other"} & set(record["paths"]), (payload, record["paths"])


def _seen(name: str, what: str, body: str, **more: Any) -> Attack:
    return Attack(
        name=name,
        kind="hiding",
        what=what,
        script=script(body),
        outcome="scope",
        by=more.pop("by", "private repository"),
        check=_payload_is_named,
        **more,
    )


def _without_effect(
    name: str, what: str, body: str, landed: dict[str, str | bytes | None], **more: Any
) -> Attack:
    return Attack(
        name=name,
        kind="hiding",
        what=what,
        script=script(body),
        outcome="landed",
        by=more.pop("by", "private repository"),
        landed={**HONEST_CHANGE, **landed},
        **more,
    )


_EDIT = 'write("other/kept.txt", "edited\\n")\n'
_EDIT_UNNOTICED = """
file = Path("other/kept.txt")
times = file.stat()
file.write_text("KEPT\\n")
os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
"""

IGNORE_RULES = (
    _seen(
        "own-ignore-file",
        "adds a folder whose own `.gitignore` says `*`",
        'write("other/more/.gitignore", "*\\n"); write("other/more/payload.txt", "x")',
        by="ignore rules of the base",
    ),
    _seen(
        "top-ignore-file",
        "adds its payload to the top `.gitignore`",
        'write(".gitignore", "other/payload.txt\\n.gitignore\\n"); write("other/payload.txt", "x")',
        by="ignore rules of the base",
    ),
    _seen(
        "info-exclude",
        "names its payload in `.git/info/exclude`",
        'write(".git/info/exclude", "*\\n"); write("other/payload.txt", "x")',
    ),
    _seen(
        "excludes-file",
        "sets `core.excludesFile` to a file that names its payload",
        """
        write(".git/mine", "*\\n")
        git("config", "core.excludesFile", ".git/mine")
        write("other/payload.txt", "x")
        """,
    ),
    _seen(
        "runners-ignore-rules",
        "names its payload in the ignore rules of the runner's private repository",
        """
        write(victim / ".git/agenttasks/shadow.git/info/exclude", "*\\n")
        write(victim / ".git/agenttasks/shadow.git/info/user-excludes", "*\\n")
        write("other/payload.txt", "x")
        """,
        by="its settings are put back before each use",
    ),
    _without_effect(
        "ignored-payload",
        "leaves files that the base ignores",
        'write("other/payload.log", "x"); write("build/payload", "x"); git("add", "-f", ".")',
        {"other/payload.log": None, "build/payload": None},
        by="ignored files are named and never land",
        effect="detected",
        check=lambda played: _named_as_left_out(played),
    ),
)


def _named_as_left_out(played: Played) -> None:
    assert "other/payload.log" in played.log
    assert "build/" in played.log


INDEX = (
    _seen(
        "assume-unchanged",
        "marks a file assume-unchanged, then edits it",
        'git("update-index", "--assume-unchanged", "other/kept.txt")\n' + _EDIT,
    ),
    _seen(
        "skip-worktree",
        "marks a file skip-worktree, then edits it",
        'git("update-index", "--skip-worktree", "other/kept.txt")\n' + _EDIT,
    ),
    _seen(
        "sparse-checkout",
        "takes files away by a sparse checkout",
        'git("sparse-checkout", "set", "--no-cone", "/src/", "/tests/"); assert not Path("other").exists()',
    ),
    _seen(
        "file-mode",
        "sets `core.fileMode = false`, then makes a file executable",
        'git("config", "core.fileMode", "false"); os.chmod("other/kept.txt", 0o755)',
    ),
    _seen(
        "trust-ctime",
        "sets `core.trustctime = false`, then edits a file: same size, times put back",
        'git("config", "core.trustctime", "false"); git("config", "core.checkStat", "minimal")\n'
        + _EDIT_UNNOTICED,
    ),
    _seen(
        "same-size-edit",
        "edits a file within the second: same size, times put back",
        _EDIT_UNNOTICED,
    ),
    _seen(
        "old-times",
        "edits a file and dates it back to 1970, its folders too",
        _EDIT + 'os.utime("other/kept.txt", (0, 0)); os.utime("other", (0, 0)); os.utime(".", (0, 0))',
    ),
    _seen(
        "fsmonitor",
        "claims by an fsmonitor hook and the untracked cache that nothing has changed",
        """
        write(".git/says-nothing", "#!/bin/sh\\nprintf 'token\\\\0'\\n")
        os.chmod(".git/says-nothing", 0o755)
        git("config", "core.fsmonitor", ".git/says-nothing")
        git("config", "core.untrackedCache", "true")
        git("update-index", "--fsmonitor", "--untracked-cache")
        write("other/kept.txt", "edited\\n")
        """,
    ),
    _seen(
        "runners-index",
        "marks a file assume-unchanged in the runner's own index",
        """
        shadow = str(victim / ".git/agenttasks/shadow.git")
        os.environ.update(GIT_DIR=shadow, GIT_WORK_TREE=os.getcwd(), GIT_INDEX_FILE=shadow + "/agent-0.index")
        with blocked:
            git("update-index", "--assume-unchanged", "other/kept.txt")
        write("other/kept.txt", "edited\\n")
        """,
        by="sandbox (state folder out of reach)",
        effect="needs sandbox",
    ),
)

HISTORY = (
    _seen(
        "committed",
        "commits its edits, so that its `git status` is clean",
        _EDIT + 'git("commit", "-qam", "mine"); assert not git("status", "--porcelain")',
    ),
    _seen(
        "other-branch",
        "commits on another branch and moves `HEAD`, index and refs about",
        _EDIT
        + 'git("checkout", "-qb", "mine"); git("commit", "-qam", "mine"); git("update-ref", "refs/heads/work", "HEAD"); '
        'git("branch", "-q", "-f", "main"); git("tag", "-f", "v1")',
    ),
    _seen(
        "replace-object",
        "puts its edit in place of the base's file by `git replace`",
        _EDIT
        + 'git("replace", git("rev-parse", "HEAD:other/kept.txt"), git("hash-object", "-w", "other/kept.txt"))',
    ),
    _seen(
        "grafts",
        "grafts a commit of its own in place of the base",
        _EDIT
        + 'git("commit", "-qam", "mine"); git("replace", git("rev-parse", "HEAD~1"), git("rev-parse", "HEAD"))',
    ),
    _seen(
        "work-tree-elsewhere",
        "points `core.worktree` to an untouched copy",
        'shutil.copytree(".", home / "copy", ignore=shutil.ignore_patterns(".git")); '
        'git("config", "core.worktree", str(home / "copy"))\n' + _EDIT,
        touches=("~/copy", "~/copy/*"),
    ),
    _seen(
        "git-folder-elsewhere",
        "replaces its `.git` by a file that names another repository",
        """
        os.rename(".git", home / "own.git")
        write(".git", f"gitdir: {home}/own.git\\n")
        write("other/kept.txt", "edited\\n")
        """,
        touches=("~/own.git", "~/own.git/*"),
    ),
    _seen("no-git-folder", "deletes its `.git`", 'shutil.rmtree(".git")\n' + _EDIT),
)

REPOSITORIES = (
    _seen(
        "nested-repository",
        "puts a repository into its scope: git would see it as one entry",
        'git("init", "-q", "src/inner"); write("src/inner/payload.txt", "x")',
        by="walk over the files",
    ),
    _seen(
        "bare-git-file",
        "turns a folder of its scope into a work tree by a `.git` file",
        'write("src/inner/.git", f"gitdir: {os.getcwd()}/.git\\n"); write("src/inner/payload.txt", "x")',
        by="walk over the files",
    ),
    _seen(
        "git-twin",
        "names a folder of its scope `.GIT`",
        'write("src/.GIT/config", "[core]\\n")',
        by="walk over the files",
    ),
    _seen(
        "invisible-git-twin",
        "names a folder of its scope `.git` with an invisible character",
        'write("src/.g\\u200cit/config", "[core]\\n")',
        by="scope verdict",
    ),
    _without_effect(
        "gitlink",
        "adds a submodule's entry to its index and commits it",
        """
        git("update-index", "--add", "--cacheinfo", "160000," + git("rev-parse", "HEAD") + ",src/inner")
        git("commit", "-qm", "mine")
        """,
        {"src/inner": None},
    ),
)

FILES = (
    _seen(
        "unreadable-folder",
        "edits a file, then takes all permissions from its folder",
        _EDIT + 'os.chmod("other", 0)',
        by="walk over the files; unreadable is refused",
    ),
    _seen(
        "unreadable-file",
        "takes all permissions from a file of its scope",
        'write("src/payload.txt", "x"); os.chmod("src/payload.txt", 0)',
        by="walk over the files; unreadable is refused",
    ),
    _seen(
        "hard-link",
        "edits a file through a hard link in its scope",
        'os.link("other/kept.txt", "src/kept.txt"); Path("src/kept.txt").write_text("edited\\n")',
        by="walk over the files",
    ),
    _seen(
        "named-pipe", "leaves a named pipe in its scope", 'os.mkfifo("src/pipe")', by="walk over the files"
    ),
    _seen(
        "large-file",
        "leaves a sparse file of 4 GB in its scope",
        'open("src/large", "wb").truncate(4 << 30)',
        by="size limit, before git looks",
    ),
    _seen(
        "swapped-folder",
        "moves a folder away and leaves a link to a changed copy",
        'shutil.copytree("other", ".git/copy"); write(".git/copy/kept.txt", "x"); shutil.rmtree("other"); '
        'os.symlink(".git/copy", "other")',
    ),
    _without_effect(
        "empty-folder",
        "leaves an empty folder outside of its scope",
        'os.makedirs("other/empty")',
        {"other/empty": None},
        by="git holds no folders",
    ),
)

NAMES = (
    _seen(
        "case-twin",
        "writes `SRC/`, its scope where case is ignored",
        'write("SRC/a.txt", "x")',
        by="scope verdict",
    ),
    _seen(
        "settings-twin",
        "writes `AgentTasks.YAML` in a scope of that very name",
        'write("src/../AgentTasks.YAML", "gates: []\\n")',
        by="scope verdict",
    ),
    _seen(
        "unicode-twin",
        "writes a path that only looks like one of its scope",
        'write("ѕrc/a.txt", "x")',
        by="scope verdict",
    ),
    _seen(
        "twin-in-scope",
        "adds a name to its scope that differs from an existing one in case only",
        'write("src/A.txt", "x")',
        by="twins of existing paths are refused, unless the scope names them",
    ),
    _seen(
        "twins-in-scope",
        "adds two names that are one where Unicode is composed",
        'write("src/\u00e9.txt", "x"); write("src/e\u0301.txt", "x")',
        by="twins of existing paths are refused, unless the scope names them",
    ),
    _seen(
        "newline-in-name",
        "puts a newline into a name of its scope",
        'write("src/a\\nother.txt", "x")',
        by="scope verdict",
    ),
    _seen(
        "terminal-codes-in-name",
        "puts terminal codes into a name of its scope",
        'write("src/\\x1b[2J\\x1b]0;owned\\x07.txt", "x")',
        by="scope verdict; names are made printable",
    ),
    _seen(
        "bidi-in-name",
        "puts a right-to-left override into a name outside of its scope",
        'write("other/\\u202etxt.exe", "x")',
        by="scope verdict; names are made printable",
    ),
    _seen(
        "markup-in-name",
        "puts XML into a name outside of its scope",
        'write("other/]]><testcase name=\\"x\\">.txt", "x")',
        by="scope verdict; JUnit is escaped",
    ),
    _seen(
        "not-utf8-name",
        "uses bytes in a name of its scope that are not UTF-8",
        'open(b"src/\\xff\\xfe.txt", "w").close()',
        by="scope verdict",
    ),
    _seen(
        "dash-name",
        "gives a file outside of its scope an option's name",
        'write("--exec=touch owned", "x"); write("-rf", "x")',
        by="paths are never options",
    ),
    _seen(
        "pathspec-name",
        "gives a file outside of its scope a name that git would read as a pattern",
        'write(":(exclude)*", "x"); write("other/[k]ept.txt", "x")',
        by="paths are bytes, never patterns",
    ),
    _without_effect(
        "odd-names-in-scope",
        "gives files of its scope names with quotes, spaces, dashes and patterns: they land as they are",
        """
        for name in ('"quoted"', "-rf", " two  spaces ", "star*", "back\\\\slash", "ünïcödé", "$(touch owned)"):
            write("src/" + name, name)
        """,
        {
            f"src/{name}": name
            for name in (
                '"quoted"',
                "-rf",
                " two  spaces ",
                "star*",
                "back\\slash",
                "ünïcödé",
                "$(touch owned)",
            )
        },
        by="paths are bytes, never patterns",
    ),
)

ATTACKS = (*IGNORE_RULES, *INDEX, *HISTORY, *REPOSITORIES, *FILES, *NAMES)
