"""What the record of a session means: done, the task's own failure, or a limit or outage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..outcome import Kind, Outcome
from ..processes.supervisor import Finished
from ..report.printable import one_line, tail
from .claude_stream import Retry, Stream
from .contract import AgentResult
from .ending import Stop, how_it_ended, last_line, stopped_outcome, survivors_note

LOGIN_ADVICE = (
    "log in once with `claude` and `/login`, or set ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN "
    "(`claude setup-token`), then run again"
)


def verdict(stream: Stream, finished: Finished, stderr: str = "") -> AgentResult:
    """How the session ended. `stderr` is the end of what the CLI wrote there.

    The `result` event decides where there is one, whatever became of the process afterwards; a session that
    was cut while the API refused its requests counts as that refusal.
    """
    result = stream.result
    if result is not None and not result.is_error:
        failure = None
    elif result is not None and result.subtype != "success":
        failure = _gave_up(stream)
    elif result is not None or stream.error is not None or stream.retry is not None:
        failure = _refused(stream)
    else:
        failure = _cut(stream, finished, stderr)
    if failure is not None:
        failure = _with_evidence(failure, stream, stderr)
    return AgentResult(
        failure=failure,
        session=stream.session,
        model=stream.model,
        cost_usd=stream.cost_usd
        if result is not None
        else None,  # one that went on after a result has cost more
        turns=max(stream.turns, (result.turns or 0) if result is not None else 0),
        final_text=result.text if result is not None else "",
        denials=result.denials if result is not None else (),
        denied=result.denied if result is not None else 0,
        notes=tuple(_notes(stream, finished)),
        details=_details(stream),
    )


def _gave_up(stream: Stream) -> Outcome:
    result = stream.result
    assert result is not None
    said = one_line("; ".join(result.errors))
    match result.subtype:
        case "error_max_turns":
            return _out_of_turns(stream)
        case "error_max_budget_usd":
            spent = f" ({stream.cost_usd:.3g} USD spent)" if stream.cost_usd is not None else ""
            advice = "split the task, or raise `budget_usd` (agenttasks.yaml or the task's front matter)"
            return Outcome(Kind.AGENT, f"the session used up its budget{spent}", advice=advice)
    what = f"{result.subtype}: {said}" if said else result.subtype or "an error without a name"
    return Outcome(Kind.AGENT, f"the session ended with {one_line(what)}")


def _out_of_turns(stream: Stream) -> Outcome:
    advice = "split the task, or raise `max_turns` (agenttasks.yaml or the task's front matter)"
    return Outcome(Kind.AGENT, f"the session reached `max_turns` ({stream.turns} turns)", advice=advice)


def _repeating(stream: Stream) -> Outcome:
    advice = (
        "the transcript shows what it waits for or does not understand; where the same call is right so often, raise "
        "`agent.repeat_limit`"
    )
    often = f"{stream.repeated} times in a row" if stream.repeated > 1 else "again and again"
    summary = f"the session made the same call {often}: `{one_line(stream.step, 80)}`"
    return Outcome(Kind.AGENT, summary, advice=advice)


def _refused(stream: Stream) -> Outcome:
    """The API refused; its kind is in the last assistant line, else in the CLI's retries, else the status."""
    retry = stream.retry
    status = stream.result.status if stream.result is not None else None
    if status is None and retry is not None:
        status = retry.status
    error = stream.error or (retry.error if retry is not None else None)
    code = f" ({status})" if status is not None else ""
    if error == "rate_limit" or status == 429:
        return _limit(stream, code)
    match error:
        case "authentication_failed" | "oauth_org_not_allowed" if status is None:
            return Outcome(Kind.AUTH, "the claude CLI is not logged in", advice=LOGIN_ADVICE)
        case "authentication_failed" | "oauth_org_not_allowed":
            return Outcome(Kind.AUTH, f"the API refused the login{code}", advice=LOGIN_ADVICE)
        case "billing_error":
            advice = "add credit or settle the plan of this login, then run again"
            return Outcome(Kind.AUTH, f"this login has no credit left{code}", advice=advice)
        case "model_not_found":
            model = one_line(stream.model or "asked for", 100)
            advice = "set `agent.model` (or the task's `model`) to one that this login may use"
            summary = f"the model {model} is not available to this login{code}"
            return Outcome(Kind.AUTH, summary, advice=advice, stays=True)
        case "invalid_request":
            return Outcome(
                Kind.AGENT, f"the API refused a request as invalid{code}", advice=_too_large(status)
            )
        case "max_output_tokens":
            advice = "ask for smaller steps, or raise CLAUDE_CODE_MAX_OUTPUT_TOKENS in `agent.env`"
            return Outcome(Kind.AGENT, "a reply of the model exceeded its output limit", advice=advice)
    if error == "overloaded" or (retry is not None and retry.error == "overloaded") or (status or 0) >= 500:
        return Outcome(Kind.OVERLOADED, f"the API is overloaded or failing{code}", advice=_WAIT)
    if error is not None and status is None:
        advice = (
            "check the network, a proxy, and ANTHROPIC_BASE_URL if it is set; the run goes on when it is back"
        )
        return Outcome(Kind.NETWORK, "the API could not be reached", advice=advice)
    if status in (401, 403):
        return Outcome(Kind.AUTH, f"the API refused the login{code}", advice=LOGIN_ADVICE)
    return Outcome(Kind.AGENT, f"the session ended with an error{code}", advice=_too_large(status))


