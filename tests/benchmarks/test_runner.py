"""The order in which a benchmark asks, waits, repeats and gives up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from elixi_models.benchmarks.checks import Check
from elixi_models.benchmarks.suites import Item, Plan

from .conftest import speed_plan


def test_everything_is_asked_once_with_a_nonce_of_its_own(bench):
    """On a steady machine the quick suite is four requests."""
    found = bench.run()

    assert bench.ask.ids == ["warm-up", "decode-1", "decode-2", "decode-3"]
    assert [nonce for _, nonce, _ in bench.ask.requests] == ["nonce 1", "nonce 2", "nonce 3", "nonce 4"]
    assert (found.reason, found.failure, found.warnings, found.done_items) == (None, None, [], 4)
    assert found.measured


def test_progress_is_told_after_every_item(bench):
    """At first with the expected time, then with what is left at the pace so far."""
    bench.run()

    assert [note[0] for note in bench.notes] == [0, 1, 2, 3, 4]
    assert bench.notes[0][1] == pytest.approx(speed_plan("quick").expected_s)
    assert [note[1] for note in bench.notes[1:]] == [6.0, 4.0, 2.0, 0.0]


def test_time_limits_follow_the_measured_speed(bench):
    """The load's for the warm-up, a minute for the first, then at least ten seconds; never beyond the deadline."""
    bench.run()

    assert [timeout_s for _, _, timeout_s in bench.ask.requests] == [115.0, 60.0, 10.0, 10.0]


def test_a_slow_model_gets_four_times_what_it_should_need(bench):
    """64 tokens at 2 tokens/s and a prompt of about 200 at 40 tokens/s."""
    bench.ask.replies = [{}, {"eval_s": 31.5, "prompt_s": 4.0, "takes_s": 36.0}]
    bench.run()

    expected_s = 4 * (len(speed_plan("quick").items[2].prompt) / 4 / 40 + 64 / 2)
    assert bench.ask.requests[2][2] == pytest.approx(min(expected_s, 115 - 38))


def test_a_short_answer_is_asked_for_again(bench):
    """With another nonce; both count, and the report says so."""
    bench.ask.replies = [{}, {"tokens": 20, "eval_s": 19 / 40, "done_reason": "stop"}]
    found = bench.run()

    assert bench.ask.ids == ["warm-up", "decode-1", "decode-1", "decode-2", "decode-3"]
    assert found.warnings == ["short_answers"]
    assert len(found.replies("decode")) == 4


def test_a_short_answer_that_was_cut_is_not_asked_for_again(bench):
    """The server ended it for length: there is nothing more to be had."""
    bench.ask.replies = [{}, {"tokens": 20, "eval_s": 19 / 40, "done_reason": "length"}]

    assert bench.run().warnings == []


def test_a_model_of_few_words_is_asked_until_there_are_64_gaps(bench):
    """At most once more for each item."""
    few = {"tokens": 11, "eval_s": 10 / 40, "done_reason": "stop"}
    bench.ask.replies = [{}, *[dict(few) for _ in range(20)]]
    found = bench.run()

    assert len(found.replies("decode")) == 7
    assert sum(reply.tokens - 1 for reply in found.replies("decode")) == 70


def test_a_noisy_machine_is_measured_once_more_and_then_called_unstable(bench):
    """When the repeat is as noisy as the first round."""
    bench.ask.replies = [{}, *[{"eval_s": time} for time in (1.0, 2.0, 1.0, 2.0, 1.0, 2.0)]]
    found = bench.run()

    assert bench.ask.ids[1:] == ["decode-1", "decode-2", "decode-3"] * 2
    assert found.warnings == ["unstable"]


def test_a_repeat_may_settle_it(bench):
    """One outlier among six steady replies is no unstable machine."""
    bench.ask.replies = [{}, *[{"eval_s": time} for time in (1.0, 1.25, 1.0, 1.0, 1.0, 1.0)]]
    found = bench.run()

    assert len(found.replies("decode")) == 6
    assert found.warnings == []


def test_nothing_is_asked_while_somebody_chats(bench):
    """The benchmark waits, and its clock begins when its turn has come."""
    bench.room.busy_looks = 500
    bench.ask.before = lambda: setattr(bench, "begun_at", getattr(bench, "begun_at", bench.watch.at))
    found = bench.run()

    assert bench.begun_at == pytest.approx(1_100.0)
    assert found.reason is None
    assert bench.ask.requests[0][2] == 115.0


def test_a_chat_that_never_ends_ends_the_benchmark(bench):
    """After ten minutes of waiting."""
    bench.room.busy_looks = 1_000_000
    found = bench.run()

    assert (found.reason, found.samples) == ("chat_busy", [])
    assert bench.watch.at == pytest.approx(1_600.2, abs=0.5)


