"""How long the suites take, on a clock of their own: at the reference speed, and on servers that trouble them.

The package's own runner asks its own plans; the server and its time are played, so that hours pass in a moment.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from elixi_models.benchmarks.items import quality_items
from elixi_models.benchmarks.runner import Findings, Runner
from elixi_models.benchmarks.suites import Item, make_plan
from elixi_models.records import Failure, Measurement, Outcome

from . import Figure

#: The speed that the suites were made for: a model of three billion parameters on a few cores.
DECODE_PER_S, PREFILL_PER_S, LOAD_S = 12.0, 80.0, 5.0
BOUNDS_S = {"quick": 120.0, "full": 900.0}
#: Post 3 allows the deadline to be exceeded by the wait for one token.
TOKEN_S = 1 / DECODE_PER_S
LONGEST_LOAD_S, CHAT_S, CHARS_PER_TOKEN = 360.0, 30.0, 4
GOLD = {item.question.prompt: item.question.gold for item in quality_items("full")}
#: Tokens a second out, every how many requests one hangs, every how many a person chats, seconds of a load; thinkers.
TROUBLES = (
    *itertools.product((0.05, 1.0, 12.0), (0, 1, 2, 3), (0, 3), (LOAD_S, 200.0), (False,)),
    *itertools.product((1.0, 12.0), (0, 2), (0, 3), (LOAD_S,), (True,)),
)


@dataclass
class Server:
    """A server whose requests take what they would at its speed, and the time that has passed there.

    Every `hangs`-th request is never answered, and every `chats`-th broken off because a person chats for half a
    minute; 0 is none. Answers are as long as they may be, `brief` ones to questions as long as the right ones.
    With `thinks` the first tokens of every answer go into thoughts, more of them than a question allows.
    """

    decode_per_s: float = DECODE_PER_S
    hangs: int = 0
    chats: int = 0
    load_s: float = LOAD_S
    thinks: bool = False
    brief: bool = False
    now_s: float = 0.0
    chatted_s: float = 0.0
    asked: int = 0
    loaded: bool = False
    chatting: bool = False

    def ask(self, item: Item, nonce: str, timeout_s: float) -> tuple[str | None, Measurement, Failure | None]:
        """Answer, or let the time run out: the client goes when its time is over."""
        self.asked += 1
        answer, tokens = self._reply(item)
        load_s = 0.0 if self.loaded and item.kind != "cold" else self.load_s
        prompt_tokens = (len(nonce) + len(item.prompt)) // CHARS_PER_TOKEN
        prompt_s, eval_s = prompt_tokens / PREFILL_PER_S, (tokens - 1) / self.decode_per_s
        needed_s = load_s + prompt_s + tokens / self.decode_per_s
        outcome: Outcome = "ok"
        if self.chats and self.asked % self.chats == 0:
            outcome, needed_s, self.chatting = "cancelled", needed_s / 2, True
        elif (self.hangs and self.asked % self.hangs == 0) or needed_s > timeout_s:
            outcome, needed_s = "timeout", timeout_s
        self.now_s += min(needed_s, timeout_s)
        told = {"duration_s": needed_s, "source": "benchmark", "outcome": outcome}
        if outcome != "ok":
            return None, Measurement("0", 0.0, "u", "m", **told), Failure(outcome.upper(), "", self.now_s)
        self.loaded = True
        told.update(load_s=load_s, prompt_tokens=prompt_tokens, prompt_s=prompt_s, tokens=tokens, eval_s=eval_s)
        told.update(done_reason="length" if tokens == item.max_tokens else "stop")
        return answer, Measurement("0", 0.0, "u", "m", **told), None

    def _reply(self, item: Item) -> tuple[str, int]:
        gold = GOLD.get(item.prompt)
        if gold is None or not self.brief:
            return "<think> So" if self.thinks else gold or "So it went on.", item.max_tokens
        return gold, min(item.max_tokens, len(gold) // CHARS_PER_TOKEN + 1)

    def wait_idle(self, timeout_s: float) -> bool:
        """While a person chats, the benchmark's time stands."""
        if not self.chatting:
            return True
        self.now_s += CHAT_S
        self.chatted_s += CHAT_S
        self.chatting = False
        return False

    def run(self, suite: str) -> Findings:
        """A whole suite; afterwards `lasted_s` says how long it was at work."""
        return Runner(
            make_plan(suite),
            self.ask,
            nonce=lambda: "nonce",
            monotonic=lambda: self.now_s,
            wait_idle=self.wait_idle,
            stopped=lambda: False,
            noted=lambda findings: None,
            load_timeout_s=LONGEST_LOAD_S,
        ).run()

    @property
    def lasted_s(self) -> float:
        """Seconds that went by, those of a person's chats apart."""
        return self.now_s - self.chatted_s


def excess_s(suite: str) -> float:
    """By how much the deadline is exceeded at most, over all kinds of trouble; below 0 it never is reached."""
    worst = float("-inf")
    for trouble in TROUBLES:
        server = Server(*trouble)
        server.run(suite)
        worst = max(worst, server.lasted_s - make_plan(suite).deadline_s)
    return worst


def figures() -> Iterator[Figure]:
    """The time of each suite at the reference speed, how much of it was asked, and the deadline in trouble."""
    source = f"played server, {DECODE_PER_S:g} / {PREFILL_PER_S:g} tokens/s, load {LOAD_S:g} s"
    for suite, bound in BOUNDS_S.items():
        total = len(make_plan(suite).items)
        for words, brief in (("answers as long as allowed", False), ("answers as long as right ones", True)):
            server = Server(brief=brief)
            done = server.run(suite).done_items
            name = f"{suite}, {words}"
            yield Figure(3, f"{name}, s", server.lasted_s, 1, at_most=bound, sample=server.asked, source=source)
            yield Figure(3, f"{name}, items of {total}", done, 0, sample=total, source=source)
        excess, source_of = excess_s(suite), "played servers: slow, hanging, loading, thinking, chats between"
        yield Figure(
            3,
            f"{suite}, beyond the deadline in trouble, most, s",
            excess,
            0.001,
            at_most=TOKEN_S,
            sample=len(TROUBLES),
            source=source_of,
        )
