from __future__ import annotations

import json
import signal

import pytest

from pytest_agenttasks.agents.claude_stream import Retry
from pytest_agenttasks.agents.claude_verdict import hopeless, verdict
from pytest_agenttasks.outcome import Kind, Outcome
from pytest_agenttasks.processes.supervisor import Finished
from tests.claude_events import DONE, INIT, api_error, call, calls, retried, spoken, stream_of

ENDED = Finished(exit_code=0, signal=None, seconds=12.0)
FAILED = Finished(exit_code=1, signal=None, seconds=12.0)


def stopped(reason: str) -> Finished:
    return Finished(exit_code=None, signal=signal.SIGTERM, seconds=600.0, stopped=reason)


def failure_of(*events: object, finished: Finished = FAILED, stderr: str = "") -> Outcome:
    failure = verdict(stream_of(*events), finished, stderr).failure
    assert failure is not None
    assert "\n" not in failure.summary
    assert not failure.summary.endswith(".")
    return failure


def test_a_session_that_says_it_is_done_has_no_failure() -> None:
    result = verdict(stream_of(INIT, call("Edit", "m1"), call("Edit", "m2"), DONE), ENDED)
    assert result.failure is None
    assert (result.session, result.model, result.turns, result.cost_usd) == ("s-1", "m-1", 3, 0.5)
    assert (result.final_text, result.notes) == ("All done.", ())


@pytest.mark.parametrize(
    ("retry", "error", "status", "kind"),
    [
        (("rate_limit", 429), "rate_limit", 429, Kind.USAGE_LIMIT),
        (None, None, 429, Kind.USAGE_LIMIT),
        (("overloaded", 529), "server_error", 529, Kind.OVERLOADED),
        (("overloaded", 529), "server_error", None, Kind.OVERLOADED),
        (("overloaded", None), "server_error", None, Kind.OVERLOADED),
        (None, "overloaded", None, Kind.OVERLOADED),
        (("server_error", 500), "server_error", 500, Kind.OVERLOADED),
        (None, "server_error", 503, Kind.OVERLOADED),
        (("unknown", 503), "server_error", None, Kind.OVERLOADED),
        (("unknown", None), "server_error", None, Kind.NETWORK),
        (None, "server_error", None, Kind.NETWORK),
        (None, "unknown", None, Kind.NETWORK),
        (("authentication_failed", 401), "authentication_failed", 401, Kind.AUTH),
        (None, "authentication_failed", None, Kind.AUTH),
        (None, "authentication_failed", 403, Kind.AUTH),
        (None, "oauth_org_not_allowed", 403, Kind.AUTH),
        (None, None, 401, Kind.AUTH),
        (None, "billing_error", 400, Kind.AUTH),
        (None, "model_not_found", 404, Kind.AUTH),
        (None, "invalid_request", 413, Kind.AGENT),
        (None, "invalid_request", 400, Kind.AGENT),
        (None, "max_output_tokens", None, Kind.AGENT),
        (None, None, None, Kind.AGENT),
        (None, "something new", 418, Kind.AGENT),
    ],
)
def test_an_api_error_has_the_kind_that_its_events_state(
    retry: tuple[str, int | None] | None, error: str | None, status: int | None, kind: Kind
) -> None:
    before = [retried(*retry)] if retry is not None else []
    failure = failure_of(INIT, *before, *api_error(error, status))
    assert failure.kind is kind
    assert failure.advice
    assert "API Error: words" in failure.evidence


def test_an_earlier_outage_does_not_colour_a_later_refusal() -> None:
    failure = failure_of(
        INIT, retried("overloaded", 529), call("Edit"), *api_error("authentication_failed", 401)
    )
    assert failure.kind is Kind.AUTH


def test_a_usage_limit_says_when_it_resets() -> None:
    info = {"status": "rejected", "resetsAt": 1_800_000_000, "rateLimitType": "five_hour"}
    failure = failure_of(
        INIT, {"type": "rate_limit_event", "rate_limit_info": info}, *api_error("rate_limit", 429)
    )
    assert (failure.kind, failure.resumes_at) == (Kind.USAGE_LIMIT, 1_800_000_000.0)
    assert "five hour" in failure.summary


def test_a_rate_limit_that_is_not_the_logins_usage_limit_has_no_reset() -> None:
    info = {"status": "allowed_warning", "resetsAt": 1_800_000_000, "rateLimitType": "five_hour"}
    stream = stream_of(
        INIT, {"type": "rate_limit_event", "rate_limit_info": info}, *api_error("rate_limit", 429)
    )
    result = verdict(stream, FAILED)
    assert result.failure is not None
    assert (result.failure.kind, result.failure.resumes_at) == (Kind.USAGE_LIMIT, None)
    assert "the login's usage limit is near" in result.notes


def test_a_rejected_limit_does_not_fail_a_session_that_was_done() -> None:
    info = {"status": "rejected", "resetsAt": 1_800_000_000, "overageStatus": "allowed"}
    stream = stream_of(INIT, {"type": "rate_limit_event", "rate_limit_info": info}, DONE)
    assert verdict(stream, ENDED).failure is None


def test_the_words_of_a_result_decide_nothing() -> None:
    words = "You've hit your usage limit. 529 overloaded_error. authentication_failed. credit balance too low"
    assert verdict(stream_of(INIT, {**DONE, "result": words}), ENDED).failure is None


