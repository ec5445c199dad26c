from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_agenttasks.processes.supervisor import StartError
from tests.living import PATH, Runner

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Runner]:
    with Runner(tmp_path / "work") as run:
        yield run


def test_output_goes_to_new_private_files(run: Runner) -> None:
    (run.folder / "out").write_text("much longer text from an earlier attempt")
    run("sh", "-c", "echo one; echo two >&2", stderr=run.folder / "err")
    assert (run.folder / "out").read_text() == "one\n"
    assert (run.folder / "err").read_text() == "two\n"
    assert (run.folder / "err").stat().st_mode & 0o777 == 0o600


def test_stderr_goes_where_stdout_does_unless_it_has_a_file(run: Runner) -> None:
    run("sh", "-c", "echo one; echo two >&2; echo three")
    assert (run.folder / "out").read_text() == "one\ntwo\nthree\n"


def test_a_program_that_truncates_its_output_leaves_no_hole(run: Runner) -> None:
    run("sh", "-c", "echo one; : > /dev/stdout; echo two")
    assert (run.folder / "out").read_text() == "two\n"


def test_stdin_is_the_file_or_empty(run: Runner) -> None:
    (run.folder / "in").write_text("hello")
    run("cat", stdin=run.folder / "in")
    assert (run.folder / "out").read_text() == "hello"
    run("cat")
    assert (run.folder / "out").read_text() == ""


def test_the_environment_is_exactly_the_one_given(run: Runner) -> None:
    run("env", env={"PATH": PATH, "A": "one\ntwo", "Ä": "ö"})
    assert set((run.folder / "out").read_text().split("\n")) == {f"PATH={PATH}", "A=one", "two", "Ä=ö", ""}


def test_the_program_is_searched_on_the_path_of_its_environment(run: Runner) -> None:
    for place, text in (("a", "no"), ("b", "#!/bin/sh\necho b"), ("c", "#!/bin/sh\necho c")):
        (run.folder / place).mkdir()
        (run.folder / place / "tool").write_text(text)
        (run.folder / place / "tool").chmod(0o600 if place == "a" else 0o700)
    run("tool", env={"PATH": f"/nowhere:{run.folder}/a:{run.folder}/b:{run.folder}/c"})
    assert (run.folder / "out").read_text() == "b\n"
    run("c/tool")
    assert (run.folder / "out").read_text() == "c\n"


def test_bytes_that_are_no_utf8_reach_the_program(run: Runner) -> None:
    folder = run.folder / "f\udcfflder"
    folder.mkdir()
    word = "w\udc80rd"
    run("sh", "-c", 'pwd; printf "%s" "$0" "$V"', word, cwd=folder, env={"PATH": PATH, "V": word})
    assert (run.folder / "out").read_bytes() == os.fsencode(folder) + b"\nw\x80rdw\x80rd"


def test_the_program_starts_clean(run: Runner) -> None:
    """No inherited handle, no ignored or blocked signal, no core files, a session of its own."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        script = (
            "ls /proc/$$/fd; grep -E 'NSsid|SigBlk|SigIgn' /proc/self/status; ulimit -c; ulimit -Hc; echo $$"
        )
        run("sh", "-c", script)
    finally:
        signal.signal(signal.SIGUSR2, signal.SIG_DFL)
    zero, one, two, session, blocked, ignored, *core, pid = (run.folder / "out").read_text().splitlines()
    assert [zero, one, two] == ["0", "1", "2"]
    assert int(blocked.split()[1], 16) == 0
    # 32 and 33 are the C library's own; no program can reset them.
    assert int(ignored.split()[1], 16) & ~(0b11 << 31) == 0
    assert session.split()[-1] == pid
    assert core == ["0", "0"]


@pytest.mark.parametrize(
    ("argv", "options", "number", "reason"),
    [
        (["no-such-tool"], {}, errno.ENOENT, "cannot start 'no-such-tool': No such file"),
        (["./plain"], {}, errno.EACCES, "cannot start './plain': Permission denied"),
        (["./no-program"], {}, errno.ENOEXEC, "Exec format error"),
        (["./no-interpreter"], {}, errno.ENOENT, "No such file"),
        (
            ["true"],
            {"cwd": Path("/no/where")},
            errno.ENOENT,
            "its working folder /no/where: No such file",
        ),
        (
            ["true"],
            {"cwd": Path("/etc/passwd")},
            errno.ENOTDIR,
            "its working folder /etc/passwd: Not a dir",
        ),
        (["true"], {"stdin": Path("/no/in")}, errno.ENOENT, "its stdin: No such file"),
        (["true"], {"stdout": Path("/no/out")}, errno.ENOENT, "its stdout: No such file"),
        (["true"], {"stderr": Path("/")}, errno.EISDIR, "its stderr: Is a directory"),
        (["true", "a\0b"], {}, errno.EINVAL, "NUL"),
        (["true"], {"env": {"A": "\0"}}, errno.EINVAL, "NUL"),
        (["true"], {"env": {"A=B": "C"}}, 0, "illegal environment variable name"),
        (["true", "\ud800"], {}, errno.EILSEQ, r"'\ud800'"),
        (["true", "x" * 200_000], {}, errno.E2BIG, "Argument list too long"),
    ],
)
def test_a_program_that_cannot_start_says_why(
    run: Runner, argv: list[str], options: dict[str, Any], number: int, reason: str
) -> None:
    (run.folder / "plain").write_text("x")
    for name, text in (("no-program", "x"), ("no-interpreter", "#!/no/where\n")):
        (run.folder / name).write_text(text)
        (run.folder / name).chmod(0o700)
    with pytest.raises(StartError) as caught:
        run(*argv, **options)
    assert reason in str(caught.value)
    assert caught.value.errno == number
    assert caught.value.argv0 == argv[0]
    assert run("true").ok


def test_a_pipe_in_the_place_of_a_log_blocks_nothing(run: Runner) -> None:
    os.mkfifo(run.folder / "fifo")
    with pytest.raises(StartError, match="its stdout"):
        run("true", stdout=run.folder / "fifo")
    with pytest.raises(StartError, match="its stdin: not a regular file"):
        run("true", stdin=run.folder / "fifo")


def test_there_must_be_a_program(run: Runner) -> None:
    with pytest.raises(ValueError, match="no program"):
        run()
