"""Running an app of ours from the command line: one process, many threads, a clean end on Ctrl-C or SIGTERM."""

from __future__ import annotations

import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def run(app: Flask, *, host: str, port: int, announce: Callable[[str], None], on_stop: Callable[[], None]) -> None:
    """Serve until Ctrl-C or SIGTERM; blocks.

    Args:
        port: 0 takes a free one.
        announce: called once with the base URL when requests are accepted.
        on_stop: called after the last request, before the return.

    Raises:
        OSError: the address cannot be listened on.
    """
    from werkzeug.serving import WSGIRequestHandler, make_server

    class QuietHandler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """One line per poll would bury what matters."""

    with _listen(host, port) as listener:
        server = make_server(host, port, app, threaded=True, request_handler=QuietHandler, fd=listener.fileno())

    def stop(signum: int, frame: FrameType | None) -> None:
        # shutdown() waits for the loop that this very signal interrupted, so another thread has to ask.
        threading.Thread(target=server.shutdown, daemon=True).start()

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, stop)
    shown_host = f"[{host}]" if ":" in host else host
    announce(f"http://{shown_host}:{server.port}")
    try:
        server.serve_forever()
    finally:
        server.server_close()
        on_stop()


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket of our own: where the address is taken Werkzeug would print its advice and exit."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        if sys.platform != "win32":  # there it would let two programs share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener
