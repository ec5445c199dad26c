"""Gates that must show that their tests ran: pytest gates without any setting, others through `junit:`."""

from __future__ import annotations

import json
import shutil
import sys
from functools import partial
from pathlib import Path

import pytest

from pytest_agenttasks import gates
from pytest_agenttasks.agents.contract import AgentWorkspace
from pytest_agenttasks.attempt_record import Attempt
from pytest_agenttasks.outcome import Kind, Outcome, SetupError
from pytest_agenttasks.trees.composition import addition, compose, write_blob
from tests.opened import Agent, attempt_task, events, opened
from tests.user_repository import UserRepository

PYTEST = f"{sys.executable} -m pytest -q -p no:cacheprovider"
QUIET = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
PRODUCT = "def double(n):\n    return 2 * n\n"
TESTS = """\
import pytest
from product import double

def test_one():
    assert double(1) == 2

@pytest.mark.parametrize("n", [2, 3])
def test_more(n):
    assert double(n) == n + n
"""


@pytest.fixture
def product(repository: UserRepository) -> UserRepository:
    """A product with three tests, all green."""
    repository.commit(
        "product", **{"product.py": PRODUCT, "tests/test_product.py": TESTS, ".gitignore": "reports/\n"}
    )
    return repository


def writes(**files: str | None) -> Agent:
    """An agent that writes these files (`__` stands for `/`, a trailing `_py` for `.py`); None deletes one."""

    def agent(workspace: AgentWorkspace) -> None:
        for name, text in files.items():
            file = workspace.path / name.replace("__", "/").replace("_py", ".py").replace("_ini", ".ini")
            if text is None:
                file.unlink()
            else:
                file.write_text(text)

    return agent


def attempted(
    product: UserRepository,
    agent: Agent,
    *,
    scope: tuple[str, ...] = ("product.py",),
    front: str = "",
    more: dict[str, object] | None = None,
    line: str = PYTEST,
) -> Attempt:
    gate = {"name": "tests", "run": line, "env": QUIET, **(more or {})}
    with opened(product, agent, gates=[gate]) as run:
        return attempt_task(run, scope=scope, front=front)


def red(this: Attempt) -> Outcome:
    assert this.outcome is not None
    assert this.outcome.kind is Kind.GATE, this.outcome
    return this.outcome


def landed(this: Attempt) -> Attempt:
    assert this.outcome is not None
    assert this.outcome.landed, this.outcome
    return this


CUT_SHORT = "without the test report that it makes on the base"
EXITS = "import os\nos._exit(0)\n"
EXITS_AT_THE_END = "import atexit, os\natexit.register(os._exit, 0)\n\ndef double(n):\n    return 0\n"


def test_honest_work_lands_with_its_tests_counted(product: UserRepository) -> None:
    this = landed(attempted(product, writes(product_py="def double(n):\n    return n + n\n")))
    assert this.verdicts[0].tests == 3
    assert this.notes == []
    assert not product.status()


def test_a_product_that_ends_the_test_run_with_status_0_is_red(product: UserRepository) -> None:
    found = red(attempted(product, writes(product_py=EXITS)))
    assert CUT_SHORT in found.summary


def test_a_product_that_hides_the_exit_status_is_red(product: UserRepository) -> None:
    found = red(attempted(product, writes(product_py=EXITS_AT_THE_END)))
    assert "ended with exit status 0 although 3 tests failed by its own report" in found.summary
    assert found.evidence.startswith("tests: 3 failed\n  new failure: tests/test_product.py::test_one\n")


@pytest.mark.parametrize("line", ["make test", "true; " + PYTEST])
def test_a_pytest_anywhere_below_the_gate_is_seen(product: UserRepository, line: str) -> None:
    product.commit("make", Makefile=f"test:\n\tcd tests && PYTHONPATH=.. {PYTEST}\n")
    found = red(attempted(product, writes(product_py=EXITS), line=line))
    assert CUT_SHORT in found.summary


