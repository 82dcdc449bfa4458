"""Downloads: start, follow, cancel. Starting again is the poll: the running or finished job comes back."""

from __future__ import annotations

from ... import shapes
from ...messages import message_for
from ...records import DownloadJob
from .. import payloads
from ..endpoint import Call, Endpoint
from ..responses import Answer, ok


def download_model(call: Call) -> Answer:
    """Start a download or tell about it: 202 while it runs, 200 when it has ended."""
    fields = dict(call.fields)
    job = call.service.download(fields.pop("model_name"), **fields, user=call.user)
    return _told(call, job, 202 if job.live else 200)


def download_status(call: Call) -> Answer:
    """The newest download of one model."""
    return _told(call, call.service.download_status(call.fields["model_name"]), 200)


def list_downloads(call: Call) -> Answer:
    """All downloads that are remembered, newest first."""
    jobs = call.service.downloads()
    return ok({"downloads": [shapes.download(job, call.service.install_path(job)) for job in jobs]})


def cancel_download(call: Call) -> Answer:
    """Stop a download; one that has ended comes back unchanged."""
    return _told(call, call.service.cancel_download(call.fields["model_name"], user=call.user), 200)


def _told(call: Call, job: DownloadJob, status: int) -> Answer:
    return ok(shapes.download(job, call.service.install_path(job)), message_for(job), status)


ENDPOINTS = (
    Endpoint("download-model", "POST", "operate", download_model, payloads.DOWNLOAD),
    Endpoint("download-status", "GET", "read", download_status, payloads.MODEL),
    Endpoint("downloads", "GET", "read", list_downloads),
    Endpoint("cancel-download", "POST", "operate", cancel_download, payloads.MODEL),
)
