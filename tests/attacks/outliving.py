"""Attempts to outlive the session, to reach other processes, and to read their secrets."""

from __future__ import annotations

import re
import socket

from tests.attacks.attack import Attack, Played
from tests.attacks.shell_scripts import LIFETIME, QUIET, REAPER, UNCONFINED, shell

BEYOND = "sandbox"

_KEPT = [
    "/bin/sh",
    "-c",
    f": $0; sleep 1; for f in src/a.txt $1/src/a.txt $1/other/kept.txt; do echo late > $f; done; sleep {LIFETIME}",
]
_LATE = f"late = {_KEPT!r} + [marker, str(victim)]\n"
"""A command that edits files a second later, in the workspace and in the user's checkout, and goes on living."""


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
        name="daemon-by-setsid",
        kind="escaping",
        what="leaves a daemon in a session of its own that edits files a second later",
        script=QUIET
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
        script=QUIET
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
        script=QUIET
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
        script=QUIET
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
        script=QUIET
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
        script=QUIET
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
        script=QUIET + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(LIFETIME)\n",
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
        script=QUIET
        + "subprocess.Popen(['/bin/sh', '-c', ': $0; sleep $1', marker, str(LIFETIME)], start_new_session=True)\n",
        outcome="landed",
        by="output goes to files; " + REAPER,
        check=_soon_over,
    ),
    Attack(
        name="holds-a-port",
        kind="escaping",
        what="leaves a server on a port that the next workspace expects to be free",
        script=QUIET
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
        script=QUIET
        + _FIND_RUNNER
        + "found = runner()\nif found:\n    os.kill(found[0], signal.SIGKILL)\n    time.sleep(5)\n",
        outcome="landed",
        by=BEYOND,
        effect="needs sandbox",
    ),
    Attack(
        name="interrupts-the-runner",
        kind="escaping",
        what="sends SIGINT and SIGTERM to the runner",
        script=QUIET + _FIND_RUNNER + "found = runner()\nif found:\n    os.kill(found[0], signal.SIGINT)\n"
        "    os.kill(found[0], signal.SIGTERM)\n    time.sleep(5)\n",
        outcome="landed",
        by=BEYOND,
        effect="needs sandbox",
    ),
    Attack(
        name="kills-the-supervisor",
        kind="escaping",
        what="sends SIGKILL to the process that supervises it, to go on unseen",
        settings=UNCONFINED,
        script=QUIET
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
        script=QUIET
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
        script=QUIET
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
        script=QUIET
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
