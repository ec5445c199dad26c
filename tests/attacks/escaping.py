"""Attempts to reach files beyond the workspace: through links, and directly."""

from __future__ import annotations

import os
import sys

from tests.attacks.attack import Attack, Played
from tests.attacks.shell_scripts import (
    CANARY,
    PRIVATE,
    QUIET,
    REAPER,
    UNCONFINED,
    nothing_executed,
    shell,
)

LINKS = "symbolic links that leave the repository are refused"
BEYOND = "sandbox"


def _outside(body: str) -> str:
    """A script that writes where a sandbox may refuse it."""
    lines = "".join(
        f"with contextlib.suppress(OSError, subprocess.SubprocessError):\n    {line}\n"
        for line in body.splitlines()
    )
    return QUIET + lines


def _journal_is_true(played: Played) -> None:
    journal = (played.project.path / ".git/agenttasks/journal.jsonl").read_text()
    assert "forged" not in journal


def _kept_aside(played: Played) -> None:
    """The workspace that git could not hold is kept, and the user's file that it shared is whole."""
    assert "the whole workspace is kept in" in played.log
    assert played.project.repository.read("other/kept.txt") == "kept\n"
    assert (played.project.path / "other/kept.txt").stat().st_nlink > 1


def _same_task(played: Played) -> None:
    tree = played.project.repository.git("show", f"{played.tip}:tasks/done/002-honest.md")
    assert "`**`" not in tree