@pytest.mark.parametrize(
    "text", ["[pytest]\naddopts = --collect-only\n", "[pytest]\naddopts = --ignore=tests\n[x]\n"]
)
def test_a_setting_that_runs_no_test_is_red(product: UserRepository, text: str) -> None:
    product.commit("settings of pytest", **{"pytest.ini": "[pytest]\n"})
    scope = ("pytest.ini", "product.py")
    found = red(attempted(product, writes(pytest_ini=text), scope=scope, line=f"{PYTEST} || test $? = 5"))
    assert "of the tests that ran on the base 3 tests no longer run" in found.summary
    assert "no longer there: tests/test_product.py::test_more[2]" in found.evidence


@pytest.mark.parametrize(
    "option", ["--junitxml=", "--junitxml=/dev/null -o junit_family=xunit2", "-p no:junitxml"]
)
def test_a_setting_cannot_switch_the_report_off(product: UserRepository, option: str) -> None:
    product.commit("settings of pytest", **{"pytest.ini": "[pytest]\n"})
    text = f"[pytest]\naddopts = {option}\n"
    agent = writes(pytest_ini=text, product_py=EXITS)
    red(attempted(product, agent, scope=("pytest.ini", "product.py")))


def test_a_module_in_the_place_of_pytest_is_red(product: UserRepository) -> None:
    found = red(attempted(product, writes(pytest_py="print('3 passed')\n"), scope=("pytest.py",)))
    assert CUT_SHORT in found.summary


def test_a_deleted_test_is_red_where_its_file_is_not_changed(product: UserRepository) -> None:
    product.commit("cases", **{"cases.py": "CASES = [1, 2]\n"})
    text = "import pytest, cases\n\n@pytest.mark.parametrize('n', cases.CASES)\ndef test_case(n):\n    assert n\n"
    product.commit("tests", **{"tests/test_cases.py": text})
    found = red(
        attempted(
            product, writes(cases_py="CASES = [1]\n"), scope=("cases.py",), line=f"PYTHONPATH=. {PYTEST}"
        )
    )
    assert "1 test no longer runs" in found.summary
    assert "no longer there: tests/test_cases.py::test_case[2]" in found.evidence


def test_a_test_deleted_with_permission_is_a_note(product: UserRepository) -> None:
    fewer = TESTS.replace("[2, 3]", "[2]").replace("test_one", "test_first")
    scope = ("product.py", "tests/test_product.py")
    this = landed(attempted(product, writes(tests__test_product_py=fewer), scope=scope))
    assert this.notes == [
        "gate `tests`: tests/test_product.py::test_one no longer runs; its file was changed by the task",
        "gate `tests`: tests/test_product.py::test_more[3] no longer runs; its file was changed by the task",
    ]


def test_a_test_file_deleted_with_permission_is_a_note_and_the_next_base(product: UserRepository) -> None:
    product.commit("more tests", **{"tests/test_other.py": "def test_other(): pass\n"})
    gate = {"name": "tests", "run": PYTEST, "env": QUIET}
    front = "allow_tests: true"
    with opened(product, writes(tests__test_other_py=None), gates=[gate]) as run:
        this = landed(attempt_task(run, scope=("tests/",), front=front))
        assert [note.partition(" no longer")[0] for note in this.notes] == [
            "gate `tests`: tests/test_other.py::test_other"
        ]
        run.extensions.agent = writes(product_py=PRODUCT + "\n")  # type: ignore[attr-defined]
        again = landed(attempt_task(run, name="002-next", scope=("product.py",)))
        assert again.notes == []
        run.extensions.agent = writes(product_py=EXITS)  # type: ignore[attr-defined]
        red(attempt_task(run, name="003-last", scope=("product.py",)))


