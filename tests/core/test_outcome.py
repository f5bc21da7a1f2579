"""How an attempt ends is decided in one place from the error tree."""

from __future__ import annotations

import pytest

from geniequeue.errors import (
    CancelledError,
    HostError,
    HostFull,
    InputError,
    PolicyError,
    RecordForbidden,
    RecordsUnavailable,
    RecordTooLarge,
    ServiceTokenRefused,
    ToolError,
    UpstreamError,
)
from geniequeue.jobs.outcome import Cancelled, Failed, Retry, backoff_s, decide


@pytest.mark.parametrize("error", [InputError("no"), PolicyError("no"), ToolError("no")])
def test_wrong_input_policy_and_tool_fail_at_once(error: Exception) -> None:
    assert isinstance(decide(error, tries=1, max_tries=3), Failed)


@pytest.mark.parametrize("error", [UpstreamError("no"), RecordsUnavailable("no"), HostError("no"), RuntimeError("bug")])
def test_what_may_pass_is_tried_again_until_the_tries_are_used_up(error: Exception) -> None:
    assert isinstance(decide(error, tries=1, max_tries=3), Retry)
    assert isinstance(decide(error, tries=2, max_tries=3), Retry)
    assert isinstance(decide(error, tries=3, max_tries=3), Failed)


def test_what_upstream_asks_for_is_honoured() -> None:
    outcome = decide(RecordsUnavailable("no", retry_after_s=17), tries=1, max_tries=3)
    assert isinstance(outcome, Retry)
    assert outcome.after_s == 17


@pytest.mark.parametrize("tries", [1, 3, 30])
def test_a_job_waits_without_losing_a_try_while_our_own_token_is_refused(tries: int) -> None:
    outcome = decide(ServiceTokenRefused("no"), tries=tries, max_tries=3)
    assert isinstance(outcome, Retry)
    assert (outcome.counted, outcome.cause.reason) == (False, "token_refused")


@pytest.mark.parametrize("tries", [1, 3, 30])
def test_f30_a_job_waits_without_losing_a_try_while_its_host_has_no_space(tries: int) -> None:
    outcome = decide(HostFull("no", reason="no_space"), tries=tries, max_tries=3)
    assert isinstance(outcome, Retry)
    assert (outcome.counted, outcome.cause.code, outcome.cause.reason) == (False, "tool", "no_space")


def test_a_file_that_the_store_does_not_take_is_not_offered_again() -> None:
    outcome = decide(RecordTooLarge("too large"), tries=1, max_tries=3)
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.reason) == ("upstream", "upstream_limit")


def test_a_store_that_did_not_answer_is_named_with_what_it_was_asked() -> None:
    outcome = decide(RecordsUnavailable("no", collection="media_jobs", action="update"), tries=3, max_tries=3)
    assert isinstance(outcome, Failed)
    assert "update media_jobs" in outcome.message


def test_a_refusal_of_the_store_is_final_and_named() -> None:
    outcome = decide(RecordForbidden("media_jobs: update"), tries=1, max_tries=3)
    assert isinstance(outcome, Failed)
    assert "media_jobs" in outcome.message


def test_what_the_sender_reads_is_a_sentence() -> None:
    outcome = decide(InputError("expected a picture, got 0 bytes; upload it again"), tries=1, max_tries=3)
    assert outcome == Failed("input", "Expected a picture, got 0 bytes; upload it again.")


def test_a_cancel_is_not_a_failure() -> None:
    assert decide(CancelledError(), tries=1, max_tries=3) == Cancelled()


def test_the_backoff_doubles_its_ceiling_and_is_jittered_over_the_whole_range() -> None:
    assert [backoff_s(tries, lambda: 1.0) for tries in (1, 2, 3, 20)] == [2.0, 4.0, 8.0, 300.0]
    assert backoff_s(5, lambda: 0.0) == 0.1


def test_an_unforeseen_error_says_nothing_of_the_inside() -> None:
    outcome = decide(RuntimeError("/srv/secret/path"), tries=3, max_tries=3)
    assert isinstance(outcome, Failed)
    assert "secret" not in outcome.message