def test_a_request_that_a_chat_broke_off_is_repeated_after_a_warm_up(bench):
    """The chat may have driven the model out; the clock stands meanwhile."""

    def chat_comes():
        if len(bench.ask.requests) == 2:
            bench.room.busy_looks = 600

    bench.ask.before = chat_comes
    bench.ask.replies = [{}, {}, {"outcome": "cancelled"}]
    found = bench.run()

    assert bench.ask.ids == ["warm-up", "decode-1", "decode-2", "warm-up", "decode-2", "decode-3"]
    assert (found.reason, found.warnings) == (None, ["interrupted_by_chat"])
    assert [sample.item.id for sample in found.samples] == ["warm-up", "decode-1", "warm-up", "decode-2", "decode-3"]


def test_a_warm_up_that_a_chat_broke_off_is_simply_repeated(bench):
    """It is its own warm-up."""
    bench.ask.replies = [{"outcome": "cancelled"}]
    bench.run()

    assert bench.ask.ids[:2] == ["warm-up", "warm-up"]


def test_a_benchmark_that_is_broken_off_again_and_again_gives_up(bench):
    """After twenty chats."""
    bench.ask.replies = [{"outcome": "cancelled", "takes_s": 0.1} for _ in range(50)]
    found = bench.run()

    assert (found.reason, len(bench.ask.requests)) == ("chat_busy", 21)


def test_the_deadline_ends_it_between_items(bench):
    """What was measured until then is kept; it never runs on."""
    bench.ask.replies = [{"takes_s": 50.0}, {"takes_s": 58.0}, {"takes_s": 60.0, "outcome": "timeout"}]
    found = bench.run()

    assert found.reason == "deadline"
    assert bench.watch.at == 1_115.0
    assert [sample.item.id for sample in found.samples] == ["warm-up", "decode-1"]
    assert found.measured


def test_an_answer_on_the_last_second_counts(bench):
    """The next item does not begin."""
    bench.ask.replies = [{"takes_s": 60.0}, {"takes_s": 55.0}]
    found = bench.run()

    assert (found.reason, [sample.item.id for sample in found.samples]) == ("deadline", ["warm-up", "decode-1"])


def test_a_deadline_among_repetitions_cuts_nothing_short(bench):
    """The plan was fulfilled; only the second round for a noisy machine is incomplete."""
    bench.ask.replies = [{}, *[{"eval_s": time, "takes_s": 36.0} for time in (10.0, 25.0, 10.0, 25.0)]]
    found = bench.run()

    assert (found.reason, found.done_items) == (None, 4)
    assert bench.watch.at == 1_115.0


def test_being_called_off_ends_it_at_once(bench):
    """Whether it comes during a request or while waiting for a turn."""
    bench.ask.before = lambda: setattr(bench, "stopped", len(bench.ask.requests) == 2)
    bench.ask.replies = [{}, {}, {"outcome": "cancelled"}]
    found = bench.run()
    assert (found.reason, bench.ask.ids) == ("stopped", ["warm-up", "decode-1", "decode-2"])
    assert found.warnings == []

    bench.ask.requests.clear()
    bench.stopped, bench.room.busy_looks = True, 5
    found = bench.run()
    assert (found.reason, bench.ask.ids) == ("stopped", [])


@pytest.mark.parametrize(
    ("outcome", "code", "reason"),
    [
        ("refused", "MODEL_NOT_INSTALLED", "model_not_installed"),
        ("oom", "OUT_OF_MEMORY", "out_of_memory"),
        ("load_failed", "LOAD_FAILED", "load_failed"),
    ],
)
def test_what_cannot_get_better_ends_it(bench, outcome, code, reason):
    """The first time, with the error."""
    bench.ask.replies = [{"outcome": outcome, "code": code}]
    found = bench.run()

    assert (found.reason, found.failure.code, len(bench.ask.requests)) == (reason, code, 1)
    assert not found.measured


def test_a_server_that_is_gone_ends_it_at_the_second_failure(bench):
    """One may be an accident; what was measured before is kept."""
    gone = {"outcome": "unreachable", "code": "OLLAMA_UNAVAILABLE"}
    bench.ask.replies = [{}, {}, dict(gone), dict(gone)]
    found = bench.run()

    assert (found.reason, found.failure.code) == ("ollama_unavailable", "OLLAMA_UNAVAILABLE")
    assert found.measured


def test_single_failures_are_counted_and_survived(bench):
    """A failure between answers ends nothing."""
    bench.ask.replies = [{}, {"outcome": "http_5xx"}, {}, {"outcome": "http_5xx"}]
    found = bench.run()

    assert found.reason is None
    assert [reply.outcome for reply in found.replies("decode")] == ["http_5xx", "ok", "http_5xx"]


def test_three_timeouts_in_a_row_end_it(bench):
    """A server that hangs is not asked for ever."""
    bench.ask.replies = [{"outcome": "timeout"} for _ in range(9)]
    found = bench.run()

    assert (found.reason, len(bench.ask.requests)) == ("timeouts", 3)


def test_empty_answers_end_nothing(bench):
    """They are errors of the model, not of the server."""
    bench.ask.replies = [{"outcome": "empty"} for _ in range(9)]
    found = bench.run()

    assert (found.reason, found.measured) == (None, False)
    assert found.done_items == 4


QUESTION = Item(
    "general-1", "quality", "Name the sea.", 20, "general", (Check("includes", ["sea"]), Check("lower_case"))
)
WARM_UP = Item("warm-up", "warm_up", "a story", 8)
DECODE = Item("decode-1", "decode", "a story", 128)