def test_after_a_commit_of_the_users_the_last_known_tests_still_count(product: UserRepository) -> None:
    gate = {"name": "tests", "run": PYTEST, "env": QUIET}
    with opened(product, writes(product_py=EXITS), gates=[gate]) as run:
        landed_by_user = False

        def agent(workspace: AgentWorkspace) -> None:
            nonlocal landed_by_user
            if not landed_by_user:
                product.commit("mine", **{"src/b.txt": "mine\n"})
                landed_by_user = True
            writes(product_py=EXITS)(workspace)

        run.extensions.agent = agent  # type: ignore[attr-defined]
        found = red(attempt_task(run, scope=("product.py",)))
        assert landed_by_user
        assert CUT_SHORT in found.summary


def test_what_a_commit_of_the_users_took_away_is_not_blamed_on_the_task(product: UserRepository) -> None:
    product.commit("cases", **{"cases.py": "CASES = [1, 2]\n"})
    text = "import pytest, cases\n\n@pytest.mark.parametrize('n', cases.CASES)\ndef test_case(n):\n    assert n\n"
    product.commit("tests", **{"tests/test_cases.py": text})

    def agent(workspace: AgentWorkspace) -> None:
        product.commit("mine", **{"cases.py": "CASES = [1]\n"})
        writes(product_py=PRODUCT + "\n")(workspace)

    assert landed(attempted(product, agent)).verdicts[0].tests == 4


SKIPS = """\
import pytest, product

@pytest.mark.skipif(not hasattr(product, "double"), reason="no product")
def test_one():
    assert product.double(1) == 2
"""


def test_a_skip_that_the_product_causes_is_red(product: UserRepository) -> None:
    product.commit("tests", **{"tests/test_product.py": SKIPS})
    found = red(attempted(product, writes(product_py="x = 1\n")))
    assert "1 test skipped or expected to fail now" in found.summary
    assert "skipped now: tests/test_product.py::test_one" in found.evidence


def test_a_new_test_that_is_skipped_is_a_note(product: UserRepository) -> None:
    text = "import pytest\n\n@pytest.mark.skip\ndef test_new():\n    pass\n"
    this = landed(attempted(product, writes(tests__test_new_py=text), scope=("tests/",)))
    assert this.notes == ["gate `tests`: the new test tests/test_new.py::test_new is skipped"]


def test_failures_are_told_apart(product: UserRepository) -> None:
    product.commit("red test", **{"tests/test_old.py": "def test_old():\n    assert 0\n"})
    more: dict[str, object] = {"known_red": ["tests/test_old.py::test_old"]}
    found = red(attempted(product, writes(product_py="def double(n):\n    return 0\n"), more=more))
    lines = found.evidence.splitlines()
    assert lines[0] == "tests: 4 failed"
    assert lines[1] == "  new failure: tests/test_product.py::test_one"
    assert lines[4] == "  known_red: tests/test_old.py::test_old"


OLD = "tests/test_old.py::test_old"


def test_what_is_known_to_be_red_may_stay_so(product: UserRepository) -> None:
    product.commit("red test", **{"tests/test_old.py": "def test_old():\n    assert 0\n"})
    with pytest.raises(SetupError, match="is red on the base"):
        attempted(product, writes(product_py=PRODUCT + "\n"))
    landed(attempted(product, writes(product_py=PRODUCT + "\n"), more={"known_red": [OLD]}))


def test_what_is_known_to_be_red_and_passes_is_mentioned(product: UserRepository) -> None:
    product.commit(
        "red test", **{"tests/test_old.py": "import product\n\ndef test_old():\n    assert product.fixed\n"}
    )
    agent = writes(product_py=PRODUCT + "fixed = True\n")
    this = landed(attempted(product, agent, more={"known_red": [OLD]}))
    assert this.notes == [f"gate `tests`: known_red `{OLD}` passes now: take it off the list"]


def test_what_is_called_known_red_and_is_not_there_is_mentioned(product: UserRepository) -> None:
    this = landed(
        attempted(product, writes(product_py=PRODUCT + "\n"), more={"known_red": ["tests/x.py::gone"]})
    )
    assert this.notes == ["gate `tests`: known_red `tests/x.py::gone`: no test of that id has run"]


