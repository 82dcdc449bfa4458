"""Which model should take a message, and which task the user gave to which model."""

from __future__ import annotations

from ... import reasons, shapes
from .. import payloads
from ..endpoint import Call, Endpoint
from ..responses import Answer, ok


def recommend_model(call: Call) -> Answer:
    """The best installed model for a task or a prompt, and why."""
    choice = call.service.recommend(call.fields["task_type"], call.fields["prompt"], needs=call.fields["needs"])
    return ok(shapes.choice(choice), reasons.why_text(choice))


def task_assignments(call: Call) -> Answer:
    """Task to model, null where scores decide."""
    return ok(shapes.assignments(call.service.assignments()))


def assign_tasks(call: Call) -> Answer:
    """Set or clear the model of some tasks: 200 when stored, 202 while the store is away."""
    result = call.service.assign(call.fields, user=call.user)
    return ok(shapes.assignments(result), "Assignments stored", 202 if result.pending else 200)


ENDPOINTS = (
    Endpoint("recommend-model", "POST", "read", recommend_model, payloads.RECOMMENDATION),
    Endpoint("task-assignments", "GET", "read", task_assignments),
    Endpoint("task-assignments", "PUT", "operate", assign_tasks, payloads.ASSIGNMENTS),
)
