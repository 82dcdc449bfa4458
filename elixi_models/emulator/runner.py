"""The child process of one loaded model: llama.cpp's HTTP server on a free loopback port, until the parent is gone.

`python runner.py --model FILE --ctx-size N --scratch FOLDER`, the key in `RUNNER_KEY`. It prints its address once the
model is loaded, and ends when its stdin does. It is started by its file, so that it imports nothing of the package.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from typing import Any

BATCH = 512
"""Prompt tokens between two looks at whether the client is still there: llama.cpp's own 2048 take a CPU seconds."""


def main() -> None:
    """Load, say where, and serve until stdin ends. Never returns: exits 0, or 1 with the reason on stderr."""
    # Ctrl-C is the parent's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    options = _options()
    server = _server(options.model, options.ctx_size)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    # A parent that was killed could not tidy up.
    shutil.rmtree(options.scratch, ignore_errors=True)
    # The destructor of a server can hang for ever; it never gets to run.
    os._exit(0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--ctx-size", type=int, required=True)
    parser.add_argument("--scratch", required=True)
    return parser.parse_args()


def _server(path: str, context_length: int) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path, params.n_ctx = path, context_length
    # Silent until something fails, then the reason on stderr.
    params.n_parallel, params.n_batch, params.verbosity = 1, BATCH, 1
    # By itself it has no key and lets every web page in.
    params.api_keys, params.cors_origins = [os.environ["RUNNER_KEY"]], "http://127.0.0.1"
    try:
        return xllamacpp.Server(params)
    except RuntimeError:
        os._exit(1)


if __name__ == "__main__":  # pragma: no cover
    # Our own modules have plain names; nobody may take them for theirs.
    del sys.path[0]
    main()