def test_known_red_excuses_neither_a_crash_nor_a_missing_report(product: UserRepository) -> None:
    product.commit("red test", **{"tests/test_old.py": "def test_old():\n    assert 0\n"})
    crash = "import os\nos._exit(1)\n"
    found = red(attempted(product, writes(product_py=crash), more={"known_red": [OLD]}))
    assert "ended with exit status 1" in found.summary
    assert "known_red was of no use" in found.evidence


def test_the_gates_own_option_is_not_broken(product: UserRepository) -> None:
    line = f"{PYTEST} --junitxml=reports/own.xml && test -s reports/own.xml"
    landed(attempted(product, writes(product_py=PRODUCT + "\n"), line=line))
    found = red(attempted(product, writes(product_py=EXITS), line=f"{line} || true"))
    assert CUT_SHORT in found.summary


def test_a_pytest_that_a_test_starts_is_not_counted(product: UserRepository) -> None:
    text = (
        "import subprocess, sys\n\ndef test_starts_another():\n"
        "    line = f'cd examples && {sys.executable} -m pytest -p no:cacheprovider'\n"
        "    assert subprocess.run(line, shell=True).returncode == 1\n"
    )
    inner = "def test_inner():\n    assert 0\n"
    product.commit("nested", **{"tests/test_nested.py": text, "examples/test_inner.py": inner})
    this = landed(attempted(product, writes(product_py=PRODUCT + "\n"), line=f"{PYTEST} tests"))
    assert this.verdicts[0].tests == 4


def test_reports_of_several_folders_are_one_census(product: UserRepository) -> None:
    product.commit("another", **{"api/test_api.py": "def test_api(): pass\n"})
    line = f"(cd tests && PYTHONPATH=.. {PYTEST}) && (cd api && {PYTEST})"
    this = landed(attempted(product, writes(product_py=PRODUCT + "\n"), line=line))
    assert this.verdicts[0].tests == 4
    red(attempted(product, writes(product_py=EXITS), line=line))


def test_several_runs_in_one_folder_are_one_census(product: UserRepository) -> None:
    product.commit("more tests", **{"tests/test_other.py": "def test_other(): pass\n"})
    line = f"{PYTEST} tests/test_product.py && {PYTEST} tests/test_other.py"
    this = landed(attempted(product, writes(product_py=PRODUCT + "\n"), line=line))
    assert this.verdicts[0].tests == 4
    found = red(attempted(product, writes(product_py=EXITS), line=line))
    assert "3 tests no longer run" in found.summary


def test_a_second_run_of_what_failed_decides(product: UserRepository, tmp_path: Path) -> None:
    text = f"import os\n\ndef test_late():\n    assert os.path.exists('{tmp_path}/late')\n"
    product.commit("more tests", **{"tests/test_other.py": text})
    line = f"{PYTEST} || {{ touch {tmp_path}/late; {PYTEST} tests/test_other.py; }}; rm -f {tmp_path}/late"
    this = landed(attempted(product, writes(product_py=PRODUCT + "\n"), line=line))
    assert this.verdicts[0].tests == 4


def test_a_gate_without_tests_needs_no_report(product: UserRepository) -> None:
    landed(attempted(product, writes(product_py=EXITS), line="true"))


def test_an_acceptance_must_show_its_tests_too(product: UserRepository) -> None:
    front = f"accept:\n  - PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 {PYTEST} tests/test_new.py"
    test = "import product\n\ndef test_new():\n    assert product.triple(1) == 3\n"
    cheat = writes(tests__test_new_py=test, product_py=EXITS)
    scope = ("product.py", "tests/test_new.py")
    this = attempted(product, cheat, scope=scope, front=front, line="true")
    assert this.outcome is not None
    assert (this.outcome.kind, CUT_SHORT in this.outcome.summary) == (Kind.ACCEPT, True), this.outcome
    honest = writes(tests__test_new_py=test, product_py=PRODUCT + "\ndef triple(n):\n    return 3 * n\n")
    with opened(product, honest) as run:
        landed(attempt_task(run, name="002-honest", scope=scope, front=front))