_WAIT = "nothing to do: the task is tried again when the service answers"


def _limit(stream: Stream, code: str) -> Outcome:
    limit = stream.limit
    if limit is not None and limit.status == "rejected":
        name = f" ({one_line(limit.name, 40).replace('_', ' ')})" if limit.name else ""
        return Outcome(
            Kind.USAGE_LIMIT, f"usage limit reached{name}", advice=_WAIT, resumes_at=limit.resets_at
        )
    advice = "the run waits and tries again; fewer sessions at once (`-n`) stay below a rate limit"
    return Outcome(Kind.USAGE_LIMIT, f"the API's rate limit is reached{code}", advice=advice)


def _too_large(status: int | None) -> str:
    if status == 413:
        return "the session's context became too large: split the task, or keep large files out of it"
    return "see the transcript for the request that was refused"


def _cut(stream: Stream, finished: Finished, stderr: str) -> Outcome:
    """No result: the session was stopped, or its program ended by itself in the middle."""
    during = f" during `{one_line(stream.step, 80)}`" if stream.step else ""
    match finished.stopped:
        case Stop.REPEATING:
            return _repeating(stream)
        case Stop.TURNS:
            return _out_of_turns(stream)
        case str():
            return stopped_outcome(finished, during)
    how = how_it_ended(finished)
    if stream.events:
        advice = "if it was killed, look for memory limits; else run it again"
        return Outcome(Kind.AGENT, f"the session ended without a result: {how}{during}", advice=advice)
    if words := last_line(stderr):
        how = f"{how}: {words}"
    advice = "run its command by hand to see why"
    return Outcome(Kind.AGENT, f"the agent printed no event; {how}", advice=advice)


def _with_evidence(failure: Outcome, stream: Stream, stderr: str) -> Outcome:
    parts: list[str] = []
    result = stream.result
    if result is not None:
        parts.extend(text for text in (result.text, "\n".join(result.errors)) if text.strip())
    if stream.steps and failure.kind is Kind.AGENT:
        parts.append("Its last steps:\n" + "\n".join(f"- {step}" for step in stream.steps))
    if stderr.strip():
        parts.append(f"stderr:\n{stderr.strip()}")
    evidence = tail("\n\n".join(parts).encode())
    return replace(failure, evidence=evidence)


def _notes(stream: Stream, finished: Finished) -> Iterator[str]:
    result = stream.result
    if stream.unreadable:
        yield f"{stream.unreadable} line(s) of the stream were no JSON events"
    if result is not None and finished.stopped is not None:
        yield "the CLI did not end after its result and was stopped"
    elif result is not None and not result.is_error and not finished.ok:
        yield f"after its result the CLI ended with {how_it_ended(finished)}"
    if stream.retries:
        yield f"the CLI repeated {stream.retries} request(s) that the API refused"
    if stream.limit is not None and stream.limit.status == "allowed_warning":
        yield "the login's usage limit is near"
    yield from survivors_note(finished)


def _details(stream: Stream) -> dict[str, Any]:
    result = stream.result
    details: dict[str, Any] = {
        "version": stream.version,
        "retries": stream.retries,
        "unreadable": stream.unreadable,
    }
    if result is not None:
        details |= {"subtype": result.subtype, "reason": result.reason, "usage": dict(result.usage or {})}
        if result.answer is not None:
            details["answer"] = result.answer
    return details


def hopeless(retry: Retry, turns: int) -> bool:
    """Whether waiting for the CLI's own retries is time lost: a refused login, or a session not yet begun."""
    if retry.error in ("authentication_failed", "oauth_org_not_allowed", "billing_error"):
        return retry.attempt >= 2
    return turns == 0 and retry.attempt >= 4