def test_questions_are_asked_without_a_nonce_and_their_answers_judged(bench):
    """A nonce might change the answer, and with it the score; speed prompts keep theirs."""
    bench.ask.replies = [{}, {"answer": "the Sea"}]
    found = bench.run(Plan("quick", 115.0, (WARM_UP, QUESTION, DECODE)))

    assert [nonce for _, nonce, _ in bench.ask.requests] == ["nonce 1", "", "nonce 2"]
    warm_up, question, decode = found.samples
    assert (warm_up.verdict, warm_up.answer, decode.verdict) == (None, None, None)
    assert (question.answer, question.verdict.credit, question.verdict.failed) == ("the Sea", 0.5, ("lower_case",))
    assert found.measured


@pytest.mark.parametrize(
    ("reply", "credit"),
    [
        ({"answer": "the sea", "done_reason": "stop"}, 1.0),
        ({"answer": "the sea", "done_reason": "length"}, 0.5),
        ({"answer": None, "outcome": "empty", "done_reason": "stop"}, 0.0),
        ({"answer": None, "outcome": "timeout"}, None),
        ({"answer": None, "outcome": "http_5xx"}, None),
    ],
)
def test_silence_counts_and_a_failure_of_the_server_does_not(bench, reply, credit):
    """A cut answer fails what needs its end."""
    bench.ask.replies = [{}, reply]
    found = bench.run(Plan("quick", 115.0, (WARM_UP, QUESTION, DECODE)))

    verdict = found.samples[1].verdict
    assert (verdict and verdict.credit) == credit


OTHER = replace(QUESTION, id="general-2")
OUT_OF_TOKENS = [
    {"answer": None, "outcome": "empty", "done_reason": "length"},
    {"answer": "<think> The sea, let me see", "done_reason": "length"},
]


@pytest.mark.parametrize("thoughts", OUT_OF_TOKENS)
def test_a_model_that_thinks_unasked_gets_four_times_the_tokens(bench, thoughts):
    """From the question on that it could not answer for thinking; speed is measured as before."""
    answered = {"answer": "<think> The sea? </think> the sea", "done_reason": "stop"}
    bench.ask.replies = [{}, dict(thoughts), dict(answered), dict(answered)]
    found = bench.run(Plan("quick", 115.0, (WARM_UP, QUESTION, OTHER, DECODE)))

    assert bench.ask.ids == ["warm-up", "general-1", "general-1", "general-2", "decode-1"]
    assert [sample.item.max_tokens for sample in found.samples] == [8, 80, 80, 128]
    assert [sample.verdict.credit for sample in found.samples[1:3]] == [1.0, 1.0]
    assert found.warnings == ["thinks_unasked"]


def test_an_answer_that_was_cut_after_its_thoughts_is_an_answer(bench):
    """It is not asked again: the tokens went into words."""
    bench.ask.replies = [{}, {"answer": "<think> Well. </think> the sea and", "done_reason": "length"}]
    found = bench.run(Plan("quick", 115.0, (WARM_UP, QUESTION, DECODE)))

    assert bench.ask.ids == ["warm-up", "general-1", "decode-1"]
    assert (found.warnings, found.samples[1].verdict.credit) == ([], 0.5)


@pytest.mark.parametrize("thoughts", OUT_OF_TOKENS)
def test_a_model_that_says_nothing_however_long_it_may_talk_is_given_no_more(bench, thoughts):
    """One try only: it does not cost four times the time for every question."""
    bench.ask.replies = [{}, dict(thoughts), dict(thoughts), dict(thoughts)]
    found = bench.run(Plan("quick", 115.0, (WARM_UP, QUESTION, OTHER, DECODE)))

    assert bench.ask.ids == ["warm-up", "general-1", "general-1", "general-2", "decode-1"]
    assert [sample.item.max_tokens for sample in found.samples] == [8, 80, 20, 128]
    assert [sample.verdict.credit for sample in found.samples[1:3]] == [0.0, 0.0]
    assert found.warnings == []


def test_an_answer_to_a_prompt_that_was_cut_has_no_score(bench):
    """Three words are three tokens at least; a server that counts none of them at all may have had them cached."""
    bench.ask.replies = [{}, {"prompt_tokens": 2, "answer": "the sea"}, {"prompt_tokens": 3, "answer": "the sea"}]
    bench.ask.replies += [{"prompt_tokens": None, "answer": "the sea"}, {"prompt_tokens": 0, "answer": "the sea"}]
    found = bench.run(Plan("quick", 115.0, (WARM_UP, QUESTION, OTHER, QUESTION, OTHER)))

    assert [sample.truncated for sample in found.samples[1:]] == [True, False, False, False]
    assert [sample.verdict is None for sample in found.samples[1:]] == [True, False, False, False]
    assert found.warnings == ["truncated_prompt"]


def test_the_same_answers_give_the_same_findings(bench):
    """Nothing but what is given decides."""
    first = bench.run()
    bench.watch.at = 1_000.0
    second = bench.run()

    assert first == second
