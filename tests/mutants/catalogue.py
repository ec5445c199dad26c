"""What is broken in each mutant, and the tests that have to notice.

`old` stands in the source exactly once; where it no longer does, the mutant is stale and says so.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One change of the source: `old` becomes `new` in `file`, and one of `tests` must fail."""

    promise: str
    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "I1",
        "a red gate does not stop the landing",
        "attempt.py",
        "if not this.verdicts[-1].passed:",
        "if this.verdicts[-1].gate == 'none':",
        (
            "tests/test_queue_run.py::test_the_next_session_is_told_what_the_gate_said_and_goes_on_from_the_files",
        ),
    ),
    Mutant(
        "I1",
        "the gates look at the branch instead of the tree to be landed",
        "attempt.py",
        "run, wanted, candidate, done, logs_of(run, task)",
        "run, wanted, tip.tree, tip.commit, logs_of(run, task)",
        (
            "tests/test_queue_run.py::test_the_next_session_is_told_what_the_gate_said_and_goes_on_from_the_files",
        ),
    ),
    Mutant(
        "I1",
        "a gate may rewrite tracked files",
        "gate_run.py",
        "    if not changed:\n",
        "    if changed or not changed:\n",
        ("tests/test_queue_run.py::test_a_gate_that_rewrites_files_fails_and_says_so",),
    ),
    Mutant(
        "I2",
        "changes out of scope are reported and land all the same",
        "inspection.py",
        "    if refused:\n",
        "    if refused and not refused:\n",
        ("tests/test_queue_run.py::test_a_change_out_of_scope_is_refused_and_nothing_of_it_lands",),
    ),
    Mutant(
        "I2",
        "everything is in scope",
        "tasks/scope.py",
        "def judge(",
        "def judge(*given: object) -> Verdict:\n"
        "    return Verdict(allowed=tuple(given[3]), violations=(), dropped=(), memory=None)  # type: ignore\n\n\n"
        "def _judge(",
        (
            "tests/test_queue_run.py::test_a_change_out_of_scope_is_refused_and_nothing_of_it_lands",
            "tests/test_scope.py",
        ),
    ),
    Mutant(
        "I2",
        "rules that the user adds while a task runs do not hold",
        "meanwhile.py",
        "    if len(verdict.allowed) != len(changes):\n        first",
        "    if len(verdict.allowed) > len(changes):\n        first",
        ("tests/test_queue_run.py::test_rules_that_the_user_adds_meanwhile_hold",),
    ),
    Mutant(
        "I3",
        "hooks of the user's repository run when the branch moves",
        "trees/git.py",
        '"GIT_CONFIG_COUNT": str(len(settings))',
        '"GIT_CONFIG_COUNT": "0"',
        ("tests/test_landing.py::test_hooks_of_the_repository_do_not_run",),
    ),
    Mutant(
        "I3",
        "the private repository's settings stay as an agent left them",
        "session.py",
        "    run.shadow.pin()\n",
        "",
        ("tests/test_queue_run.py::test_settings_of_the_private_repository_are_put_back_before_it_is_used",),
    ),
    Mutant(
        "I4",
        "the agent's own ignore files hide what it wrote",
        "trees/base_rules.py",
        "        for name in RULE_FILES:\n",
        "        for name in RULE_FILES[:0]:\n",
        ("tests/test_workspace.py::test_an_ignore_file_of_the_agents_hides_nothing",),
    ),
    Mutant(
        "I4",
        "what git does not see is not looked for",
        "trees/survey.py",
        "        if is_git_name(name):",
        "        if not name:",
        ("tests/test_workspace.py::test_oddities_are_named_and_the_rest_is_stored",),
    ),
    Mutant(
        "I4",
        "new files are no reason to ask git what a session left",
        "trees/edits.py",
        "listing is None or found.files.keys() - set(listing.names) or",
        "listing is None or",
        ("tests/test_edits.py",),
    ),
    Mutant(
        "I4",
        "an edit within the tick in which the index was written is not looked at",
        "trees/index_file.py",
        " and now.st_mtime_ns < index_mtime_ns:",
        ":",
        ("tests/test_index_file.py",),
    ),
    Mutant(
        "I4",
        "what a place does not surely hold any more is left as it is",
        "trees/switch.py",
        "for path, known in swept.doubtful.items()",
        "for path, known in ()",
        ("tests/test_switch.py",),
    ),
    Mutant(
        "I4",
        "a gate's rewriting of files within the look of the index goes unseen",
        "trees/workspace.py",
        "    return where.listing.differing(files, where.index.stat().st_mtime_ns) == {}\n",
        "    return bool(files)\n",
        ("tests/test_gates.py",),
    ),
    Mutant(
        "I5",
        "an ignored file of the user's is overwritten",
        "user_checkout.py",
        "            change.added\n            and _stands",
        "            not change.path\n            and _stands",
        (
            "tests/test_landing.py::test_what_the_user_has_at_a_path_of_the_change_is_never_touched",
            "tests/test_landing.py::test_a_users_file_where_a_folder_comes_is_in_the_way",
        ),
    ),
    Mutant(
        "I5",
        "an index that has not looked again is believed",
        "trees/index_file.py",
        "    if words_of(now) != known.words:\n        return False\n",
        "",
        (
            "tests/test_landing.py::test_what_the_user_has_at_a_path_of_the_change_is_never_touched",
            "tests/test_index_file.py",
        ),
    ),
    Mutant(
        "I5",
        "the sandbox leaves the whole disk writable",
        "processes/sandbox.py",
        '"--ro-bind", "/", "/", "--dev", "/dev"',
        '"--bind", "/", "/", "--dev", "/dev"',
        ("tests/test_programs.py",),
    ),
    Mutant(
        "I5",
        "logins are not hidden in the sandbox",
        "processes/hidden.py",
        '    ".ssh": "private keys",\n',
        "",
        ("tests/test_programs.py", "tests/test_sandbox_queue.py"),
    ),
    Mutant(
        "I4",
        "an index that an agent has written into is believed",
        "trees/snapshot.py",
        "    if not where.intact:\n",
        "    if not where:\n",
        ("tests/test_workspace.py::test_an_index_that_was_written_into_hides_nothing",),
    ),
    Mutant(
        "I6",
        "a landing that a crash kept from being written down is done again",
        "bookkeeping.py",
        '        if is_ancestor(run.repository, passed.new, "HEAD"):',
        '        if passed.new == "":',
        ("tests/test_queue_run.py::test_a_task_that_landed_before_a_crash_and_was_reverted_is_held",),
    ),
    Mutant(
        "I6",
        "recovery takes the old lock for somebody else's",
        "landing.py",
        "    _unlock(repository, record.lock)\n    tip",
        "    tip",
        ("tests/test_landing.py::test_a_kill_in_the_middle_is_recovered",),
    ),
    Mutant(
        "I6",
        "the branch moves before the forward is journaled",
        "landing.py",
        "        journal.write(Forward(old=old, new=new, branch=branch, lock=token))\n",
        "",
        ("tests/test_landing.py::test_a_kill_in_the_middle_is_recovered",),
    ),
    Mutant(
        "I7",
        "what a session left is not kept",
        "session.py",
        "    keep(run.shadow, ref, shot.tree)\n",
        "",
        (
            "tests/test_stopping.py::test_a_signal_ends_the_agent_keeps_its_work_and_leaves_the_rest_as_it_was",
            "tests/test_queue_run.py::test_a_change_out_of_scope_is_refused_and_nothing_of_it_lands",
        ),
    ),
    Mutant(
        "I7",
        "an attempt may replace an earlier one",
        "trees/attempts.py",
        "        os.link(lock, file)\n",
        "        file.write_bytes(lock.read_bytes())\n",
        ("tests/test_landing.py::test_an_attempt_is_kept_once",),
    ),
    Mutant(
        "I3",
        "a place that a program has been in is still taken for ready",
        "trees/ahead.py",
        "self._places.pop(role, None)",
        "self._places.get(role)",
        ("tests/test_ahead.py",),
    ),
    Mutant(
        "I1",
        "a checkout that nobody has cleaned is taken for clean",
        "trees/checkout.py",
        "        sweep(run.shadow, where, run.provider.kept(where))\n",
        "",
        ("tests/test_ahead.py",),
    ),
    Mutant(
        "I6",
        "attempts that other processes have begun are not read",
        "attempt.py",
        "            run.journal.refresh()\n            clear_place(run)\n"
        "            this.number = run.journal.history.attempts.get(task.name, 0) + 1\n",
        "            clear_place(run)\n",
        (
            "tests/test_several_processes.py::test_attempts_of_one_task_in_several_processes_are_counted_together",
        ),
    ),
    Mutant(
        "I7",
        "a slot is used again before what a killed process left in it is stored",
        "attempt.py",
        "            clear_place(run)\n",
        "",
        (
            "tests/test_several_processes.py::test_what_a_killed_process_left_is_stored_before_its_slot_is_used_again",
        ),
    ),
    Mutant(
        "I7",
        "a living process is taken for dead",
        "recovery.py",
        "return of != run.owner and owner.lives(of)",
        "return False",
        ("tests/test_several_processes.py::test_a_killed_process_is_recovered_while_another_goes_on",),
    ),
    Mutant(
        "I12",
        "a landing begins over what a killed process has left half-way",
        "landing.py",
        "        journal.refresh()\n        _mend(shadow, journal)  # what",
        "        # what",
        (
            "tests/test_several_processes.py::test_whoever_comes_next_finishes_the_landing_of_a_killed_process",
        ),
    ),
    Mutant(
        "I8",
        "who moves the branch does not wait for the turn of another",
        "attempt.py",
        "    with turn(run, task.name):\n        return passed if",
        "    if task.name:\n        return passed if",
        ("tests/test_several_landings.py::test_who_has_lost_twice_gets_a_turn_that_the_others_wait_for",),
    ),
    Mutant(
        "I14",
        "two processes work on the same files at the same time",
        "attempt.py",
        "            held.enter_context(claimed(run, task))\n",
        "",
        ("tests/test_claims.py::test_who_waits_is_told_for_whom_and_goes_on_when_that_one_is_killed",),
    ),
    Mutant(
        "I8",
        "the branch moves whatever it is at",
        "landing.py",
        "why, branch, new, old)",
        "why, branch, new)",
        ("tests/test_landing.py::test_a_branch_that_moves_at_the_last_moment_is_not_overwritten",),
    ),
    Mutant(
        "I9",
        "what a program started is left alone when it ends",
        "processes/reaper.py",
        "        survivors, stuck = self.sweep()\n",
        "        survivors, stuck = [], []\n",
        ("tests/test_supervisor.py",),
    ),
    Mutant(
        "I9",
        "the reaper outlives its runner without ending what runs",
        "processes/reaper.py",
        "        finally:  # also when this program is wrong\n            _, stuck = self.sweep()",
        "        finally:\n            stuck: list[str] = []",
        (
            "tests/test_stopping.py::test_a_killed_runner_takes_its_agent_along_and_the_next_run_lands_once",
            "tests/test_reaper.py",
            "tests/test_supervisor.py",
        ),
    ),
    Mutant(
        "I10",
        "terminal sequences are printed as they come",
        "report/printable.py",
        "    return _UNSAFE_RUN.sub(_escape, text)\n",
        "    return text\n",
        ("tests/test_printable.py", "tests/test_junit.py"),
    ),
    Mutant(
        "I11",
        "a session has all the time in the world",
        "processes/reaper.py",
        '        end = float("inf") if timeout is None else began + timeout',
        '        end = float("inf")',
        ("tests/test_supervisor.py",),
    ),
    Mutant(
        "I11",
        "a program may print without end",
        "processes/reaper.py",
        '        outputs, limit = handles[1:], request["max_output"]',
        "        outputs, limit = handles[1:], None",
        ("tests/test_supervisor.py",),
    ),
    Mutant(
        "I12",
        "a torn last record of the journal stops the next start",
        "journal.py",
        "            if not _whole(line):",
        "            if line is None:",
        ("tests/test_journal.py",),
    ),
    Mutant(
        "I12",
        "recovery writes over a file that is neither old nor new",
        "user_checkout.py",
        "    if foreign:\n",
        "    if foreign and not foreign:\n",
        ("tests/test_landing.py::test_recovery_stops_at_a_file_that_is_neither_old_nor_new",),
    ),
    Mutant(
        "I13",
        "a gate that leaves no report of its tests passes",
        "evidence/judgement.py",
        "    if before is None:\n        return Judged()\n    what",
        "    if before is None or not problem:\n        return Judged()\n    what",
        ("tests/test_evidence.py::test_a_product_that_ends_the_test_run_with_status_0_is_red",),
    ),
    Mutant(
        "I13",
        "tests may vanish",
        "evidence/judgement.py",
        "    if blamed:\n",
        "    if blamed and not blamed:\n",
        ("tests/test_evidence.py::test_a_deleted_test_is_red_where_its_file_is_not_changed",),
    ),
    Mutant(
        "I13",
        "the exit status is believed against the report",
        "evidence/judgement.py",
        "    if unexpected:\n",
        "    if unexpected and not unexpected:\n",
        ("tests/test_evidence.py::test_a_product_that_hides_the_exit_status_is_red",),
    ),
    Mutant(
        "I14",
        "a user's commit on the same file is written over",
        "meanwhile.py",
        "    if clash:\n",
        "    if clash and not clash:\n",
        ("tests/test_queue_run.py::test_the_users_commit_on_the_same_file_is_respected",),
    ),
    Mutant(
        "I14",
        "a task edited while it ran lands with its old text",
        "meanwhile.py",
        "    if now == task.data:",
        '    if now != b"":',
        (
            "tests/test_queue_run.py::test_a_task_edited_meanwhile_runs_again_with_its_new_text",
            "tests/test_queue_run.py::test_an_untracked_task_edited_while_its_gates_run_runs_again",
        ),
    ),
    Mutant(
        "I9",
        "a dead worker's task runs again before its agent is ended",
        "integration/distribute.py",
        "            end_worker(run, member, self.terminal.say)\n",
        "            pass\n",
        (
            "tests/test_several_agents.py::"
            "test_a_task_whose_worker_is_killed_runs_again_after_its_agent_has_been_ended",
        ),
    ),
    Mutant(
        "I9",
        "a stop of the run is not passed on to its workers",
        "integration/distribute.py",
        "os.kill(member.pid, signal.SIGTERM)",
        "pass",
        ("tests/test_several_agents.py::test_a_signal_ends_all_agents_and_keeps_their_work",),
    ),
)