NODE = """\
const fs = require("fs");
const product = require("./product.js");
let cases = "", bad = 0;
for (const [name, works] of Object.entries({one: () => product.double(1) === 2, two: () => product.double(2) === 4})) {
  const ok = works();
  bad += !ok;
  cases += `<testcase classname="product doubles" name="${name}">${ok ? "" : "<failure/>"}</testcase>`;
}
fs.mkdirSync("reports", {recursive: true});
fs.writeFileSync("reports/node.xml", `<testsuites><testsuite name="node" tests="2">${cases}</testsuite></testsuites>`);
process.exit(bad ? 1 : 0);
"""
HONEST = "exports.double = (n) => 2 * n;\n"


@pytest.fixture
def node(repository: UserRepository) -> UserRepository:
    """A product in another language, whose runner writes a report."""
    if shutil.which("node") is None:
        pytest.skip("needs node")
    repository.commit("node", **{"run.js": NODE, "product.js": HONEST, ".gitignore": "reports/\n"})
    return repository


JUNIT: dict[str, object] = {"junit": "reports/*.xml"}


def node_attempt(
    node: UserRepository, text: str, more: dict[str, object] = JUNIT, line: str = "node run.js"
) -> Attempt:
    def agent(workspace: AgentWorkspace) -> None:
        (workspace.path / "product.js").write_text(text)

    return attempted(node, agent, scope=("product.js",), line=line, more=more)


def test_another_runner_is_asked_by_junit(node: UserRepository) -> None:
    assert landed(node_attempt(node, HONEST + "\n")).verdicts[0].tests == 2


def test_a_report_that_is_not_made_is_red(node: UserRepository) -> None:
    found = red(node_attempt(node, "process.exit(0);\n"))
    assert "it left no report at `reports/*.xml`" in found.summary


def test_a_failure_by_the_report_is_told_of_another_runner(node: UserRepository) -> None:
    found = red(node_attempt(node, "exports.double = (n) => 2;\n"))
    assert found.evidence.splitlines()[:2] == [
        "tests: 1 passed, 1 failed",
        "  new failure: product doubles::two",
    ]


@pytest.mark.parametrize(
    ("report", "why"),
    [
        ('<testsuite tests="2"><testcase name="one"/>', "is not whole XML"),
        ('<testsuite tests="2"><testcase name="one"/></testsuite>', "announces 1 test more than it holds"),
        ('<testsuite tests="0"></testsuite>', "2 tests no longer run"),
        ("<html/>", "starts with <html>"),
    ],
)
def test_a_forged_report_is_red(node: UserRepository, report: str, why: str) -> None:
    script = f"fs = require('fs'); fs.mkdirSync('reports'); fs.writeFileSync('reports/node.xml', '{report}'); process.exit(0);\n"
    assert why in red(node_attempt(node, script)).summary


def test_a_report_of_an_earlier_gate_or_run_is_never_taken(node: UserRepository, tmp_path: Path) -> None:
    stale = tmp_path / "stale.xml"
    stale.write_text("<testsuite/>")
    line = f"if test -e {tmp_path}/honest; then node run.js; else mkdir reports; cp -p {stale} reports/node.xml; fi"
    with pytest.raises(SetupError, match="older than the gate's start"):
        node_attempt(node, HONEST, line=line)
    both = [
        {"name": "first", "run": "node run.js"},
        {"name": "second", "run": "true", "junit": "reports/*.xml"},
    ]
    with opened(node, gates=both) as run, pytest.raises(SetupError, match="left no report at `reports/"):
        attempt_task(run)


def test_a_report_that_git_tracks_is_refused(node: UserRepository) -> None:
    node.write("reports/old.xml", "<testsuite/>")
    node.git("add", "-f", "reports/old.xml")
    node.commit("a report")
    with pytest.raises(SetupError, match=r"`reports/old.xml` is tracked by git, where it could be forged"):
        node_attempt(node, HONEST)


