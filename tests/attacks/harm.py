"""Attempts to harm the machine or the run: too much of everything, odd kinds of files, bytes that break what shows them."""

from __future__ import annotations

import json
import os
import re
import subprocess

from tests.attacks.attack import Attack, Played
from tests.attacks.shell_scripts import LIFETIME, UNCONFINED, shell

SURVEY = "one walk finds what git cannot hold, before git is let near the files"
PRINTABLE = "all text of agents and gates passes one filter"
REAPER = "every descendant is ended"
CGROUP = "a cgroup for each program, where one can be made (`limits`)"

_BEGIN = """
import contextlib, os, socket, stat, subprocess, sys, time
from pathlib import Path
"""

_BOUND = 64
"""Processes that any attack here starts at most."""

SMALL_CAPS = (
    "from pytest_agenttasks import gates, session\n\nsession.MAX_OUTPUT = gates.MAX_OUTPUT = 1024 * 1024\n"
    "try:\n    from pytest_agenttasks import gate_run\nexcept ImportError:\n    pass\nelse:\n"
    "    gate_run.MAX_OUTPUT = 1024 * 1024\n"
)
"""A conftest.py: one MB of output stands for the usual cap of a GB."""

NASTY = (
    b"\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b]8;;http://evil/\x07link\x1b]8;;\x07 \x1bP1$r0m\x1b\\ \x9b2J bell\x07 back\x08\x08"
    b" \x00nul \r\nover\rwritten \x0b\x0c \xff\xfe\xc3( \xed\xa0\x80 \xf0\x9f\x98\x80 \xe2\x80\xae reversed \xe2\x80\xa8 line"
    b" ]]> </testcase> <![CDATA[ &amp; &#x1b; \x7f ::error::forged ##[error] \xef\xbf\xbe \xef\xbf\xbf"
)
"""Terminal escapes, every kind of control character, invalid UTF-8, lone surrogates, bidi controls, XML, CI commands."""


def _killed_for_memory(played: Played) -> None:
    assert "the agent was killed: more than 64 MiB of memory (`limits.memory`)" in played.result.output


def _refused_to_fork(played: Played) -> None:
    (count,) = set(re.findall(r"^started (\d+)$", played.log, re.MULTILINE))
    assert int(count) < 16


_LAWFUL = [
    *(" ", "-rf", "--", "n" * 255, "*", "?[!a]", "\\", "%s%n", "$(touch x)", "`id`", '"', "'"),
    *(":!x", ":(top)", "@{-1}", "HEAD", "#", "~", "é", "\U0001f600"),
]

_NASTY_PRODUCT = f"import os\nos.write(1, {NASTY!r})\nos.write(2, {NASTY!r})\nraise SystemExit(3)\n"


def _printed_little(played: Played) -> None:
    """What the user is shown stays readable, however much was printed."""
    assert len(played.result.output) < 100_000
    assert played.result.junit.stat().st_size < 1_000_000


def _logs_within_the_cap(played: Played) -> None:
    _printed_little(played)
    logs = played.project.path / "tasks/logs/001-attack"
    for file in logs.iterdir():
        assert file.stat().st_size <= 2 * 1024 * 1024, file


def _words_survive(played: Played) -> None:
    """The text that was hostile is still shown, made harmless."""
    assert "red" in played.result.output
    json.loads((played.project.path / "tasks/logs/001-attack/attempt-1.json").read_text())


def _many_landed(played: Played) -> None:
    names = played.project.repository.git(
        "ls-tree", "-r", "--name-only", played.tip, "--", "src/many"
    ).splitlines()
    assert len(names) == 5000


def _swept(played: Played) -> None:
    """What no ordinary tool can delete does not stay: pytest itself would stumble over it."""
    _printed_little(played)
    kept = re.findall(r"the whole workspace is kept in (\S+?)[\"',]", played.log)
    subprocess.run(["rm", "-rf", *kept], check=True)


