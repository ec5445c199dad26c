"""The project's own pytest set-up is about its tests: it neither breaks a run of the queue nor steers it."""

from __future__ import annotations

import importlib.util
import json
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

import pytest_agenttasks
from tests.queue_runs import Project, Result

IMPORT_PATH = Path(pytest_agenttasks.__file__).parents[1]
QUIET_PLUGINS = "-p no:asyncio -p no:randomly -p no:html"
"""So that what is tested does not depend on which plugins this environment happens to have."""


@pytest.fixture(autouse=True)
def everything_installed(project: Project) -> None:
    """These runs load whatever plugins there are, as a user's do."""
    project.all_plugins = True


def configure(project: Project, ini: str, **files: str) -> None:
    project.repository.commit("configuration", **{"pytest.ini": f"[pytest]\n{ini}\n", **files})


def plain(project: Project, *args: str) -> Result:
    """Run pytest as typed, without --agent-tasks."""
    process = project.start(*args, command=())
    output, _ = process.communicate(timeout=60)
    return project.result(process.returncode, output)


def test_no_option_of_the_project_chooses_orders_or_cuts_short(project: Project) -> None:
    steering = (
        "-x --maxfail=1 -m unit -k foo --deselect tasks/pending/002-b.md::002-b --ignore=tasks --collect-only -n 2 "
        "--dist=loadfile --timeout=0.01 --session-timeout=0.01 --pyargs --doctest-glob=*.md --runslow --env staging tests"
    )
    configure(
        project,
        f"addopts = {QUIET_PLUGINS} {steering} --junitprefix=night --agent-tasks tasks/pending\n"
        "filterwarnings = error\ntimeout = 0.01\nsession_timeout = 0.01\nfaulthandler_timeout = 0.1\ntestpaths = tests\n"
        "norecursedirs = tasks\nxfail_strict = true\nlog_cli = true\nconsole_output_style = count\nminversion = 7",
        **{
            "tests/conftest.py": (
                "def pytest_addoption(parser):\n"
                "    parser.addoption('--runslow', action='store_true')\n"
                "    parser.addoption('--env')\n"
                "raise RuntimeError('a task may change this file: the runner must not import it')\n"
            ),
            "conftest.py": "import warnings\n\ndef pytest_agenttasks_event():\n    warnings.warn('outdated')\n",
            "tasks/__init__.py": "raise RuntimeError('nor any package around the queue')\n",
            "test_own.py": "raise RuntimeError('nor an ordinary test')\n",
        },
    )
    project.agent('[ $AGENTTASKS_TASK != 001-a ] && sleep 0.2 && echo "by $AGENTTASKS_TASK" >> src/a.txt')
    project.task("001-a", front="max_attempts: 1")
    project.task("002-b")
    project.task("003-c")
    result = plain(project)
    assert result.outcomes == {"001-a": "agent", "002-b": "landed", "003-c": "landed"}, result.output
    assert result.status == 1
    assert "Timeout (" not in result.output, "faulthandler's dump"
    classname = next(case.get("classname", "") for case in ET.parse(result.junit).iter("testcase"))
    assert classname.startswith("night."), "how a run looks may well be configured"


def test_installed_plugins_do_not_measure_repeat_distribute_or_shuffle(project: Project) -> None:
    options = {
        "pytest_cov": "--cov=src --cov-fail-under=100 --cov-report=xml:coverage.xml",
        "xdist": "-n auto",
        "pytest_rerunfailures": "--reruns 2",
        "pytest_html": "--html=report.html",
    }
    ini = {"pytest_asyncio": "asyncio_mode = auto", "pytest_rerunfailures": "reruns = 3"}

    def installed(known: dict[str, str]) -> list[str]:
        return [text for module, text in known.items() if importlib.util.find_spec(module)]

    configure(
        project,
        f"addopts = {' '.join(installed(options))}\n" + "\n".join(installed(ini)),
        **{"conftest.py": "def pytest_collection_modifyitems(items):\n    items.reverse()\n"},
    )
    project.agent('echo "by $AGENTTASKS_TASK" >> src/a.txt; [ $AGENTTASKS_TASK != 000-last ]')
    project.task("000-last", front="depends_on: [001-third]\nmax_attempts: 1")
    project.task("001-third", front="depends_on: [002-second]")
    project.task("002-second", front="depends_on: [003-first]")
    project.task("003-first")
    result = project.run()
    assert list(result.outcomes.values()) == ["landed", "landed", "landed", "agent"], result.output
    assert list(result.outcomes) == ["003-first", "002-second", "001-third", "000-last"]
    assert result.properties["000-last"]["attempts"] == "1"
    assert "overage" not in result.output
    left = {path.name for path in project.path.iterdir()} - {"report.html", "assets", "__pycache__"}
    assert left == {".git", ".gitignore", "agenttasks.yaml", "conftest.py", "pytest.ini", "src", "tasks"}