def flaky_line(counter: Path, reds: str) -> str:
    """A gate that is red in its runs of these numbers, from 1."""
    return f"echo >> {counter}; n=$(wc -l < {counter}); case ' {reds} ' in *\" $n \"*) echo run $n; exit 1;; esac"


def test_a_gate_that_is_red_once_is_flaky_and_passes(repository: UserRepository, tmp_path: Path) -> None:
    gates_ = [
        {"name": "first", "run": f"echo first >> {tmp_path}/order"},
        {"name": "tests", "run": flaky_line(tmp_path / "count", "2")},
        {"name": "last", "run": f"echo last >> {tmp_path}/order"},
    ]
    with opened(repository, gates=gates_) as run:
        this = landed(attempt_task(run))
        logs = run.queue.logs / "001-first"
        assert [v.flaky for v in this.verdicts] == [False, True, False]
        assert this.flaky == ("tests",)
        assert "gate `tests` is flaky: red at first" in this.notes[0]
        assert (logs / "attempt-1.gate-tests.log").read_text().strip() == "run 2"
        assert (logs / "attempt-1.gate-tests.rerun.log").read_text() == ""
        assert {"gate-rerun", "gate-flaky"} <= set(events(run))
        assert '"flaky":["tests"]' in (run.repository.home / "journal.jsonl").read_text().replace(" ", "")
    order = (tmp_path / "order").read_text().split()
    assert order == ["first", "last", "first", "first", "last"], "on the base, then twice up to the flaky one"


def test_a_gate_that_is_red_twice_is_red(repository: UserRepository, tmp_path: Path) -> None:
    with opened(repository, gates=[{"name": "tests", "run": flaky_line(tmp_path / "count", "2 3")}]) as run:
        this = attempt_task(run)
        assert red(this).evidence.strip() == "run 2"
        assert not this.verdicts[-1].flaky
    assert len((tmp_path / "count").read_text().splitlines()) == 4, "base, twice, base again"


def test_two_flaky_gates_have_a_second_chance_each(repository: UserRepository, tmp_path: Path) -> None:
    both = [{"name": name, "run": flaky_line(tmp_path / name, "2")} for name in ("one", "two")]
    with opened(repository, gates=both) as run:
        this = landed(attempt_task(run))
        assert [v.gate for v in this.verdicts if v.flaky] == ["one", "two"]
        assert [Path(v.log).name.partition("gate-")[2] for v in this.verdicts] == [
            "one.rerun-2.log",
            "two.rerun-2.log",
        ]


def test_a_kept_verdict_is_held_against_the_base_of_today(product: UserRepository) -> None:
    with opened(product, gates=[{"name": "tests", "run": PYTEST, "env": QUIET}]) as run:
        tip = run.repository.tip()
        base = run.tree_of(tip)
        files = {"conftest.py": "collect_ignore = ['tests']\n", "test_other.py": "def test_one(): pass\n"}
        added = [
            addition(name.encode(), write_blob(run.shadow, text.encode())) for name, text in files.items()
        ]
        tree = compose(run.shadow, base, added)
        check = partial(gates.check, run, run.settings.gates, tree, tip, run.queue.logs, "kept")
        assert check()[-1].passed
        assert check()[-1].cached
        assert gates.green_base(run, run.settings.gates, base, tip) is None
        assert "3 tests no longer run" in check(base=base)[-1].reason


def test_a_flaky_gate_does_not_make_the_base_red(repository: UserRepository, tmp_path: Path) -> None:
    with opened(repository, gates=[{"name": "tests", "run": flaky_line(tmp_path / "count", "1")}]) as run:
        landed(attempt_task(run))


def test_an_acceptance_has_no_second_chance(repository: UserRepository, tmp_path: Path) -> None:
    line = flaky_line(tmp_path / "count", "1")
    with opened(repository, gates=[{"name": "tests", "run": "true"}]) as run:
        landed(attempt_task(run, front=f"accept: {json.dumps([line])}"))
    assert len((tmp_path / "count").read_text().splitlines()) == 2
