"""The models themselves: list, switch, unload, delete."""

from __future__ import annotations

from ... import shapes
from ...messages import message_for
from .. import payloads
from ..endpoint import Call, Endpoint
from ..listing import listing_of
from ..responses import Answer, ok


def available_models(call: Call) -> Answer:
    """What is installed, what could be, and which model is active."""
    return listing_of(call.service).answer(call.service.available())


def switch_model(call: Call) -> Answer:
    """Make a model the active one: 200 when it is, 202 while it is loading or downloading."""
    fields = call.fields
    result = call.service.switch(fields["model_name"], auto_pull=fields["auto_pull"], user=call.user)
    return ok(shapes.activation(result), message_for(result), 200 if result.state == "active" else 202)


def unload_model(call: Call) -> Answer:
    """Take a model out of memory: 200 when it is, 202 while it still answers somebody."""
    result = call.service.unload(call.fields["model_name"], user=call.user)
    return ok(shapes.unloading(result), message_for(result), 200 if result.state == "unloaded" else 202)


def delete_model(call: Call) -> Answer:
    """Remove a model from the disk: 200 with the bytes freed, 202 while it is going on."""
    fields = call.fields
    result = call.service.delete(fields["model_name"], force=fields["force"], user=call.user)
    return ok(shapes.deletion(result), message_for(result), 200 if result.state == "deleted" else 202)


ENDPOINTS = (
    Endpoint("available-models", "GET", "read", available_models),
    Endpoint("switch-model", "POST", "operate", switch_model, payloads.SWITCH),
    Endpoint("unload-model", "POST", "operate", unload_model, payloads.MODEL),
    Endpoint("delete-model", "POST", "admin", delete_model, payloads.DELETION),
)