@pytest.mark.parametrize(
    ("subtype", "says"),
    [
        ("error_max_turns", "max_turns"),
        ("error_max_budget_usd", "budget"),
        ("error_during_execution", "error_during_execution: it broke"),
        ("", "an error without a name"),
    ],
)
def test_a_session_that_gave_up_is_the_tasks_failure(subtype: str, says: str) -> None:
    result = {**DONE, "subtype": subtype, "is_error": True, "errors": ["it broke"] if subtype else []}
    failure = failure_of(INIT, call("Bash", command="npm test"), result)
    assert failure.kind is Kind.AGENT
    assert says in failure.summary
    assert "- Bash npm test" in failure.evidence


def test_the_result_counts_whatever_became_of_the_process() -> None:
    for finished in (stopped("settled"), stopped("timeout")):
        result = verdict(stream_of(INIT, DONE), finished)
        assert result.failure is None
        assert result.notes == ("the CLI did not end after its result and was stopped",)
    crashed = verdict(stream_of(INIT, DONE), Finished(None, signal.SIGSEGV, 3.0))
    assert crashed.failure is None
    assert crashed.notes == ("after its result the CLI ended with killed by SIGSEGV",)


@pytest.mark.parametrize(
    ("finished", "says"),
    [
        (stopped("timeout"), "not done after 10m 00s during `Bash npm test`"),
        (stopped("stalled"), "stalled during `Bash npm test`"),
        (stopped("output"), "more than its limit"),
        (stopped("a reason of the runner"), "stopped (a reason of the runner)"),
        (Finished(None, signal.SIGKILL, 3.0), "without a result: killed by SIGKILL"),
        (Finished(None, 63, 3.0), "without a result: killed by signal 63"),
        (ENDED, "without a result: exit status 0"),
        (FAILED, "without a result: exit status 1"),
    ],
)
def test_a_session_cut_in_the_middle_is_the_tasks_failure(finished: Finished, says: str) -> None:
    failure = failure_of(INIT, call("Bash", command="npm test"), finished=finished)
    assert failure.kind is Kind.AGENT
    assert says in failure.summary


@pytest.mark.parametrize("reason", ["timeout", "stalled", "retrying"])
def test_a_session_stopped_while_the_api_refused_is_the_apis_failure(reason: str) -> None:
    failure = failure_of(INIT, call("Edit"), retried("unknown", None), finished=stopped(reason))
    assert failure.kind is Kind.NETWORK


def test_an_api_error_that_the_session_got_over_is_forgotten() -> None:
    failure = failure_of(INIT, spoken(error="authentication_failed"), call("Edit"))
    assert failure.kind is Kind.AGENT


def test_a_program_that_prints_no_event_is_told_apart_by_its_stderr() -> None:
    failure = failure_of(finished=FAILED, stderr="usage: …\nerror: unknown option '--tools'\n\n")
    assert failure.kind is Kind.AGENT
    assert failure.summary == "the agent printed no event; exit status 1: error: unknown option '--tools'"
    assert "usage: …" in failure.evidence


def test_empty_output_with_status_0_is_a_failure() -> None:
    assert failure_of(finished=ENDED).summary == "the agent printed no event; exit status 0"


def test_a_program_that_stays_silent_is_a_failure() -> None:
    assert "printed nothing" in failure_of(finished=stopped("silent")).summary


def test_evidence_and_summary_are_printable() -> None:
    escape = "\x1b]0;owned\x07\x1b[31m"
    failure = failure_of(
        INIT, call("Bash", command=escape + "ls"), finished=stopped("stalled"), stderr=f"{escape}bad\x00"
    )
    assert "\x1b" not in failure.summary + failure.evidence
    assert "\x00" not in failure.evidence


def test_left_over_processes_and_unreadable_lines_are_noted() -> None:
    finished = Finished(0, None, 1.0, survivors=("sleep", "node", "a", "b", "c", "d"))
    result = verdict(stream_of(7, INIT, DONE), finished)
    assert result.notes == (
        "1 line(s) of the stream were no JSON events",
        "still running when the agent ended, now ended: sleep, node, a, b, c and 1 more",
    )


def test_details_can_be_written_as_json() -> None:
    usage = {"input_tokens": 5, "iterations": [], "\ud800_tokens": 7}
    details = verdict(stream_of(INIT, {**DONE, "usage": usage}), ENDED).details
    assert json.loads(json.dumps(details))["usage"] == {"input_tokens": 5}


def test_retries_are_given_up_where_they_cannot_help_and_where_nothing_is_lost() -> None:
    assert hopeless(Retry(2, 10, 401, "authentication_failed"), turns=5)
    assert not hopeless(Retry(1, 10, 401, "authentication_failed"), turns=0)
    assert hopeless(Retry(4, 10, 529, "overloaded"), turns=0)
    assert not hopeless(Retry(3, 10, 529, "overloaded"), turns=0)
    assert not hopeless(Retry(9, 10, 529, "overloaded"), turns=1)


def test_a_session_that_was_stopped_for_repeating_itself_says_what_and_how_often() -> None:
    events = calls(*[{"command": "npm test"}] * 4)
    failure = failure_of(INIT, *events, finished=stopped("repeating"))
    assert failure.kind is Kind.AGENT
    assert failure.summary == "the session made the same call 4 times in a row: `Bash npm test`"
    assert "agent.repeat_limit" in failure.advice
    later = failure_of(INIT, *events, call("Read", "m9"), finished=stopped("repeating"))
    assert "again and again" in later.summary


def test_a_session_that_was_stopped_for_its_turns_says_so() -> None:
    failure = failure_of(INIT, *calls({}, {}), finished=stopped("turns"))
    assert failure.summary == "the session reached `max_turns` (2 turns)"


def test_the_cost_of_a_session_that_was_cut_after_a_result_is_not_that_results() -> None:
    assert verdict(stream_of(INIT, DONE, INIT, call("Edit")), stopped("timeout")).cost_usd is None
