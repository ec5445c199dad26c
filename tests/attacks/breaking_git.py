"""Attacks on git: on the workspace's own, on the private repository, and on what the runner's git would execute."""

from __future__ import annotations

from tests.attacks.attack import Attack
from tests.attacks.shell_scripts import CANARY, PRIVATE, UNCONFINED, nothing_executed, shell

OWN_GIT = "the runner never reads the workspace's `.git`"
DEAF = "the runner's git has a configuration of its own"

HOOKS = (
    "applypatch-msg pre-commit prepare-commit-msg commit-msg post-commit pre-merge-commit post-checkout post-merge "
    "pre-push pre-receive update post-receive post-update reference-transaction post-index-change fsmonitor-watchman "
    "proc-receive sendemail-validate pre-auto-gc post-rewrite pre-rebase push-to-checkout"
)

_PLANT = f"""
plant() {{ mkdir -p "$1"; for hook in {HOOKS}; do
    printf '#!/bin/sh\\n%s\\n' '{CANARY}' > "$1/$hook"; chmod +x "$1/$hook"; done; }}
"""


def _configured(file: str, *settings: tuple[str, str]) -> str:
    """Shell lines that put settings into a configuration file."""
    return "\n".join(f"git config --file {file} --add {key} {value!r}" for key, value in settings)


_EXECUTING = (
    ("core.fsmonitor", f"{CANARY}; false"),
    ("core.hooksPath", ".githooks-of-mine"),
    ("core.pager", CANARY),
    ("core.editor", CANARY),
    ("core.sshCommand", CANARY),
    ("core.alternateRefsCommand", CANARY),
    ("core.gitProxy", CANARY),
    ("credential.helper", f"!{CANARY}"),
    ("diff.external", CANARY),
    ("gpg.program", CANARY),
    ("commit.gpgSign", "true"),
    ("sequence.editor", CANARY),
    ("uploadpack.packObjectsHook", CANARY),
    ("filter.mine.clean", f"{CANARY}; tr a-z A-Z"),
    ("filter.mine.smudge", f"{CANARY}; tr A-Z a-z"),
    ("filter.mine.process", CANARY),
    ("filter.mine.required", "true"),
    ("diff.mine.textconv", f"{CANARY}; cat"),
    ("diff.mine.command", CANARY),
    ("merge.mine.driver", f"{CANARY}; false"),
    ("merge.default", "mine"),
    *((f"alias.{verb}", f"!{CANARY}") for verb in ("add", "write-tree", "diff", "ls-files", "snapshot")),
)
"""Every setting known to make git start a program."""

_ATTRIBUTES = "echo '* filter=mine diff=mine merge=mine' >"

