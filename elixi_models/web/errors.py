"""The one road from an exception to an answer of ours."""

from __future__ import annotations

import logging

from werkzeug.exceptions import HTTPException, MethodNotAllowed, SecurityError

from .. import errors
from .responses import Answer, refused

_log = logging.getLogger("elixi_models.web")

_BY_STATUS: dict[int, tuple[type[errors.ElixiModelsError], str]] = {
    403: (errors.Forbidden, "This is not allowed."),
    404: (errors.NotFound, "There is nothing at this path."),
    405: (errors.MethodNotAllowed, "This path does not take that method."),
    413: (errors.BodyTooLarge, "The request body is too large."),
}


def render(exc: BaseException) -> Answer:
    """An error as an answer: ours as it is, Werkzeug's in our words, anything else as INTERNAL_ERROR.

    Nothing of an unexpected error is told; the log has it.
    """
    if isinstance(exc, errors.ElixiModelsError):
        return refused(exc)
    if isinstance(exc, MethodNotAllowed):
        return _method_not_allowed(exc)
    if isinstance(exc, SecurityError):
        return refused(errors.HostNotAllowed("This app does not answer to that host name (Flask's TRUSTED_HOSTS)."))
    if isinstance(exc, HTTPException) and (exc.code or 500) < 500:
        # The router's redirects (a doubled slash, a missing one) mean that the path as sent is not ours.
        code = 404 if 300 <= (exc.code or 0) < 400 else exc.code or 400
        kind, message = _BY_STATUS.get(code, (errors.InvalidRequest, "The request cannot be read."))
        return refused(kind(message))
    _log.error("A request failed", exc_info=exc)
    return refused(errors.InternalError("Something went wrong inside elixi-models; the log has the details."))


def _method_not_allowed(exc: MethodNotAllowed) -> Answer:
    kind, message = _BY_STATUS[405]
    allowed = sorted(exc.valid_methods or ())
    answer = refused(kind(message, allowed=allowed))
    return Answer(answer.status, answer.body, headers={"Allow": ", ".join(allowed)} if allowed else {})