ATTACKS = (
    Attack(
        name="endless-output",
        kind="harm",
        what="prints for ever on standard output",
        script=_BEGIN
        + f"end = time.monotonic() + {LIFETIME}\nwhile time.monotonic() < end:\n    os.write(1, b'x' * 65536)\n",
        outcome="agent",
        by="a cap on output, then SIGKILL",
        effect="detected",
        files={"conftest.py": SMALL_CAPS},
        check=_logs_within_the_cap,
    ),
    Attack(
        name="endless-errors",
        kind="harm",
        what="has a daemon print for ever on standard error while it waits",
        script=_BEGIN + f"end = time.monotonic() + {LIFETIME}\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    while time.monotonic() < end:\n"
        "        os.write(2, b'\\xff\\n' * 32768)\n"
        f"time.sleep({LIFETIME})\n",
        outcome="agent",
        by="the cap counts both streams",
        effect="detected",
        files={"conftest.py": SMALL_CAPS},
        check=_logs_within_the_cap,
    ),
    Attack(
        name="endless-output-in-the-gate",
        kind="harm",
        what="has the product print for ever when it is tested",
        script=_BEGIN + "Path('src/product.py').write_text('import os, time\\nend = time.monotonic() + 25\\n"
        'while time.monotonic() < end:\\n    os.write(1, b"x" * 65536)\\n\')\n',
        outcome="gate",
        by="a cap on a gate's output",
        effect="detected",
        files={"conftest.py": SMALL_CAPS},
        check=_logs_within_the_cap,
    ),
    Attack(
        name="one-endless-line",
        kind="harm",
        what="prints 20 MB without a line break and ends in the middle of a character",
        script=_BEGIN
        + "for _ in range(320):\n    os.write(1, b'\\xe2\\x82\\xac' * 21845)\nos.write(1, b'\\xe2')\nsys.exit(1)\n",
        outcome="agent",
        by="only the end of an output is ever read",
        effect="detected",
        check=_printed_little,
    ),
    Attack(
        name="truncates-its-own-output",
        kind="harm",
        what="truncates and seeks in the files that its output goes to, and makes them 3 GB long",
        script=_BEGIN
        + """
for handle in (1, 2):
    with contextlib.suppress(OSError):
        print("said", flush=True)
        os.ftruncate(handle, 3 << 30)
        os.write(handle, b"end")
""",
        outcome="agent",
        by="a cap on output counts what the file's size says",
        effect="detected",
        check=_logs_within_the_cap,
        files={"conftest.py": SMALL_CAPS},
    ),
    Attack(
        name="sparse-file",
        kind="harm",
        what="leaves a sparse file of 4 GB in its scope",
        script=_BEGIN + "Path('src/big').touch()\nos.truncate('src/big', 4 << 30)\n",
        outcome="scope",
        by="files over 100 MB are refused by their size, unread",
        effect="detected",
    ),
    Attack(
        name="sparse-file-that-is-ignored",
        kind="harm",
        what="leaves a sparse file of 4 GB, and pipes, where the project ignores files",
        script=_BEGIN
        + "Path('build').mkdir()\nPath('build/big').touch()\nos.truncate('build/big', 4 << 30)\nos.mkfifo('build/pipe')\n",
        outcome="landed",
        by="ignored files are listed, never read",
    ),
    Attack(
        name="fork-bomb",
        kind="harm",
        what=f"forks and forks (here: {_BOUND} processes)",
        script=_BEGIN
        + f"""
first = os.getpid()
for _ in range({_BOUND.bit_length() - 1}):
    os.fork()
if os.getpid() != first:
    os.setsid()
    time.sleep({LIFETIME})
    os._exit(0)
time.sleep(0.3)
""",
        outcome="landed",
        by=REAPER,
    ),
    Attack(
        name="memory-hog",
        kind="harm",
        what="takes 256 MB, leaves a daemon that keeps them, and ends by SIGABRT",
        script=_BEGIN
        + f"""
if os.fork() == 0:
    os.setsid()
    hog = bytearray(256 << 20)
    time.sleep({LIFETIME})
    os._exit(0)
time.sleep(0.3)
os.abort()
""",
        outcome="agent",
        by=REAPER,
        effect="detected",
    ),
    Attack(
        name="memory-beyond-its-limit",
        kind="harm",
        what="takes more memory than it may have (here: 400 of 64 MB)",
        script=_BEGIN + "kept = [bytearray(b'x' * (8 << 20)) for _ in range(50)]\n",
        outcome="agent",
        by=CGROUP,
        settings={"limits": {"memory": "64M"}},
        check=_killed_for_memory,
        needs_cgroup=True,
    ),
    Attack(
        name="processes-beyond-its-limit",
        kind="harm",
        what=f"forks and forks beyond the processes it may have (here: {_BOUND} of 16)",
        script=_BEGIN
        + f"""
children = []
with contextlib.suppress(OSError):
    for _ in range({_BOUND}):
        children.append(os.fork())
        if children[-1] == 0:
            time.sleep({LIFETIME})
            os._exit(0)
print("started", len(children), flush=True)
""",
        outcome="landed",
        by=CGROUP,
        settings={"limits": {"processes": 16}},
        check=_refused_to_fork,
        needs_cgroup=True,
    ),
    Attack(
        name="many-open-files",
        kind="harm",
        what="opens as many files as it may",
        script=_BEGIN
        + "kept = []\nwith contextlib.suppress(OSError):\n    while len(kept) < 100_000:\n        kept.append(os.open('/', 0))\n",
        outcome="landed",
        by="its limits are its own",
    ),
    Attack(
        name="pipes-and-sockets",
        kind="harm",
        what="leaves named pipes and sockets in its scope, also where the runner reads rules",
        script=_BEGIN
        + "os.mkfifo('src/pipe')\nos.mkfifo('src/.gitattributes')\nos.mkfifo('.gitattributes')\nos.unlink('.gitignore')\n"
        "os.mkfifo('.gitignore')\nsocket.socket(socket.AF_UNIX).bind('src/socket')\n",
        outcome="scope",
        by=SURVEY,
        effect="detected",
    ),
    Attack(
        name="rule-files-are-links-to-devices",
        kind="harm",
        what="makes `.gitignore` and `.gitattributes` links to /dev/zero and to a pipe",
        script=_BEGIN
        + "os.unlink('.gitignore')\nos.symlink('/dev/zero', '.gitignore')\nos.mkfifo('src/pipe')\n"
        "os.symlink('pipe', 'src/.gitignore')\nos.symlink('/dev/zero', '.gitattributes')\n"
        "os.symlink('/dev/zero', 'src/.gitattributes')\n",
        outcome="scope",
        by=SURVEY,
        effect="detected",
    ),
    Attack(
        name="rule-files-are-folders",
        kind="harm",
        what="makes `.gitignore` and `.gitattributes` folders, one of them full of rules for itself",
        script=_BEGIN
        + "os.unlink('.gitignore')\nPath('.gitignore').mkdir()\nPath('.gitignore/.gitignore').write_text('*')\n"
        "Path('src/.gitattributes').mkdir()\n",
        outcome="scope",
        by="scope verdict",
        effect="detected",
    ),
    Attack(
        name="enormous-rule-file",
        kind="harm",
        what="leaves a `.gitignore` of 2 GB (sparse)",
        script=_BEGIN + "Path('src/.gitignore').touch()\nos.truncate('src/.gitignore', 2 << 30)\n",
        outcome="scope",
        by=SURVEY,
        effect="detected",
    ),
    Attack(
        name="memory-file-is-enormous",
        kind="harm",
        what="replaces CLAUDE.md by a sparse file of 4 GB",
        script=_BEGIN + "os.truncate('CLAUDE.md', 4 << 30)\n",
        outcome="scope",
        by=SURVEY,
        effect="detected",
    ),
    Attack(
        name="memory-file-is-a-pipe",
        kind="harm",
        what="replaces CLAUDE.md by a named pipe",
        script=_BEGIN + "os.unlink('CLAUDE.md')\nos.mkfifo('CLAUDE.md')\n",
        outcome="scope",
        by=SURVEY,
        effect="detected",
    ),
    Attack(
        name="memory-file-of-a-hundred-thousand-lines",
        kind="harm",
        what="adds 100,000 lines to the memory file",
        script=_BEGIN
        + "with open('CLAUDE.md', 'a') as file:\n    file.write('\\n## Known Issues\\n' + '- noise\\n' * 100_000)\n",
        outcome="scope",
        by="only lines under the sections that are there",
        effect="detected",
        check=_printed_little,
    ),
    *(
        (
            Attack(
                name="device-nodes",
                kind="harm",
                what="leaves device nodes in its scope",
                settings=UNCONFINED,
                script=_BEGIN + "for minor, name in ((3, 'src/null'), (5, 'src/zero')):\n"
                "    os.mknod(name, 0o666 | stat.S_IFCHR, os.makedev(1, minor))\n",
                outcome="scope",
                by=SURVEY,
                effect="detected",
            ),
        )
        if os.geteuid() == 0
        else ()
    ),
    Attack(
        name="terminal-escapes",
        kind="harm",
        what="prints terminal escapes, control characters, broken UTF-8 and XML, and fails",
        script=_BEGIN + f"os.write(1, {NASTY!r} + b'\\n')\nos.write(2, {NASTY!r})\nsys.exit(1)\n",
        outcome="agent",
        by=PRINTABLE,
        effect="detected",
        check=_words_survive,
    ),
    Attack(
        name="terminal-escapes-in-the-gate",
        kind="harm",
        what="has the product print the same and fail in the gate",
        script=_BEGIN + f"Path('src/product.py').write_text({_NASTY_PRODUCT!r})\n",
        outcome="gate",
        by=PRINTABLE,
        effect="detected",
        check=_words_survive,
    ),
    Attack(
        name="terminal-escapes-in-file-names",
        kind="harm",
        what="names files with escapes, line breaks, lone surrogates, bidi controls, 255 bytes",
        script=_BEGIN
        + f"""
names = {NASTY!r}.replace(b"\\0", b"").replace(b"/", b"").split(b" ")
names += [b"red", b"\\n", b"\\r", b" ", b"\\xed\\xb2\\x80", b"n" * 255, b"a\\nAgent-Task: 002-honest"]
for name in names:
    with contextlib.suppress(OSError):
        Path(os.fsdecode(b"src/" + name)).write_text("x") if name not in (b"", b".", b"..") else None
""",
        outcome="scope",
        by=PRINTABLE + "; names with control characters are refused",
        effect="detected",
        check=_words_survive,
    ),
    Attack(
        name="odd-but-lawful-file-names",
        kind="harm",
        what="names files like options, globs, quotes, shell code and git's own syntax",
        script=_BEGIN + f"for name in {_LAWFUL!r}:\n    Path('src', name).write_text('x')\n",
        outcome="landed",
        landed={
            "src/a.txt": "honest\n",
            **{
                f"src/{name}": "x"
                for name in (" ", "-rf", "--", "$(touch x)", "`id`", "'", "HEAD", "#", "~", "é")
            },
        },
        by="literal paths, `-z`, bytes",
    ),
    Attack(
        name="thousands-of-files",
        kind="harm",
        what="leaves very many tiny files in its scope (here: 5,000)",
        script=_BEGIN + "for folder in range(50):\n    Path(f'src/many/{folder}').mkdir(parents=True)\n"
        "    for name in range(100):\n        Path(f'src/many/{folder}/{name}').touch()\n",
        outcome="landed",
        by="costs grow with the number of files only",
        check=_many_landed,
    ),
    Attack(
        name="thousands-of-files-elsewhere",
        kind="harm",
        what="leaves very many tiny files out of its scope (here: 5,000)",
        script=_BEGIN + "for folder in range(50):\n    Path(f'many/{folder}').mkdir(parents=True)\n"
        "    for name in range(100):\n        Path(f'many/{folder}/{name}').touch()\n",
        outcome="scope",
        by="scope verdict; the report names the first ones",
        effect="detected",
        check=_printed_little,
    ),
    Attack(
        name="deep-folders",
        kind="harm",
        what="nests folders deeper than any path may be long (600 levels of 20 bytes)",
        script=_BEGIN
        + "os.chdir('src')\nfor _ in range(600):\n    os.mkdir('d' * 20)\n    os.chdir('d' * 20)\nPath('x').touch()\n",
        outcome="scope",
        by=SURVEY,
        effect="detected",
        check=_swept,
    ),
    Attack(
        name="deep-folders-that-are-ignored",
        kind="harm",
        what="nests them where the project ignores files, for whoever cleans up",
        script=_BEGIN
        + "Path('build').mkdir()\nos.chdir('build')\nfor _ in range(600):\n    os.mkdir('d' * 20)\n    os.chdir('d' * 20)\n",
        outcome="landed",
        by="ignored files are listed, never read; cleaned up by handle",
    ),
    Attack(
        name="deep-folders-in-tmpdir",
        kind="harm",
        what="nests them in its TMPDIR, with folders that nobody may enter",
        script=_BEGIN
        + "os.chdir(os.environ['TMPDIR'])\nos.mkdir('closed')\nPath('closed/x').touch()\nos.chmod('closed', 0)\n"
        "for _ in range(600):\n    os.mkdir('d' * 20)\n    os.chdir('d' * 20)\n",
        outcome="landed",
        by="cleaned up by handle",
    ),
    Attack(
        name="closed-folders",
        kind="harm",
        what="takes all permissions from its folders and files",
        script=shell(
            "mkdir -p build/closed; touch build/closed/x; chmod 000 build/closed build .git other/kept.txt"
        ),
        outcome="scope",
        by=SURVEY,
        effect="detected",
    ),
    Attack(
        name="a-link-to-itself",
        kind="harm",
        what="leaves links to themselves and to each other",
        script=shell("ln -s self src/self; ln -s two src/one; ln -s one src/two"),
        outcome="landed",
        landed={"src/a.txt": "honest\n"},
        by="links are never followed",
    ),
    Attack(
        name="time-travel",
        kind="harm",
        what="gives files times before 1970 and after 2106",
        script=_BEGIN
        + "for seconds, name in ((-10**9, 'src/old'), (2**33, 'src/new'), (2**33, 'src/a.txt')):\n"
        "    with open(name, 'a'):\n        pass\n    os.utime(name, (seconds, seconds))\n",
        outcome="landed",
        landed={"src/a.txt": "honest\n", "src/old": "", "src/new": ""},
        by="times decide nothing",
    ),
    Attack(
        name="kills-its-own-session",
        kind="harm",
        what="ends itself by a signal in the middle of its work",
        script=shell("kill -SEGV $PPID"),
        outcome="agent",
        by="`agent: ended by signal`",
        effect="detected",
    ),
    Attack(
        name="enormous-diff",
        kind="harm",
        what="adds a file of 8 MB of random bytes in its scope, and one line of 2 MB",
        script=_BEGIN
        + "Path('src/random').write_bytes(os.urandom(8 << 20))\nPath('src/line').write_bytes(b'x' * (2 << 20))\n",
        outcome="landed",
        by="diffs go to files",
        check=_printed_little,
    ),
)
