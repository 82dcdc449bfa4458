"""Goal post 3 on a clock of its own: how long the suites take at the reference speed, and what troubles them never.

The package's own runner asks its own plans; the server and its time are played, so that hours pass in no time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from elixi_models.benchmarks.items import quality_items
from elixi_models.benchmarks.runner import Findings, Runner
from elixi_models.benchmarks.suites import Item, make_plan
from elixi_models.records import Failure, Measurement

from . import Figure

#: The speed that the suites were made for: a model of three billion parameters on a few cores.
DECODE_PER_S, PREFILL_PER_S, LOAD_S = 12.0, 80.0, 5.0
BOUNDS_S = {"quick": 120.0, "full": 900.0}
LONGEST_LOAD_S, TOKEN_S, CHARS_PER_TOKEN, CHAT_S = 360.0, 1 / DECODE_PER_S, 4, 30.0
GOLD = {item.question.prompt: item.question.gold for item in quality_items("full")}


@dataclass
class Server:
    """A server whose requests take what they would at its speed, and the time that has passed there.

    Every `hangs`-th request is never answered, and every `breaks`-th broken off because a person chats for half a
    minute; 0 is none. With `brief` answers to questions are as long as the right ones, else as long as they may be.
    """

    decode_per_s: float = DECODE_PER_S
    prefill_per_s: float = PREFILL_PER_S
    load_s: float = LOAD_S
    hangs: int = 0
    breaks: int = 0
    brief: bool = False
    now_s: float = 0.0
    chatted_s: float = 0.0
    asked: int = 0
    loaded: bool = False
    chatting: bool = False

    def ask(self, item: Item, nonce: str, timeout_s: float) -> tuple[str | None, Measurement, Failure | None]:
        """Answer, or let the time run out; the client goes at its time limit."""
        self.asked += 1
        tokens, prompt_tokens = self._tokens(item), (len(nonce) + len(item.prompt)) // CHARS_PER_TOKEN
        load_s = 0.0 if self.loaded and item.kind != "cold" else self.load_s
        prompt_s, eval_s = prompt_tokens / self.prefill_per_s, (tokens - 1) / self.decode_per_s
        needed_s = load_s + prompt_s + tokens / self.decode_per_s
        if self.breaks and self.asked % self.breaks == 0:
            self.now_s += min(needed_s / 2, timeout_s)
            self.chatting = True
            return None, _measured("cancelled"), Failure("CANCELLED", "", self.now_s)
        if needed_s > timeout_s or (self.hangs and self.asked % self.hangs == 0):
            self.now_s += timeout_s
            return None, _measured("timeout"), Failure("OLLAMA_TIMEOUT", "", self.now_s)
        self.now_s += needed_s
        self.loaded = True
        answer = GOLD.get(item.prompt, "So it went on.")
        done = "length" if tokens == item.max_tokens else "stop"
        return answer, _measured("ok", needed_s, load_s, prompt_tokens, prompt_s, tokens, eval_s, done), None

    def wait_idle(self, timeout_s: float) -> bool:
        """A person's chat lasts half a minute; meanwhile the suite's clock stands."""
        if self.chatting:
            self.now_s += CHAT_S
            self.chatted_s += CHAT_S
            self.chatting = False
            return False
        return True

    def _tokens(self, item: Item) -> int:
        gold = GOLD.get(item.prompt) if self.brief else None
        return item.max_tokens if gold is None else min(item.max_tokens, -(-len(gold) // CHARS_PER_TOKEN) + 1)


def _measured(
    outcome: str,
    needed_s: float = 0.0,
    load_s: float | None = None,
    prompt_tokens: int | None = None,
    prompt_s: float | None = None,
    tokens: int | None = None,
    eval_s: float | None = None,
    done_reason: str | None = None,
) -> Measurement:
    return Measurement(
        "0",
        0.0,
        "http://127.0.0.1:1",
        "played:3b",
        "benchmark",
        outcome,  # type: ignore[arg-type]
        needed_s,
        load_s=load_s,
        prompt_tokens=prompt_tokens,
        prompt_s=prompt_s,
        tokens=tokens,
        eval_s=eval_s,
        done_reason=done_reason,
    )