ATTACKS = (
    Attack(
        name="commits-of-its-own",
        kind="breaking git",
        what="commits, amends and commits again in its workspace",
        script=shell(
            "git add -A; git commit -qm mine; git commit -q --amend -m again; git commit -q --allow-empty -m more"
        ),
        outcome="landed",
        by="one commit from the files, never from the workspace's history",
    ),
    Attack(
        name="resets",
        kind="breaking git",
        what="commits, then moves its branch back and forth with `reset`",
        script=shell(
            "git commit -qam mine; git reset -q --soft HEAD~1; git reset -q; git commit -qam mine; git checkout -q --detach;"
            "git branch -f work HEAD~1; git symbolic-ref HEAD refs/heads/work"
        ),
        outcome="landed",
        by=OWN_GIT,
    ),
    Attack(
        name="stashes-its-work-away",
        kind="breaking git",
        what="stashes everything, drops the stash, and claims to be done",
        script=shell("git stash -qu; git stash drop -q; echo all done"),
        outcome="agent",
        by="no change in the files is `agent: no change`",
        effect="detected",
    ),
    Attack(
        name="clean-fdx",
        kind="breaking git",
        what="runs `git clean -fdx` and `git checkout -f` on everything but its work",
        script=shell("git clean -fdxq; git checkout -qf -- other; git clean -fdXq"),
        outcome="landed",
        by="a disposable workspace",
        files={"build/precious.txt": "ignored, and the user's\n", "notes.log": "ignored too\n"},
    ),
    Attack(
        name="branches-and-tags",
        kind="breaking git",
        what="deletes, moves and forges branches and tags, HEAD and the reflog",
        script=shell(
            "git commit -qam mine; git tag -f v9 HEAD; git branch -q main; git checkout -q --orphan elsewhere;"
            "git update-ref -d refs/heads/work; git symbolic-ref HEAD refs/heads/nowhere; git pack-refs --all;"
            "rm -rf .git/logs; git update-ref refs/agenttasks/forged refs/heads/main;"
            "git update-ref refs/attempts/002-honest/1 refs/heads/main"
        ),
        outcome="landed",
        by="the workspace's refs are its own",
    ),
    Attack(
        name="gc-in-the-workspace",
        kind="breaking git",
        what="expires every reflog and prunes all unreachable objects in its workspace",
        script=shell("git commit -qam mine; git reflog expire --expire=now --all; git gc -q --prune=now"),
        outcome="landed",
        by="objects are borrowed, never shared for writing",
    ),
    Attack(
        name="gc-in-the-private-repository",
        kind="breaking git",
        what="finds the runner's private repository by the alternates file and prunes it",
        settings=UNCONFINED,
        script=shell(f'{PRIVATE}; git --git-dir="$private" gc -q --prune=now || true'),
        outcome="landed",
        by="attempts are refs; nothing else is needed from there",
    ),
    Attack(
        name="gc-in-the-users-repository",
        kind="breaking git",
        what="runs `gc --prune=now` in the user's repository",
        settings=UNCONFINED,
        script=shell('git -C "$ATTACK_VICTIM" gc -q --prune=now || true'),
        outcome="landed",
        by="the runner needs no unreachable object across a session",
        touches=(".git/packed-refs", ".git/refs/*", ".git/info/*", ".git/gc.*", ".git/ORIG_HEAD"),
    ),
    Attack(
        name="deletes-dot-git",
        kind="breaking git",
        what="deletes its `.git`",
        script=shell("rm -rf .git"),
        outcome="landed",
        by=OWN_GIT,
    ),
    Attack(
        name="new-dot-git",
        kind="breaking git",
        what="starts a repository of its own in place of `.git`, with one root commit",
        script=shell("rm -rf .git; git init -q; git add -A; git commit -qm 'a new beginning'"),
        outcome="landed",
        by=OWN_GIT,
    ),
    Attack(
        name="dot-git-is-a-link-to-the-users",
        kind="breaking git",
        what="replaces its `.git` by a symbolic link to the user's",
        script=shell('rm -rf .git; ln -s "$ATTACK_VICTIM/.git" .git'),
        outcome="landed",
        by="the link is removed, never followed",
    ),
    Attack(
        name="dot-git-is-a-file-naming-the-users",
        kind="breaking git",
        what="replaces its `.git` by a `gitdir:` file that names the user's, in a scope that nests another one",
        script=shell('rm -rf .git; echo "gitdir: $ATTACK_VICTIM/.git" > .git; cp .git src/.git'),
        outcome="scope",
        by="survey: nested git repository",
        effect="detected",
    ),
    Attack(
        name="dot-git-of-pipes",
        kind="breaking git",
        what="makes HEAD, config and index of its `.git` named pipes, so that whoever reads them hangs",
        script=shell(
            "for name in HEAD config index packed-refs; do rm -f .git/$name; mkfifo .git/$name; done"
        ),
        outcome="landed",
        by=OWN_GIT,
    ),
    Attack(
        name="core-worktree",
        kind="breaking git",
        what="points its `core.worktree` at the user's checkout and its index at nothing",
        script=shell('git config core.worktree "$ATTACK_VICTIM"; echo rubbish > .git/index'),
        outcome="landed",
        by=OWN_GIT,
    ),
    Attack(
        name="locks-in-the-workspace",
        kind="breaking git",
        what="leaves lock files all over its `.git`",
        script=shell(
            "cd .git; touch index.lock HEAD.lock config.lock packed-refs.lock shallow.lock refs/heads/work.lock"
        ),
        outcome="landed",
        by=OWN_GIT,
    ),
    Attack(
        name="locks-in-the-users-repository",
        kind="breaking git",
        what="leaves an `index.lock` in the user's repository, and the runner waits for it",
        script=shell('touch "$ATTACK_VICTIM/.git/index.lock" || true'),
        outcome="landed",
        by="sandbox; without: `checkout` names the lock, the verified result is kept",
        effect="needs sandbox",
        files={"conftest.py": "from pytest_agenttasks import landing\n\nlanding.INDEX_LOCK_WAIT = 0.5\n"},
    ),
    Attack(
        name="locks-in-the-private-repository",
        kind="breaking git",
        what="locks the indexes of the private repository",
        script=shell(f'{PRIVATE}; touch "$private/agent-0.index.lock" "$private/gate-0.index.lock" || true'),
        outcome="landed",
        by="sandbox; without: the run stops",
        effect="needs sandbox",
    ),
    Attack(
        name="hooks",
        kind="breaking git",
        what="plants every hook that git knows in its `.git` and in the private repository",
        settings=UNCONFINED,
        script=shell(f'{PRIVATE}; {_PLANT} plant .git/hooks; plant "$private/hooks" || true'),
        outcome="landed",
        by=DEAF,
        check=nothing_executed,
    ),
    Attack(
        name="hooks-of-the-user",
        kind="breaking git",
        what="plants every hook in the user's repository, for the runner's commit or the user's next one",
        script=shell(f'{_PLANT} plant "$ATTACK_VICTIM/.git/hooks" || true'),
        outcome="landed",
        by="the runner's git runs no hooks; the sandbox keeps them out",
        effect="needs sandbox",
        check=nothing_executed,
    ),
    Attack(
        name="hooks-of-the-user-while-landing",
        kind="breaking git",
        what="the same, as seen by the runner",
        settings=UNCONFINED,
        script=shell(f'{_PLANT} plant "$ATTACK_VICTIM/.git/hooks" || true'),
        outcome="landed",
        by="the runner's git runs no hooks",
        touches=(".git/hooks/*", ".git/hooks"),
        check=nothing_executed,
    ),
    Attack(
        name="programs-in-the-configuration",
        kind="breaking git",
        what="configures fsmonitor, hooksPath, pager, aliases, filters, drivers, … in its `.git`",
        script=shell(
            f"{_configured('.git/config', *_EXECUTING)}\n{_PLANT} plant .git/hooks; mkdir -p .git/info\n"
            f"{_ATTRIBUTES} .git/info/attributes"
        ),
        outcome="landed",
        by=OWN_GIT,
        check=nothing_executed,
    ),
    Attack(
        name="programs-in-the-private-configuration",
        kind="breaking git",
        what="configures the same in the private repository, with attributes and ignore rules",
        settings=UNCONFINED,
        script=shell(
            f"{PRIVATE}; set +e\n{_configured('$private/config', *_EXECUTING)}\n{_ATTRIBUTES} $private/info/attributes\n"
            'echo "*" >> "$private/info/exclude"; echo "*" >> "$private/info/user-excludes"; exit 0'
        ),
        outcome="landed",
        by="its settings are put back before anything is read",
        check=nothing_executed,
    ),
    Attack(
        name="programs-in-the-users-configuration",
        kind="breaking git",
        what="configures the same in the user's repository, as seen by the runner",
        settings=UNCONFINED,
        script=shell(
            f"set +e\n{_configured('$ATTACK_VICTIM/.git/config', *_EXECUTING)}\n"
            f"{_ATTRIBUTES} $ATTACK_VICTIM/.git/info/attributes; exit 0"
        ),
        outcome="landed",
        by="the runner's git has hooks, fsmonitor and filters pinned",
        touches=(".git/config", ".git/info/*"),
        check=nothing_executed,
    ),
    Attack(
        name="attributes-and-filters",
        kind="breaking git",
        what="commits a `.gitattributes` whose filters its `.git/config` defines",
        script=shell(
            f"{_configured('.git/config', *_EXECUTING)}\n{_ATTRIBUTES} .gitattributes; {_ATTRIBUTES} src/.gitattributes"
        ),
        outcome="scope",
        by="scope verdict: `.git*` is never writable",
        effect="detected",
        check=nothing_executed,
    ),
    Attack(
        name="replace-refs-and-grafts",
        kind="breaking git",
        what="replaces commits and trees by others with `git replace`, grafts and a forged `shallow` file",
        script=shell(
            "git commit -qam mine; git replace HEAD~1 HEAD; git replace HEAD^{tree} HEAD~1^{tree} || true;"
            "git rev-parse HEAD > .git/shallow; mkdir -p .git/info; git rev-parse HEAD > .git/info/grafts"
        ),
        outcome="landed",
        by=OWN_GIT,
    ),
    Attack(
        name="replace-refs-in-the-private-repository",
        kind="breaking git",
        what="replaces the base's tree in the private repository by one that already holds its changes",
        settings=UNCONFINED,
        script=shell(
            f"{PRIVATE}; base=$(git rev-parse HEAD^{{tree}}); git add -A; new=$(git write-tree);"
            "echo x > other/kept.txt;"
            'GIT_OBJECT_DIRECTORY="$private/objects" git add -A || true;'
            'git --git-dir="$private" replace "$base" "$new" || true'
        ),
        outcome="scope",
        by="GIT_NO_REPLACE_OBJECTS",
        effect="detected",
    ),
    Attack(
        name="alternates-to-nowhere",
        kind="breaking git",
        what="empties the alternates file of its `.git` and of the private repository",
        settings=UNCONFINED,
        script=shell(
            f'{PRIVATE}; : > .git/objects/info/alternates; : > "$private/objects/info/alternates" || true'
        ),
        outcome="landed",
        by="the private repository's settings are put back",
    ),
    Attack(
        name="pushes-to-the-users-path",
        kind="breaking git",
        what="pushes new branches and tags to the user's checkout by its path",
        script=shell(
            'git commit -qam mine; git push -q "$ATTACK_VICTIM" HEAD:refs/heads/evil HEAD:refs/tags/evil || true'
        ),
        outcome="landed",
        by="sandbox",
        effect="needs sandbox",
    ),
    Attack(
        name="moves-the-users-branch",
        kind="breaking git",
        what="moves the user's branch to a commit of its own with `GIT_DIR` and `update-ref`",
        script=shell(
            "git commit -qam 'never gated'; mine=$(git rev-parse HEAD); tar cf - -C .git/objects . |"
            ' tar xf - -C "$ATTACK_VICTIM/.git/objects" --exclude=info || true;'
            'GIT_DIR="$ATTACK_VICTIM/.git" git update-ref refs/heads/work "$mine" || true'
        ),
        outcome="landed",
        by="sandbox",
        effect="needs sandbox",
    ),
    Attack(
        name="overwrites-an-object",
        kind="breaking git",
        what="overwrites the object of the project's test with a harmless one, and breaks the product",
        script=shell(
            "echo 'def answer(): return 41' > src/product.py; id=$(git rev-parse HEAD:tests/test_product.py);"
            'there="$ATTACK_VICTIM/.git/objects/$(echo "$id" | cut -c1-2)/$(echo "$id" | cut -c3-)";'
            "fake=$(printf 'print(1)\\n' | git hash-object -w --stdin);"
            'cp -f ".git/objects/$(echo "$fake" | cut -c1-2)/$(echo "$fake" | cut -c3-)" "$there" || true;'
            'rm -rf "$PWD/../../gate-0"/* || true'
        ),
        outcome="gate",
        by="sandbox",
        effect="needs sandbox",
    ),
    Attack(
        name="blinds-the-gates-index",
        kind="breaking git",
        what="edits the test in the gates' checkout, flags it skip-worktree in the runner's index, breaks the product",
        script=shell(
            f'{PRIVATE}; echo \'def answer(): return 41\' > src/product.py; gate="$PWD/../../gate-0/$(basename "$PWD")";'
            'echo "print(1)" > "$gate/tests/test_product.py" || true;'
            'GIT_INDEX_FILE="$private/gate-0.index" git --git-dir="$private" --work-tree="$gate" '
            "update-index --skip-worktree tests/test_product.py || true"
        ),
        outcome="gate",
        by="sandbox",
        effect="needs sandbox",
    ),
    Attack(
        name="gitlink-in-the-index",
        kind="breaking git",
        what="puts a submodule into its index without a folder for it",
        script=shell("git update-index --add --cacheinfo 160000,$(git rev-parse HEAD),src/module"),
        outcome="landed",
        by="the runner has an index of its own",
    ),
    Attack(
        name="submodule",
        kind="breaking git",
        what="adds a submodule",
        script=shell('git -c protocol.file.allow=always submodule --quiet add "$PWD" src/module'),
        outcome="scope",
        by="survey and scope verdict",
        effect="detected",
    ),
    Attack(
        name="worktree-in-the-scope",
        kind="breaking git",
        what="makes a linked worktree inside its scope",
        script=shell("git worktree add -q src/tree"),
        outcome="scope",
        by="survey: nested git repository",
        effect="detected",
    ),
    Attack(
        name="twin-of-dot-git",
        kind="breaking git",
        what="adds `.GIT/config` and `git~1`, which are `.git` on other file systems",
        script=shell("mkdir src/.GIT; echo '[core]' > src/.GIT/config; echo x > 'src/git~1'"),
        outcome="scope",
        by="survey: a twin of .git",
        effect="detected",
    ),
    Attack(
        name="odd-indexes",
        kind="breaking git",
        what="splits its index, makes it sparse, hides every file in it, and writes it in version 4",
        script=shell(
            "git update-index --split-index; git update-index --index-version 4; git ls-files -z | xargs -0 git update-index"
            " --skip-worktree; git config core.sparseCheckout true; mkdir -p .git/info; echo /nothing > .git/info/sparse-checkout"
        ),
        outcome="landed",
        by="the runner has an index of its own",
    ),
    Attack(
        name="an-unfinished-merge",
        kind="breaking git",
        what="leaves a merge, a bisect and a rebase in the middle",
        script=shell(
            "git commit -qam mine; git checkout -q -b side HEAD~1; echo side > src/a.txt; git commit -qam side;"
            "git merge -q work || true; git bisect start -q || true; git checkout -q -f work; echo honest > src/a.txt;"
            "echo rubbish > .git/MERGE_HEAD; mkdir -p .git/rebase-merge; echo x > .git/rebase-merge/done"
        ),
        outcome="landed",
        by=OWN_GIT,
    ),
    Attack(
        name="variables-of-git",
        kind="breaking git",
        what="finds GIT_DIR and GIT_INDEX_FILE of a git hook that started the run, and uses them",
        script=(
            "import os\nfound = sorted(k for k in os.environ if k.startswith('GIT_') and k != 'GIT_CEILING_DIRECTORIES')\n"
            "assert not found, found\n"
        ),
        outcome="landed",
        by="GIT_* is withheld",
        files={
            "conftest.py": (
                "import os\n\nos.environ |= {'GIT_DIR': '/nowhere', 'GIT_INDEX_FILE': '/nowhere', 'GIT_WORK_TREE': '/'}\n"
            )
        },
    ),
)
