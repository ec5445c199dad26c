"""The main job, end to end: real pytest, real git, a scripted agent."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.queue_runs import Project


def test_a_task_becomes_one_verified_commit(project: Project) -> None:
    project.task("001-first")
    result = project.run()
    assert result.status == 0, result.output
    assert result.outcomes == {"001-first": "landed"}
    assert project.where("001-first") == ["done"]
    subjects = project.repository.subjects()
    assert subjects[-2:] == [
        "chore(tasks): update tasks/pending/001-first.md",
        "feat: complete 001-first (automated agent run)",
    ]
    assert project.repository.files_of("HEAD") == [
        "src/a.txt",
        "tasks/done/001-first.md",
        "tasks/pending/001-first.md",
    ]
    assert project.repository.read("src/a.txt") == "a\nby 001-first\n"
    assert project.repository.status() == ""
    body = project.repository.git("log", "-1", "--format=%B")
    assert "Task 001-first" in body
    trailers = project.repository.git("log", "-1", "--format=%(trailers)")
    assert "Agent-Task: 001-first" in trailers
    assert "Agent-Attempt: 1" in trailers
    assert "Agent-Gates: tests" in trailers
    assert result.properties["001-first"]["commit"] == project.repository.head()


def test_a_change_out_of_scope_is_refused_and_nothing_of_it_lands(project: Project) -> None:
    project.agent("echo x >> src/a.txt; echo x >> src/b.txt")
    project.task("001-stray")
    result = project.run()
    assert result.status == 1
    assert result.outcomes == {"001-stray": "scope"}
    assert result.properties["001-stray"]["attempts"] == "2"
    assert "src/b.txt" in result.output
    assert project.where("001-stray") == ["failed"]
    assert project.repository.read("src/a.txt") == "a\n"
    assert project.repository.status() == ""
    assert project.repository.subjects()[-1] == "chore(tasks): move 001-stray to failed"
    assert "+x" in (project.path / "tasks/logs/001-stray/attempt-1.diff").read_text()
    stored = ("--git-dir", ".git/agenttasks/shadow.git", "show", "refs/attempts/001-stray/1:src/b.txt")
    assert project.repository.git(*stored) == "b\nx"


def test_the_next_session_is_told_what_the_gate_said_and_goes_on_from_the_files(project: Project) -> None:
    project.configure(gate="cat src/a.txt; grep -q good src/a.txt || ! grep -q bad src/a.txt")
    project.agent(
        "cat > ../prompt-$AGENTTASKS_ATTEMPT || true\n"
        "if [ $AGENTTASKS_ATTEMPT = 1 ]; then echo bad >> src/a.txt; else echo good >> src/a.txt; fi"
    )
    project.task("001-second")
    result = project.run()
    assert result.status == 0, result.output
    assert "1 rerun" in result.output
    assert project.repository.read("src/a.txt") == "a\nbad\ngood\n"
    assert result.properties["001-second"]["attempts"] == "2"
    prompt = (project.path / "tasks/logs/001-second/attempt-2.prompt.md").read_text()
    assert "gate `tests`" in prompt
    assert "bad" in prompt


def test_blocked_and_refused_tasks_spend_nothing_and_the_rest_goes_on(project: Project) -> None:
    project.agent(
        'echo "$AGENTTASKS_TASK" >> ../ran; [ $AGENTTASKS_TASK != 002-fails ] && echo x >> src/a.txt'
    )
    project.task("001-refused", "# No scope\n\n## Objective\nWork.\n")
    project.task("002-fails")
    project.task("003-blocked", front="depends_on: [002-fails]")
    project.task("004-fine")
    result = project.run()
    assert result.status == 1
    assert result.outcomes == {
        "001-refused": "refused",
        "002-fails": "agent",
        "003-blocked": "blocked",
        "004-fine": "landed",
    }
    assert project.where("001-refused") == ["failed"]
    assert project.where("003-blocked") == ["pending"]


def test_dependencies_set_the_order_and_done_ones_count(project: Project) -> None:
    project.task("001-late", front="depends_on: [002-early]")
    project.task("002-early", front="depends_on: [000-old]")
    project.repository.commit("old", **{"tasks/done/000-old.md": "# Old\n"})
    result = project.run()
    assert result.status == 0, result.output
    assert project.repository.read("src/a.txt") == "a\nby 002-early\nby 001-late\n"


def test_reverting_any_landed_task_is_clean_and_the_next_run_holds_it(project: Project) -> None:
    project.repository.commit("memory", **{"CLAUDE.md": "# M\n\n## Known Issues\n\n## Completed Tasks Log\n"})
    project.agent('echo "$AGENTTASKS_TASK" > src/$AGENTTASKS_TASK.txt')
    names = [f"00{n}-t" for n in range(1, 6)]
    for name in names:
        project.task(name, scope=(f"src/{name}.txt",))
    assert project.run().status == 0
    commits = {
        name: project.repository.git("log", "--format=%H", f"--grep=complete {name} ") for name in names
    }
    for name in (names[0], names[2], names[4]):
        project.repository.git("revert", "--no-edit", commits[name])
        assert project.where(name) == ["pending"]
        assert not (project.path / f"src/{name}.txt").exists()
    result = project.run()
    assert result.outcomes == dict.fromkeys((names[0], names[2], names[4]), "held")
    assert result.status == 1


def test_the_memory_file_is_kept_by_the_runner(project: Project) -> None:
    project.repository.commit(
        "memory",
        **{"CLAUDE.md": "# M\n\n## Known Issues\n\n## Active Task Queue\n\n## Completed Tasks Log\n"},
    )
    project.agent(
        'echo x >> src/a.txt\nsed -i "s/^## Known Issues$/## Known Issues\\n- seen by $AGENTTASKS_TASK/" CLAUDE.md'
    )
    project.task("001-first")
    project.task("002-second")
    result = project.run()
    assert result.status == 0, result.output
    text = project.repository.read("CLAUDE.md")
    assert "- seen by 001-first" in text
    assert "- seen by 002-second" in text
    assert "001-first: Task 001-first" in text
    assert project.repository.subjects()[-1] == "chore(memory): record 002-second"
    assert project.repository.files_of("HEAD") == ["CLAUDE.md"]
    assert "CLAUDE.md" not in project.repository.files_of("HEAD~1")


def test_a_memory_edit_elsewhere_is_out_of_scope(project: Project) -> None:
    project.repository.commit(
        "memory", **{"CLAUDE.md": "# M\n\n## Do Not Touch\n- src/b.txt\n\n## Known Issues\n"}
    )
    project.agent("echo x >> src/a.txt; sed -i '/src.b.txt/d' CLAUDE.md")
    project.task("001-sly")
    result = project.run()
    assert result.outcomes == {"001-sly": "scope"}


def test_a_red_base_stops_before_anything_is_spent(project: Project) -> None:
    project.repository.commit("break", **{"src/broken.txt": "x"})
    project.agent("touch ../ran")
    project.task("001-first")
    result = project.run()
    assert result.status == 4
    assert "red on the base" in result.output
    assert not (project.path.parent / "ran").exists()
    assert project.where("001-first") == ["pending"]


def test_a_gate_that_turns_red_on_the_base_pauses_the_run(project: Project) -> None:
    project.configure(gate=f"test ! -e {project.path.parent}/outage")
    project.agent(f"echo x >> src/a.txt; touch {project.path.parent}/outage")
    project.task("001-first")
    project.task("002-second")
    result = project.run()
    assert result.status == 2
    assert result.outcomes == {"001-first": "base-red"}
    assert project.where("001-first") == ["pending"]


def test_a_gate_that_rewrites_files_fails_and_says_so(project: Project) -> None:
    project.configure(gate="if grep -q x src/a.txt; then echo formatted > src/b.txt; fi")
    project.agent("echo x >> src/a.txt")
    project.task("001-first")
    result = project.run()
    assert result.outcomes == {"001-first": "gate"}
    assert "rewrote tracked files (src/b.txt)" in result.output


def test_an_untracked_queue_works_too(project: Project) -> None:
    project.repository.git("rm", "-rq", "tasks")
    project.repository.write(".gitignore", "*.log\nbuild/\ntasks/\n")
    project.repository.commit("no queue")
    project.task("001-first")
    project.task("002-refused", "# nothing\n")
    result = project.run()
    assert result.outcomes == {"001-first": "landed", "002-refused": "refused"}
    assert project.where("001-first") == ["done"]
    assert project.where("002-refused") == ["failed"]
    assert project.repository.files_of("HEAD") == ["src/a.txt"]


def test_the_users_edit_in_the_way_keeps_the_verified_result_for_the_next_run(project: Project) -> None:
    edit = f"echo mine >> {project.path}/src/a.txt"
    project.agent(f"echo x >> src/a.txt; {edit}; echo again >> ../../../../../ran || true")
    project.task("001-first")
    result = project.run()
    assert result.outcomes == {"001-first": "checkout"}, result.output
    assert project.repository.read("src/a.txt") == "a\nmine\n"
    assert project.where("001-first") == ["pending"]
    project.repository.git("checkout", "src/a.txt")
    project.agent("exit 1")
    again = project.run()
    assert again.outcomes == {"001-first": "landed"}, again.output
    assert "1 session, " in result.output
    assert "landed 1 of 1, 0 sessions, " in again.output
    assert project.repository.read("src/a.txt") == "a\nx\n"


def test_the_users_commit_on_the_same_file_is_respected(project: Project) -> None:
    project.agent(
        f"echo x >> src/a.txt\n"
        f"if [ $AGENTTASKS_ATTEMPT = 1 ]; then cd {project.path}; echo mine >> src/a.txt; git commit -qam mine; fi"
    )
    project.task("001-first")
    result = project.run()
    assert result.outcomes == {"001-first": "landed"}, result.output
    assert project.repository.read("src/a.txt") == "a\nmine\nx\n"
    assert result.properties["001-first"]["attempt.1"].startswith("moved")


def test_a_task_edited_meanwhile_runs_again_with_its_new_text(project: Project) -> None:
    task = f"{project.path}/tasks/pending/001-first.md"
    project.agent(
        f"echo x >> src/a.txt\nif [ $AGENTTASKS_ATTEMPT = 1 ]; then echo '- more' >> {task}; fi; cat > ../prompt || true"
    )
    project.task("001-first")
    result = project.run()
    assert result.outcomes == {"001-first": "landed"}, result.output
    assert "edited" in result.properties["001-first"]["attempt.1"]
    assert project.repository.read("tasks/done/001-first.md").endswith("- more\n")


def test_a_task_whose_scope_grew_meanwhile_waits_for_the_next_start_without_a_sandbox(
    project: Project,
) -> None:
    task = f"{project.path}/tasks/pending/001-first.md"
    project.agent(
        f"if [ $AGENTTASKS_ATTEMPT = 1 ]; then sed -i 's|- `src/a.txt`|&\\n- `src/b.txt`|' {task}; fi\n"
        "echo x >> src/a.txt; if [ $AGENTTASKS_ATTEMPT = 2 ]; then echo x >> src/b.txt; fi"
    )
    project.task("001-first")
    result = project.run()
    assert result.status == 1
    assert result.outcomes == {"001-first": "moved"}, result.output
    assert "without a sandbox that can have been the agent" in result.output
    assert project.where("001-first") == ["pending"]
    assert project.repository.read("src/a.txt") == "a\n"
    assert project.run().outcomes == {"001-first": "landed"}


@pytest.mark.parametrize("ignored", [True, False])
def test_an_agent_may_run_the_gates_with_their_caches(project: Project, ignored: bool) -> None:
    if ignored:
        project.repository.commit("ignore", **{".gitignore": ".pytest_cache/\n__pycache__/\n"})
    project.repository.commit("test", **{"test_it.py": "def test_it():\n    pass\n"})
    run = f"{sys.executable} -m pytest -q test_it.py --junitxml=report.xml"
    project.configure(gate=run)
    text = project.repository.read("agenttasks.yaml").replace("}\nretry", ", junit: report.xml}\nretry", 1)
    project.repository.commit("junit", **{"agenttasks.yaml": text})
    project.agent(
        f"echo x >> src/a.txt; env -u PYTEST_DISABLE_PLUGIN_AUTOLOAD {run}; ls -a; test -d .pytest_cache"
    )
    project.task("001-first")
    result = project.run()
    assert result.outcomes == {"001-first": "landed"}, result.output


def test_the_queue_folders_outlive_their_last_task(project: Project) -> None:
    project.repository.git("rm", "-q", "tasks/pending/.gitkeep")
    project.repository.commit("no keeper")
    project.task("001-first")
    assert project.run().outcomes == {"001-first": "landed"}
    assert (project.path / "tasks/pending").is_dir()


def test_collecting_lists_and_spends_nothing(project: Project) -> None:
    project.agent("touch ../ran")
    project.task("001-first", front="tags: [auth]")
    project.task("002-second")
    listed = project.run("--collect-only", "-q")
    assert listed.status == 0
    assert "tasks/pending/001-first.md::001-first" in listed.output
    chosen = project.run("--collect-only", "-q", "-m", "auth")
    assert "002-second" not in chosen.output
    assert project.repository.subjects()[-1] == "settings"


def test_an_empty_queue_says_so(project: Project) -> None:
    result = project.run()
    assert result.status == 5
    assert "no task in the queue" in result.output


def test_without_the_option_tasks_are_invisible(project: Project) -> None:
    project.repository.write("test_own.py", "def test_own(): pass\n")
    project.task("001-first")
    process = project.start(command=())
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "1 passed" in output


def test_nothing_runs_on_when_the_agent_left_processes(project: Project) -> None:
    project.agent(
        "echo x >> src/a.txt\n"
        "setsid sh -c 'sleep 1; echo late >> src/a.txt; sleep 600' >/dev/null 2>&1 &\n"
        'echo $! > "$TMPDIR/../pid"'
    )
    project.task("001-first")
    result = project.run()
    assert result.outcomes == {"001-first": "landed"}
    alive = subprocess.run(
        ["pgrep", "-f", "echo late >> src/a.txt"], capture_output=True, text=True, check=False
    )
    assert alive.stdout == ""


def test_an_agent_that_kills_its_supervisor_gains_nothing_by_it(project: Project) -> None:
    project.agent("echo x >> src/a.txt; kill -KILL $PPID; sleep 600")
    project.task("001-killer", front="max_attempts: 1")
    project.task("002-fine", scope=("src/b.txt",))
    project.agent(
        "if [ $AGENTTASKS_TASK = 001-killer ]; then echo x >> src/a.txt; kill -KILL $PPID; sleep 600; fi; echo y >> src/b.txt"
    )
    result = project.run()
    assert result.outcomes == {"001-killer": "agent", "002-fine": "landed"}, result.output
    assert "supervises the session was killed" in result.output
    assert project.repository.read("src/a.txt") == "a\n"


def test_a_verified_result_lands_on_a_branch_that_went_on_elsewhere(project: Project) -> None:
    project.repository.commit("memory", **{"CLAUDE.md": "# M\n\n## Known Issues\n\n## Completed Tasks Log\n"})
    project.agent(
        f"echo x >> src/a.txt; sed -i 's/^## Known Issues$/&\\n- seen/' CLAUDE.md; echo mine >> {project.path}/src/a.txt"
    )
    project.task("001-first")
    assert project.run().outcomes == {"001-first": "checkout"}
    project.repository.git("checkout", "src/a.txt")
    project.repository.commit("mine", **{"src/b.txt": "mine\n"})
    project.agent("exit 1")
    result = project.run()
    assert result.outcomes == {"001-first": "landed"}, result.output
    assert project.repository.read("src/a.txt") == "a\nx\n"
    assert project.repository.read("src/b.txt") == "mine\n"
    text = project.repository.read("CLAUDE.md")
    assert "- seen" in text
    assert text.count("001-first:") == 1


def test_a_result_is_gated_again_by_the_gates_of_today(project: Project) -> None:
    project.agent(f"echo x >> src/a.txt; echo mine >> {project.path}/src/a.txt")
    project.task("001-first", front="max_attempts: 1")
    assert project.run().outcomes == {"001-first": "checkout"}
    project.repository.git("checkout", "src/a.txt")
    project.agent("exit 1")
    project.configure(gate="! grep -q x src/a.txt")
    result = project.run()
    assert result.outcomes == {"001-first": "agent"}, result.output
    assert project.repository.read("src/a.txt") == "a\n"


def test_a_task_that_landed_before_a_crash_and_was_reverted_is_held(project: Project) -> None:
    project.task("001-first")
    assert project.run().status == 0
    journal = project.path / ".git/agenttasks/journal.jsonl"
    lines = [
        line
        for line in journal.read_text().splitlines(True)
        if '"landed"' not in line and "ended" not in line
    ]
    journal.write_text("".join(lines))
    project.repository.git("revert", "--no-edit", "HEAD")
    result = project.run()
    assert result.outcomes == {"001-first": "held"}, result.output


def test_an_untracked_task_edited_while_its_gates_run_runs_again(project: Project) -> None:
    project.repository.git("rm", "-rq", "tasks")
    project.repository.write(".gitignore", "*.log\nbuild/\ntasks/\n")
    project.repository.commit("no queue")
    task = project.task("001-first")
    once = project.path.parent / "once"
    project.configure(
        gate=f"if grep -q x src/a.txt && ! test -e {once}; then touch {once}; echo '- more' >> {task}; fi"
    )
    project.agent("echo x >> src/a.txt")
    result = project.run()
    assert result.outcomes == {"001-first": "landed"}, result.output
    assert "edited" in result.properties["001-first"]["attempt.1"]


def test_rules_that_the_user_adds_meanwhile_hold(project: Project) -> None:
    project.agent(
        "echo x >> src/a.txt\nif [ $AGENTTASKS_ATTEMPT = 1 ]; then cd " + str(project.path) + "; "
        "printf '# M\\n\\n## Do Not Touch\\n- src/a.txt\\n' > CLAUDE.md; git add CLAUDE.md; git commit -qm rules; fi"
    )
    project.task("001-first")
    result = project.run()
    assert result.outcomes == {"001-first": "scope"}, result.output
    assert project.repository.read("src/a.txt") == "a\n"


def test_a_task_file_with_windows_line_ends_is_committed_under_autocrlf(project: Project) -> None:
    project.repository.git("config", "core.autocrlf", "true")
    task = project.task("001-first")
    task.write_bytes(task.read_bytes().replace(b"\n", b"\r\n"))
    result = project.run()
    assert result.outcomes == {"001-first": "landed"}, result.output
    assert project.repository.status() == ""


def test_a_half_tracked_queue_is_refused_by_name(project: Project) -> None:
    project.repository.commit("ignore", **{".gitignore": "*.log\nbuild/\ntasks/*/*.md\n"})
    project.task("001-first")
    result = project.run()
    assert result.status == 4
    assert "ignores task files" in result.output


def test_what_one_gate_does_to_the_dependencies_does_not_decide_for_the_next(project: Project) -> None:
    project.repository.commit("rules", **{".gitignore": "*.log\nbuild/\ndeps/\n", "run.sh": "true\n"})
    project.repository.write("deps/check.sh", "! grep -q bad src/a.txt\n")
    text = (
        "gates:\n  - {name: build, run: sh run.sh}\n  - {name: tests, run: sh deps/check.sh}\nretry_delay: 0\n"
        f"agent: {{name: command, command: 'sh {project.script}'}}\nworkspace: {{copy: [deps]}}\n"
    )
    project.repository.commit("settings", **{"agenttasks.yaml": text})
    project.agent("echo bad >> src/a.txt; echo 'echo true > deps/check.sh' > run.sh")
    project.task("001-sly", scope=("src/a.txt", "run.sh"), front="max_attempts: 1")
    result = project.run()
    assert result.outcomes == {"001-sly": "gate"}, result.output
    assert "deps/check.sh" in result.output


def test_settings_of_the_private_repository_are_put_back_before_it_is_used(project: Project) -> None:
    canary = project.path.parent / "canary"
    shadow = project.path / ".git/agenttasks/shadow.git"
    project.agent(
        f"echo x > src/new.txt\ngit config -f {shadow}/config filter.z.clean 'touch {canary}; cat'\n"
        f"echo '* filter=z' >> {shadow}/info/attributes"
    )
    project.task("001-first", scope=("src/new.txt",))  # git is asked where there are new files
    result = project.run()
    assert result.outcomes == {"001-first": "landed"}, result.output
    assert not canary.exists()


def test_state_that_cannot_be_used_is_named(project: Project) -> None:
    project.task("001-first")
    journal = project.path / ".git/agenttasks/journal.jsonl"
    journal.mkdir(parents=True)
    result = project.run()
    assert result.status == 4, result.output
    assert "journal.jsonl" in result.output
    journal.rmdir()
    assert project.run().status == 0
    (project.path / ".git/agenttasks/shadow.git/HEAD").unlink()
    project.task("002-second")
    assert project.run().outcomes == {"002-second": "landed"}


def test_a_later_run_is_told_what_failed_in_an_earlier_one(project: Project) -> None:
    project.configure(
        gate="if grep -q bad src/a.txt && ! grep -q good src/a.txt; then echo evidence-42; exit 1; fi"
    )
    project.agent(
        "if [ $AGENTTASKS_ATTEMPT = 1 ]; then echo bad >> src/a.txt; else echo good >> src/a.txt; fi"
    )
    project.task("001-first")
    first = project.run("--agent-max-sessions", "1")
    assert (first.status, first.outcomes) == (2, {"001-first": "gate"}), first.output
    assert project.where("001-first") == ["pending"]
    second = project.run()
    assert second.outcomes == {"001-first": "landed"}, second.output
    assert "evidence-42" in (project.path / "tasks/logs/001-first/attempt-2.prompt.md").read_text()
    assert project.repository.read("src/a.txt") == "a\nbad\ngood\n"


def test_a_branch_that_git_cannot_move_is_said_and_the_result_kept(project: Project) -> None:
    lock = project.path / ".git/refs/heads/work.lock"
    project.agent(f"echo x >> src/a.txt; touch {lock}")
    project.task("001-first")
    result = project.run()
    assert result.outcomes == {"001-first": "checkout"}, result.output
    assert "work.lock" in result.output
    assert result.properties["001-first"]["attempts"] == "1"
    lock.unlink()
    assert project.run().outcomes == {"001-first": "landed"}


def test_a_flaky_gate_is_told(project: Project) -> None:
    count = project.script.parent / "count"
    project.configure(gate=f"echo >> {count}; test $(wc -l < {count}) != 2")
    project.task("001-first")
    result = project.run()
    assert result.outcomes == {"001-first": "landed"}, result.output
    assert result.properties["001-first"]["flaky"] == "tests"
    assert "001-first: flaky, green when run again: gate `tests`" in result.output
