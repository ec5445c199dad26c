"""The `agenttasks` command as a whole: verbs, help, errors, exit statuses."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_agenttasks import __version__, cli
from pytest_agenttasks.cli import VERBS, Verb, main
from pytest_agenttasks.outcome import SetupError
from tests.user_repository import UserRepository, task_text

PACKAGE = str(Path(cli.__file__).parents[2])


def command(*args: str, **options: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "pytest_agenttasks.cli", *args]
    environment = {**os.environ, "PYTHONPATH": PACKAGE}
    given = {"capture_output": True, "text": True, "env": environment, **options}
    return subprocess.run(argv, check=False, **given)  # type: ignore[call-overload, no-any-return]


def test_without_a_verb_it_prints_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out = capsys.readouterr().out
    for name, verb in VERBS.items():
        assert f"    {name} " in out
        assert verb.help in " ".join(out.split())


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"agenttasks {__version__}\n"


@pytest.mark.parametrize("name", [name for name, verb in VERBS.items() if not verb.passes_on])
def test_every_verb_has_help_and_its_two_functions(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: agenttasks {name}")
    module = importlib.import_module(f"pytest_agenttasks.cli.{name}")
    assert callable(module.configure)
    assert callable(module.run)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["bogus"], "invalid choice: 'bogus'"),
        (["schema", "--bogus"], "unrecognized arguments: --bogus; see `agenttasks --help`"),
        (["new"], "the following arguments are required: title; see `agenttasks new --help`"),
        (["init", "--her"], "unrecognized arguments: --her"),
        (["--bogus"], "unrecognized arguments: --bogus"),
    ],
)
def test_a_wrong_command_line_is_an_unusable_set_up(
    args: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(args) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("agenttasks: error: ")
    assert said in err


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """A verb `fail` that raises `error`."""

    def run(args: argparse.Namespace) -> int:
        raise error

    module = SimpleNamespace(configure=lambda parser: None, run=run)
    monkeypatch.setitem(VERBS, "fail", Verb("fails"))
    monkeypatch.setitem(sys.modules, "pytest_agenttasks.cli.fail", module)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (SetupError("no gate"), 4, "agenttasks: error: no gate\n"),
        (
            PermissionError(13, "Permission denied", "x"),
            4,
            "agenttasks: error: [Errno 13] Permission denied: 'x'\n",
        ),
        (KeyboardInterrupt(), 2, "agenttasks: interrupted\n"),
    ],
)
def test_errors_are_one_line_and_a_status(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
    said: str,
) -> None:
    failing(monkeypatch, error)
    assert main(["fail"]) == status
    assert capsys.readouterr().err == said


def test_a_bug_is_not_dressed_up_as_an_error_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        main(["fail"])


def test_schema_prints_json() -> None:
    done = command("schema")
    assert done.returncode == 0
    assert json.loads(done.stdout)["$defs"]["Settings"]["properties"]["gates"]


@pytest.mark.parametrize("verb", ["schema", "lint"], ids=["long", "short"])
def test_a_reader_that_goes_away_is_no_traceback(
    repository: UserRepository, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = command(verb, cwd=repository.path, capture_output=False, stdout=write_end, stderr=subprocess.PIPE)
    os.close(write_end)
    assert done.returncode == 141
    assert done.stderr == ""


def test_what_the_terminal_cannot_show_does_not_end_a_command(repository: UserRepository) -> None:
    repository.write("tasks/pending/001-a.md", task_text(scope=("lib/ä.txt",)))
    environment = {**os.environ, "PYTHONPATH": PACKAGE, "PYTHONIOENCODING": "ascii:strict"}
    done = command("lint", env=environment, cwd=repository.path)
    assert done.returncode == 0, done.stderr
    assert "lib/\\xe4.txt" in done.stdout


def test_only_the_verb_that_is_used_is_imported() -> None:
    script = (
        "import sys; from pytest_agenttasks.cli import main; status = main(['schema']); "
        "sys.exit(status or any(m in sys.modules for m in ('git', 'pytest', 'pytest_agenttasks.cli.init')))"
    )
    environment = {**os.environ, "PYTHONPATH": PACKAGE}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