ATTACKS = (
    Attack(
        name="link-to-the-system",
        kind="escaping",
        what="adds a symbolic link to /etc/passwd",
        script=shell("ln -s /etc/passwd src/link"),
        outcome="scope",
        by=LINKS,
        effect="detected",
    ),
    Attack(
        name="link-upwards",
        kind="escaping",
        what="adds relative links that climb out, one through a folder and back",
        script=shell("ln -s ../../../../outside src/up; mkdir src/deep; ln -s deep/../../.. src/through"),
        outcome="scope",
        by=LINKS,
        effect="detected",
    ),
    Attack(
        name="link-into-dot-git",
        kind="escaping",
        what="adds a link into `.git`, for whoever writes through it",
        script=shell("ln -s ../.git/hooks src/hooks"),
        outcome="scope",
        by=LINKS,
        effect="detected",
    ),
    Attack(
        name="folder-becomes-a-link",
        kind="escaping",
        what="replaces its folder by a link to the user's, so that cleaning up would write there",
        script=shell('rm -rf src; ln -s "$ATTACK_VICTIM/src" src'),
        outcome="scope",
        by=LINKS,
        effect="detected",
    ),
    Attack(
        name="workspace-becomes-a-link",
        kind="escaping",
        what="replaces its whole workspace by a link to the user's checkout",
        settings=UNCONFINED,
        script=_outside("here = os.getcwd()\nos.rename(here, here + '.moved')\nos.symlink(victim, here)\n"),
        outcome="scope",
        by="links on the way to a workspace are removed, never followed",
        effect="detected",
    ),
    Attack(
        name="state-folder-becomes-a-link",
        kind="escaping",
        what="replaces the folder around its workspace by a link to the one around the user's checkout",
        settings=UNCONFINED,
        script=_outside(
            "root = Path.cwd().parent\n"
            "os.rename(root, str(root) + '.moved')\n"
            "os.symlink(victim.parent, root)\n"
        ),
        outcome="scope",
        by="links on the way to a workspace are removed, never followed",
        effect="detected",
    ),
    Attack(
        name="gate-folder-becomes-a-link",
        kind="escaping",
        what="replaces the folder of the gates' checkout by a link to the user's checkout",
        settings=UNCONFINED,
        script=_outside(
            "gate = Path.cwd().parent.parent / 'gate-0' / Path.cwd().name\n"
            "os.rename(gate, str(gate) + '.moved')\n"
            "os.symlink(victim, gate)\n"
        ),
        outcome="landed",
        by="links on the way to a workspace are removed, never followed",
    ),
    Attack(
        name="deletes-its-workspace",
        kind="escaping",
        what="deletes its whole workspace and everything around it",
        script=QUIET + "import shutil\nshutil.rmtree(Path.cwd().parent, ignore_errors=True)\n",
        outcome="scope",
        by="every file counts as deleted",
        effect="detected",
    ),
    Attack(
        name="workspace-becomes-a-file",
        kind="escaping",
        what="puts a file where its workspace was",
        settings=UNCONFINED,
        script=_outside(
            "here = Path.cwd()\nos.rename(here, str(here) + '.moved')\nhere.write_text('a file')\n"
        ),
        outcome="scope",
        by="every file counts as deleted",
        effect="detected",
    ),
    Attack(
        name="forges-the-list-of-dependencies",
        kind="escaping",
        what="names the user's checkout as a dependency that was provided, so that it is removed as outdated",
        script=QUIET
        + """
import glob
for stamp in glob.glob("../../gate-0/dependencies.msgpack"):
    data = Path(stamp).read_bytes()
    there = os.path.relpath(victim / "other", Path(stamp).parent / Path.cwd().name).encode()
    for root in (b"\\xc4\\x04deps", ):
        data = data.replace(root, b"\\xc5" + len(there).to_bytes(2, "big") + there)
    Path(stamp).write_bytes(data)
""",
        outcome="landed",
        by="paths that lead out make the list worthless",
        settings={"workspace": {"setup": "mkdir -p deps; echo x > deps/x"}, "sandbox": "none"},
    ),
    Attack(
        name="queue-becomes-a-link",
        kind="escaping",
        what="replaces the folders of the queue and of the logs in its workspace by links to the user's",
        script=shell(
            'rm -rf tasks; ln -s "$ATTACK_VICTIM/tasks" tasks; ln -s "$ATTACK_VICTIM/.git/agenttasks" state'
        ),
        outcome="scope",
        by="scope verdict",
        effect="detected",
    ),
    Attack(
        name="hard-link-to-the-users-file",
        kind="escaping",
        what="puts hard links to the user's files where its own were, so that writing here changes them there",
        settings=UNCONFINED,
        script=QUIET + "for name in ('src/a.txt', 'other/kept.txt'):\n"
        "    os.unlink(name)\n"
        "    try:\n        os.link(victim / 'other/kept.txt', name)\n"
        "    except OSError:\n        os.link(__file__, name)\n",
        outcome="scope",
        by="survey: hard link",
        effect="detected",
        check=_kept_aside,
    ),
    Attack(
        name="link-race",
        kind="escaping",
        what="a daemon flips a path between a file, a link to /etc and a link to the user's folder, as fast as it can",
        script=QUIET
        + """
def flip():
    end = time.monotonic() + LIFETIME
    while time.monotonic() < end:
        for target in ("/etc", victim / "other"):
            with contextlib.suppress(OSError):
                os.symlink(target, "src/next")
                os.replace("src/next", "src/flips")
os.symlink("/etc", "src/flips")
if os.fork() == 0:
    os.setsid()
    flip()
    os._exit(0)
time.sleep(0.2)
""",
        outcome="scope",
        by=f"{REAPER}; {LINKS}",
        effect="detected",
    ),
    Attack(
        name="writes-into-the-users-checkout",
        kind="escaping",
        what="edits, adds and deletes files in the user's checkout",
        script=_outside(
            "(victim / 'other/kept.txt').write_text('overwritten')\n"
            "(victim / 'other/new.txt').write_text('new')\n"
            "(victim / 'tests/test_product.py').unlink()\n"
        ),
        outcome="landed",
        by=BEYOND,
        effect="needs sandbox",
    ),
    Attack(
        name="edits-the-queue",
        kind="escaping",
        what="rewrites the next task in the user's queue to have a wide scope",
        script=_outside(
            "file = victim / 'tasks/pending/002-honest.md'\n"
            "file.write_text(file.read_text().replace('docs/notes.md', '**'))\n"
        ),
        outcome="landed",
        by=BEYOND,
        effect="needs sandbox",
        check=_same_task,
    ),
    Attack(
        name="writes-into-home",
        kind="escaping",
        what="adds to the shell's start files and to authorized_keys",
        script=_outside(
            "(home / '.bashrc').write_text('evil')\n"
            "(home / '.profile').write_text('evil')\n"
            "(home / '.ssh').mkdir()\n"
            "(home / '.ssh/authorized_keys').write_text('evil')\n"
        ),
        outcome="landed",
        by=BEYOND,
        effect="needs sandbox",
    ),
    Attack(
        name="writes-git-configuration-of-home",
        kind="escaping",
        what="sets core.hooksPath and filters in ~/.gitconfig",
        script=QUIET + f"for key in ('core.hooksPath', 'core.fsmonitor', 'filter.mine.clean'):\n"
        f"    subprocess.run(['git', 'config', '--global', key, {CANARY!r}], check=False)\n",
        outcome="landed",
        by=BEYOND,
        effect="needs sandbox",
        check=nothing_executed,
    ),
    Attack(
        name="configuration-of-home-as-the-runner-sees-it",
        kind="escaping",
        what="the same: none of it is executed by the run",
        settings=UNCONFINED,
        script=QUIET + f"for key in ('core.hooksPath', 'core.fsmonitor', 'filter.mine.clean'):\n"
        f"    subprocess.run(['git', 'config', '--global', key, {CANARY!r}], check=False)\n"
        "with contextlib.suppress(OSError):\n"
        "    (home / '.config/git').mkdir(parents=True)\n"
        "    (home / '.config/git/attributes').write_text('* filter=mine\\n')\n",
        outcome="landed",
        by="the user's git settings are pinned before the first session",
        touches=("~/.gitconfig", "~/.config*"),
        check=nothing_executed,
    ),
    Attack(
        name="forges-the-journal",
        kind="escaping",
        what="writes an end of the next task into the runner's journal",
        script=QUIET + "place = victim / '.git/agenttasks/journal.jsonl'\n"
        "with contextlib.suppress(OSError), place.open('a') as file:\n"
        '    file.write(\'{"type": "attempt-ended", "forged": true}\\n\')\n',
        outcome="landed",
        by=BEYOND,
        effect="needs sandbox",
        check=_journal_is_true,
    ),
    Attack(
        name="forges-attempts",
        kind="escaping",
        what="stores attempts of its own task and the next one in the private repository, before the runner does",
        script=shell(
            f'{PRIVATE}; for ref in 001-attack/1 001-attack/2 002-honest/1; do git --git-dir="$private" update-ref'
            ' "refs/attempts/$ref" "$(git rev-parse HEAD)" || true; done'
        ),
        outcome="landed",
        by=BEYOND,
        effect="needs sandbox",
    ),
    Attack(
        name="poisons-the-gates-checkout",
        kind="escaping",
        what="breaks the product and makes the test, and a new sitecustomize, in the gates' checkout harmless",
        settings=UNCONFINED,
        script=QUIET
        + """
Path("src/product.py").write_text("def answer(): return 41\\n")
gate = Path.cwd().parent.parent / "gate-0" / Path.cwd().name
with contextlib.suppress(OSError):
    file = gate / "tests/test_product.py"
    before = file.stat()
    file.write_text("print(1)".ljust(before.st_size - 1, "#") + "\\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    for name in ("sitecustomize.py", "src/sitecustomize.py", "tests/os.py", "src/__pycache__/product.cpython-311.pyc"):
        (gate / name).parent.mkdir(exist_ok=True)
        (gate / name).write_text("raise SystemExit(0)\\n")
""",
        outcome="gate",
        by="a clean checkout: what differs from the tree is put back, what is not in it removed",
        effect="detected",
    ),
    Attack(
        name="plants-a-user-site",
        kind="escaping",
        what="breaks the product and plants a usercustomize in the home's Python that ends every test with success",
        script=QUIET
        + f"""
Path("src/product.py").write_text("def answer(): return 41\\n")
with contextlib.suppress(OSError):
    place = home / ".local/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    place.mkdir(parents=True)
    (place / "usercustomize.py").write_text("import os\\nos._exit(0)\\n")
""",
        outcome="gate",
        settings={
            "gates": [{"name": "tests", "run": f"'{os.path.realpath(sys.executable)}' tests/test_product.py"}]
        },
        by=BEYOND,
        effect="needs sandbox",
    ),
)