def test_a_gate_may_run_the_tests_of_a_project_whose_addopts_name_the_queue(project: Project) -> None:
    configure(
        project,
        f"addopts = {QUIET_PLUGINS} --agent-tasks tasks/pending",
        **{
            "test_own.py": "import pathlib\n\ndef test_own():\n    assert pathlib.Path('src/a.txt').read_text()[0] == 'a'\n"
        },
    )
    command = f"{sys.executable} -m pytest -p no:cacheprovider"
    gates = [
        {"name": "tests", "run": f"{command} > $TMPDIR/log && grep '1 passed' $TMPDIR/log"},
        {
            "name": "typed",
            "run": f"! {command} --agent-tasks tasks/pending > $TMPDIR/log 2>&1 && grep 'not start another' $TMPDIR/log",
        },
    ]
    settings = {
        "gates": [{**gate, "env": {"PYTHONPATH": str(IMPORT_PATH)}} for gate in gates],
        "agent": {"name": "command", "command": f"sh {project.script}"},
        "canary": "off",
    }
    project.repository.commit("settings", **{"agenttasks.yaml": json.dumps(settings)})
    project.task("001-first")
    result = plain(project)
    assert result.outcomes == {"001-first": "landed"}, result.output


def test_what_is_typed_counts(project: Project) -> None:
    configure(project, f"addopts = {QUIET_PLUGINS} -k 003", **{"tests/test_own.py": "def test_own(): pass\n"})
    project.agent("exit 1")
    for name in ("001-a", "002-b", "003-c"):
        project.task(name, front="max_attempts: 1\ntags: [auth]" if name != "001-a" else "max_attempts: 1")
    result = project.run(
        "-x", "-m", "auth", "--strict-markers", "--strict-config", "-W", "error", "-p", "no:logging"
    )
    assert result.outcomes == {"002-b": "agent"}, result.output
    assert result.status == 1
    assert "not run, still pending (1): 003-c" in result.output
    assert "stopping after 1 failures" in result.output


def test_environment_options_steer_no_more_than_addopts(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", f"{QUIET_PLUGINS} -k nothing --collect-only -q")
    project.task("001-first")
    result = project.run("-p", "no:terminal")
    assert result.outcomes == {"001-first": "landed"}, result.output
    assert result.status == 0


def test_a_task_that_a_hook_of_the_project_skips_has_not_landed(project: Project) -> None:
    configure(
        project,
        f"addopts = {QUIET_PLUGINS}",
        **{
            "conftest.py": "import pytest\n\ndef pytest_runtest_setup(item):\n    pytest.skip('not on Fridays')\n"
        },
    )
    project.task("001-first")
    result = project.run("-q", "-s", "--no-header", "--tb=short")
    assert result.status == 1, result.output
    assert "not run, still pending (1): 001-first" in result.output
    assert project.where("001-first") == ["pending"]


def test_a_hook_of_the_project_that_fails_stops_the_run_before_more_is_spent(project: Project) -> None:
    configure(
        project,
        f"addopts = {QUIET_PLUGINS}",
        **{
            "tasks/conftest.py": "def pytest_agenttasks_check_changes():\n    raise ValueError('no such rule')\n"
        },
    )
    project.task("001-first")
    project.task("002-second")
    result = project.run("-v", "--import-mode=importlib")
    assert result.outcomes == {"001-first": "internal"}, result.output
    assert result.status == 2
    assert "ValueError: no such rule" in result.output
    assert project.where("001-first") == ["pending"]


def test_a_switched_branch_stops_the_run(project: Project) -> None:
    project.agent(f"echo x >> src/a.txt; git -C {project.path} switch -q -c other")
    project.task("001-first")
    project.task("002-second")
    result = project.run()
    assert result.outcomes == {"001-first": "internal"}, result.output
    assert result.status == 2
    assert "switched away from `work`" in result.output
    assert "Traceback" not in result.output
    assert "not run, still pending (1): 002-second" in result.output


def test_without_the_option_nothing_is_imported_or_changed(project: Project) -> None:
    configure(
        project,
        f"addopts = {QUIET_PLUGINS} -k test_this",
        **{
            "test_own.py": (
                "import sys\n\n"
                "def test_this():\n"
                "    heavy = {'pytest_agenttasks.settings', 'pytest_agenttasks.integration', 'msgspec', 'git'}\n"
                "    assert 'pytest_agenttasks.plugin' in sys.modules\n"
                "    assert not heavy & set(sys.modules)\n\n"
                "def test_that():\n"
                "    assert False\n"
            ),
            "tests/conftest.py": "import pathlib\npathlib.Path('was-read').touch()\n",
        },
    )
    project.task("001-first")
    result = plain(project)
    assert result.status == 0, result.output
    assert "1 passed, 1 deselected" in result.output
    assert (project.path / "was-read").exists()
    assert not (project.path / ".git/agenttasks").exists()


def test_addopts_name_the_queue_from_the_ini_files_folder_and_a_typed_option_from_here(
    project: Project,
) -> None:
    configure(project, f"addopts = {QUIET_PLUGINS} --agent-tasks=tasks/pending")
    project.task("001-first")
    inside = replace(project, repository=replace(project.repository, path=project.path / "src"))
    found = plain(inside, "--collect-only", "-q")
    assert "tasks/pending/001-first.md::001-first" in found.output, found.output
    missing = inside.run("--collect-only")
    assert missing.status == 4
    assert "src/tasks/pending: no such folder" in missing.output
