"""Attempts to reach beyond the workspace: other files, later moments, other processes, secrets."""

from __future__ import annotations

import os
import re
import socket
import sys

from tests.attacks.attack import Attack, Played
from tests.attacks.shell_scripts import (
    CANARY,
    LIFETIME,
    PRIVATE,
    SANDBOX,
    UNCONFINED,
    nothing_executed,
    shell,
)

LINKS = "symbolic links that leave the repository are refused"
REAPER = "a subreaper ends every descendant before the files are looked at"
BEYOND = "sandbox"

_QUIET = f"""
import contextlib, os, signal, subprocess, sys, time
from pathlib import Path

victim, home, marker = Path(os.environ["ATTACK_VICTIM"]), Path(os.environ["ATTACK_HOME"]), os.environ["ATTACK_MARKER"]
LIFETIME = {LIFETIME}
"""
"""What most scripts begin with; processes of theirs end by themselves after LIFETIME seconds."""

_KEPT = [
    "/bin/sh",
    "-c",
    f": $0; sleep 1; for f in src/a.txt $1/src/a.txt $1/other/kept.txt; do echo late > $f; done; sleep {LIFETIME}",
]
_LATE = f"late = {_KEPT!r} + [marker, str(victim)]\n"
"""A command that edits files a second later, in the workspace and in the user's checkout, and goes on living."""


def _outside(body: str) -> str:
    """A script that writes where a sandbox may refuse it."""
    lines = "".join(
        f"with contextlib.suppress(OSError, subprocess.SubprocessError):\n    {line}\n"
        for line in body.splitlines()
    )
    return _QUIET + lines


def _soon_over(played: Played) -> None:
    """Nothing waited for the process that outlived the session."""
    ends = re.findall(r"attempt-ended 001-attack .* took=\"?([0-9.]+) s", played.log)
    assert ends
    assert float(ends[0]) < 15


def _port_is_free(played: Played) -> None:
    _soon_over(played)
    (found,) = re.findall(r"holding port (\d+)", played.log)[:1]
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", int(found)))


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


_FIND_RUNNER = """
def runner():
    "The runner's pid and its reaper's, when this really is a session below them; else None."
    reaper = os.getppid()
    try:
        words = Path(f"/proc/{reaper}/cmdline").read_bytes().split(b"\\0")
    except OSError:
        return None
    named = [word for word in words if word.endswith(b"/reaper.py")]
    return (int(words[-2]), reaper) if named and int(words[-2]) > 1 else None
"""

# fmt: off
_SECRETS = [
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "GITHUB_TOKEN", "NPM_TOKEN", "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY", "DATABASE_URL", "PGPASSWORD", "SSH_AUTH_SOCK", "KUBECONFIG",
    "SENTRY_DSN", "STRIPE_KEY", "MY_SERVICE_PASSWORD", "DEPLOY_KEY",
]
# fmt: on

