"""How things stand: the active model, the health of both sides, and what was done."""

from __future__ import annotations

from ... import shapes
from .. import payloads
from ..endpoint import Call, Endpoint
from ..histories import texts_of
from ..responses import Answer, ok


def model_status(call: Call) -> Answer:
    """The active model and what is under way; always 200, with any server."""
    report = call.service.status()
    return ok(shapes.status(report), untagged=("as_of",) if report.reachable else ())


def health(call: Call) -> Answer:
    """`data.status` is ok, degraded or down; always 200."""
    return ok(shapes.health(call.service.health()))


def usage_history(call: Call) -> Answer:
    """Who did what, newest first; `before` pages back."""
    fields = call.fields
    events = call.service.usage_history(limit=fields["limit"], before_s=fields["before"], model=fields["model_name"])
    return ok(shapes.usage(events))


def model_history(call: Call) -> Answer:
    """A model over time, by the hour or the day; from roll-ups, also for one that is gone."""
    fields = call.fields
    told = call.service.model_history(
        fields["model_name"], from_s=fields["from"], to_s=fields["to"], bucket=fields["bucket"]
    )
    return texts_of(call.service).answer(told)


ENDPOINTS = (
    Endpoint("model-status", "GET", "read", model_status),
    Endpoint("health", "GET", "read", health),
    Endpoint("usage-history", "GET", "read", usage_history, payloads.HISTORY),
    Endpoint("model-history", "GET", "read", model_history, payloads.MODEL_HISTORY),
)
