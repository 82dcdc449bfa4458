"""What a reply's figures are worth: an emulated server of known speed, asked through the package's own chat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median

from elixi_models.chatting import Chat
from elixi_models.performance import decode_rate, first_token_s, token_gaps
from elixi_models.records import Measurement
from elixi_models.settings import Settings
from elixi_models.testing import EmulatedModel, OllamaEmulator
from elixi_models.upstream.gateway import OllamaGateway
from elixi_models.upstream.observer import Observer

from . import Figure

RATE, LENGTHS, LOAD_S, WAIT_S, COLD = 1000.0, (2, 16, 64, 128, 512), 0.3, 20.0, 5


@contextmanager
def asked() -> Iterator[Chat]:
    """A chat over a server whose models answer at a thousand tokens a second."""
    models = [
        *(EmulatedModel(f"cold{number}:1b", decode_tokens_per_s=RATE) for number in range(COLD)),
        EmulatedModel("plain:1b", answers="so " * 600, decode_tokens_per_s=RATE),
        EmulatedModel("deep:1b", answers="so " * 600, decode_tokens_per_s=RATE, thinking=True),
    ]
    with OllamaEmulator(models=models, load_seconds=LOAD_S) as ollama:
        settings = Settings(ollama_url=ollama.url)
        gateway = OllamaGateway(settings)
        observer = Observer(gateway, settings)
        observer.ask(WAIT_S)
        try:
            yield Chat(gateway=gateway, observer=observer, settings=settings, record=lambda measurement: None)
        finally:
            observer.close()
            gateway.close()


def measured(chat: Chat, model: str, tokens: int) -> Measurement:
    """One reply of so many tokens; the prompt is the same each time, so the server has it cached."""
    return chat.ask(model, "Say so.", timeout_s=WAIT_S, options={"num_predict": tokens})[1]


def error_percent(reply: Measurement) -> float:
    """How far the reply's decode rate is from the truth."""
    gaps, eval_s = token_gaps(reply) or (0, 1.0)
    return abs(gaps / eval_s / RATE - 1) * 100


def first_token_ms(replies: Sequence[Measurement]) -> float:
    """The median time to the first token, load excluded."""
    return 1000 * median(first_token_s(reply) or 0.0 for reply in replies)


def figures() -> Iterator[Figure]:
    """The worst decode rate over all lengths, with and without thinking; the load where it belongs; too few tokens."""
    source = "emulated server"
    with asked() as chat:
        cold = [measured(chat, f"cold{number}:1b", 8) for number in range(COLD)]
        replies = [measured(chat, model, n) for model in ("plain:1b", "deep:1b") for n in LENGTHS]
        warm = [measured(chat, "plain:1b", 8) for _ in range(COLD)]
    worst = max(error_percent(reply) for reply in (*replies, *cold, *warm))
    yield Figure(1, "decode rate, worst error, %", worst, 1, at_most=1, sample=len(replies) + 2 * COLD, source=source)
    naive = 100 * (16 / 15 - 1)
    yield Figure(1, "decode rate by n / time at n = 16, error, %", naive, 0.1, sample=1, source="arithmetic")
    apart = abs(first_token_ms(cold) - first_token_ms(warm))
    yield Figure(
        1,
        f"first token, cold less load ({LOAD_S * 1000:.0f} ms) against warm, ms",
        apart,
        5,
        at_most=5,
        sample=2 * COLD,
        source=source,
        steady=False,
    )
    told = [decode_rate(n - 1, (n - 1) / RATE) for n in (2, 16, 64)]
    yield Figure(
        1,
        "rates told from fewer than 64 gaps",
        sum(rate is not None for rate in told),
        0,
        at_most=0,
        sample=len(told),
        source="replies of 2, 16 and 64 tokens",
    )