_SET_SECRETS = f"import os\n\nos.environ.update(dict.fromkeys({_SECRETS!r}, 'top-secret-4711'))\n"

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
        script=_QUIET + "import shutil\nshutil.rmtree(Path.cwd().parent, ignore_errors=True)\n",
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
        script=_QUIET
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
        script=_QUIET + "for name in ('src/a.txt', 'other/kept.txt'):\n"
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
        script=_QUIET
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
        waits_for=SANDBOX,
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
        waits_for=SANDBOX,
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
        waits_for=SANDBOX,
    ),
    Attack(
        name="writes-git-configuration-of-home",
        kind="escaping",
        what="sets core.hooksPath and filters in ~/.gitconfig",
        script=_QUIET + f"for key in ('core.hooksPath', 'core.fsmonitor', 'filter.mine.clean'):\n"
        f"    subprocess.run(['git', 'config', '--global', key, {CANARY!r}], check=False)\n",
        outcome="landed",
        by=BEYOND,
        effect="needs sandbox",
        check=nothing_executed,
        waits_for=SANDBOX,
    ),
    Attack(
        name="configuration-of-home-as-the-runner-sees-it",
        kind="escaping",
        what="the same: none of it is executed by the run",
        settings=UNCONFINED,
        script=_QUIET + f"for key in ('core.hooksPath', 'core.fsmonitor', 'filter.mine.clean'):\n"
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
        script=_QUIET + "place = victim / '.git/agenttasks/journal.jsonl'\n"
        "with contextlib.suppress(OSError), place.open('a') as file:\n"
        '    file.write(\'{"type": "attempt-ended", "forged": true}\\n\')\n',
        outcome="landed",
        by=BEYOND,
        effect="needs sandbox",
        check=_journal_is_true,
        waits_for=SANDBOX,
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
        waits_for=SANDBOX,
    ),
    Attack(
        name="poisons-the-gates-checkout",
        kind="escaping",
        what="breaks the product and makes the test, and a new sitecustomize, in the gates' checkout harmless",
        settings=UNCONFINED,
        script=_QUIET
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
        script=_QUIET
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
        waits_for=SANDBOX,
    ),
    Attack(
        name="daemon-by-setsid",
        kind="escaping",
        what="leaves a daemon in a session of its own that edits files a second later",
        script=_QUIET
        + _LATE
        + "subprocess.Popen(late, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,"
        " stderr=subprocess.DEVNULL)\n",
        outcome="landed",
        by=REAPER,
    ),
    Attack(
        name="daemon-by-double-fork",
        kind="escaping",
        what="leaves a daemon by double fork and setsid, in another folder, with an empty environment",
        script=_QUIET
        + _LATE
        + """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 100)
        os.chdir("/")
        os.execve(late[0], late, {})
    os._exit(0)
os.wait()
""",
        outcome="landed",
        by=REAPER,
    ),
    Attack(
        name="daemon-that-reforks",
        kind="escaping",
        what="leaves a daemon that forks anew and ends its parent all the time (64 generations)",
        script=_QUIET
        + f"""
if os.fork() == 0:
    os.setsid()
    for generation in range(64):
        if os.fork() > 0:
            os._exit(0)
        time.sleep({LIFETIME} / 64 / 4)
    os._exit(0)
os.wait()
time.sleep(0.2)
""",
        outcome="landed",
        by=REAPER,
    ),
    Attack(
        name="daemon-that-ignores-signals",
        kind="escaping",
        what="leaves processes that ignore every signal that can be ignored, one of them stopped",
        script=_QUIET
        + """
for stopped in (False, True):
    if os.fork() == 0:
        os.setsid()
        for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_IGN)
        if stopped:
            os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(LIFETIME)
        os._exit(0)
time.sleep(0.2)
""",
        outcome="landed",
        by=REAPER,
    ),
    Attack(
        name="daemon-with-another-name",
        kind="escaping",
        what="leaves a process whose name looks like a line of /proc that ends with another parent",
        script=_QUIET
        + """
if os.fork() == 0:
    os.setsid()
    Path("/proc/self/comm").write_text("x) S 1 1 1 (")
    time.sleep(LIFETIME)
    os._exit(0)
time.sleep(0.2)
""",
        outcome="landed",
        by=REAPER,
    ),
    Attack(
        name="daemon-as-a-subreaper",
        kind="escaping",
        what="leaves a daemon that is a subreaper itself and adopts the others",
        script=_QUIET
        + """
import ctypes
if os.fork() == 0:
    os.setsid()
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    for _ in range(5):
        if os.fork() == 0:
            if os.fork() == 0:
                os.setsid()
                time.sleep(LIFETIME)
            os._exit(0)
    time.sleep(LIFETIME)
    os._exit(0)
time.sleep(0.3)
""",
        outcome="landed",
        by=REAPER,
    ),
    Attack(
        name="never-ends",
        kind="escaping",
        what="ignores SIGTERM and goes on after its time is over",
        script=_QUIET + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(LIFETIME)\n",
        outcome="agent",
        by="timeout, then SIGKILL",
        effect="detected",
        task={"timeout": 1},
        check=_soon_over,
    ),
    Attack(
        name="holds-its-output-open",
        kind="escaping",
        what="leaves a daemon that holds standard output and error, for whoever waits for their end",
        script=_QUIET
        + "subprocess.Popen(['/bin/sh', '-c', ': $0; sleep $1', marker, str(LIFETIME)], start_new_session=True)\n",
        outcome="landed",
        by="output goes to files; " + REAPER,
        check=_soon_over,
    ),
    Attack(
        name="holds-a-port",
        kind="escaping",
        what="leaves a server on a port that the next workspace expects to be free",
        script=_QUIET
        + """
import socket
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", int(os.environ["AGENTTASKS_PORT_BASE"])))
server.listen()
print("holding port", server.getsockname()[1], flush=True)
if os.fork() == 0:
    os.setsid()
    time.sleep(LIFETIME)
    os._exit(0)
""",
        outcome="landed",
        by=REAPER,
        check=_port_is_free,
    ),
    Attack(
        name="kills-the-runner",
        kind="escaping",
        what="sends SIGKILL to the runner",
        script=_QUIET
        + _FIND_RUNNER
        + "found = runner()\nif found:\n    os.kill(found[0], signal.SIGKILL)\n    time.sleep(5)\n",
        outcome="landed",
        by=BEYOND,
        effect="needs sandbox",
        waits_for=SANDBOX,
    ),
    Attack(
        name="interrupts-the-runner",
        kind="escaping",
        what="sends SIGINT and SIGTERM to the runner",
        script=_QUIET + _FIND_RUNNER + "found = runner()\nif found:\n    os.kill(found[0], signal.SIGINT)\n"
        "    os.kill(found[0], signal.SIGTERM)\n    time.sleep(5)\n",
        outcome="landed",
        by=BEYOND,
        effect="needs sandbox",
        waits_for=SANDBOX,
    ),
    Attack(
        name="kills-the-supervisor",
        kind="escaping",
        what="sends SIGKILL to the process that supervises it, to go on unseen",
        settings=UNCONFINED,
        script=_QUIET
        + _FIND_RUNNER
        + "found = runner()\nif found:\n    os.kill(found[1], signal.SIGKILL)\n    time.sleep(5)\nsys.exit(1)\n",
        outcome="agent",
        by="`agent: the process that supervises the session was killed`",
        effect="detected",
    ),
    Attack(
        name="stops-the-supervisor",
        kind="escaping",
        what="stops the process that supervises it for two seconds",
        settings=UNCONFINED,
        script=_QUIET
        + _FIND_RUNNER
        + """
found = runner()
if found:
    os.kill(found[1], signal.SIGSTOP)
    time.sleep(2)
    os.kill(found[1], signal.SIGCONT)
""",
        outcome="landed",
        by="signs of life are waited for, 20 s",
    ),
    Attack(
        name="talks-to-the-supervisor",
        kind="escaping",
        what="looks for inherited handles of the runner to write to",
        script=_QUIET
        + """
open_ones = [int(name) for name in os.listdir("/proc/self/fd")]
for handle in [number for number in open_ones if number > 2]:
    with contextlib.suppress(OSError):
        link = os.readlink(f"/proc/self/fd/{handle}")
        assert not link.startswith(("socket:", "pipe:")), (handle, link)
""",
        outcome="landed",
        by="nothing but the three standard handles is inherited",
    ),
    Attack(
        name="limits-the-runner",
        kind="escaping",
        what="takes open files away from the runner by prlimit",
        script=_QUIET
        + _FIND_RUNNER
        + """
import resource
found = runner()
if found:
    soft, hard = resource.prlimit(found[0], resource.RLIMIT_NOFILE)
    resource.prlimit(found[0], resource.RLIMIT_NOFILE, (3, hard))
""",
        outcome="landed",
        by=BEYOND,
        effect="needs sandbox",
        waits_for=SANDBOX,
    ),
    Attack(
        name="secrets-in-the-environment",
        kind="escaping",
        what="reads the runner's secrets out of its own environment",
        script=(
            "import os\nfound = [k for k, v in os.environ.items() if v == 'top-secret-4711']\n"
            "assert not found, found\n"
        ),
        outcome="landed",
        by="secret-looking variables are withheld",
        files={"conftest.py": _SET_SECRETS},
    ),
    Attack(
        name="secrets-in-the-gates-environment",
        kind="escaping",
        what="has the product print the runner's secrets when the gate runs it",
        script=(
            "import os\nopen('src/product.py', 'w').write('import os\\ndef answer():\\n"
            '    return 42 if "top-secret-4711" not in os.environ.values() else 41\\n\')\n'
        ),
        outcome="landed",
        landed={"src/a.txt": "honest\n"},
        by="secret-looking variables are withheld from gates too",
        files={"conftest.py": _SET_SECRETS},
    ),
    Attack(
        name="pushes",
        kind="escaping",
        what="pushes to wherever its repository would push",
        script=shell(
            'git commit -qam mine; test -z "$(git remote)"; ! git push -q 2>/dev/null; ! git push -q origin HEAD 2>/dev/null;'
            '! git fetch -q origin 2>/dev/null; test -z "$(git config --get-regexp "^(remote|branch|url)\\.")"'
        ),
        outcome="landed",
        by="the workspace's repository has no remote",
    ),
)
