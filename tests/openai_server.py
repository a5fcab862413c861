"""A scripted OpenAI-compatible server: the far side of a real `ChatOpenAI`.

It speaks `POST /v1/chat/completions`, plain and streamed, and refuses what OpenAI
refuses about tool calls. It knows nothing of the Assistants API.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeAlias, cast

import pytest

from langchain_assistants.testing import Reply, call

JSON: TypeAlias = dict[str, Any]

_COMPLETIONS = "/v1/chat/completions"


@dataclass(frozen=True)
class Failure:
    """An HTTP error; without a body it gets OpenAI's form of one."""

    status: int
    message: str = "The scripted server was told to fail."
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    delay: float = 0.0

    def content(self) -> bytes:
        if self.body is not None:
            return json.dumps(self.body).encode()
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        error = {
            "message": self.message,
            "type": kind,
            "param": None,
            "code": self.code,
        }
        return json.dumps({"error": error}).encode()


@dataclass(frozen=True)
class Request:
    """One request as it arrived; header names are lower case."""

    path: str
    headers: dict[str, str]
    json: Any


Responder: TypeAlias = "Callable[[JSON], Answer]"
Answer: TypeAlias = "str | Reply | Failure | Responder"


class OpenAIServer:
    """Answer each request with the next step, or with a function of its JSON.

    A step is a text, a `Reply` of `langchain_assistants.testing`, a `Failure` or a
    function of the request that returns one of these. A `Reply` with an `error`
    breaks the connection where its end would be.
    """

    def __init__(
        self, script: Iterable[Answer] | Responder = (), port: int = 0
    ) -> None:
        self.requests: list[Request] = []
        self.unexpected: list[str] = []
        self.respond = script if callable(script) else None
        self._steps = [] if callable(script) else list(script)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
        self._http.scripted = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    @property
    def env(self) -> dict[str, str]:
        """The environment that leads an OpenAI client here, past any proxy."""
        return {
            "OPENAI_BASE_URL": self.base_url,
            "OPENAI_API_KEY": "sk-scripted",
            "NO_PROXY": "127.0.0.1",
        }

    @property
    def closed(self) -> bool:
        """Whether the server has been told to end."""
        return self._closing.is_set()

    def pause(self, seconds: float) -> None:
        """Be slow, as a script asks, but not in the way of the server's end."""
        self._closing.wait(seconds)

    def answer(self, *steps: Answer) -> None:
        """Append steps to the script."""
        with self._lock:
            self._steps.extend(steps)

    def assert_consumed(self) -> None:
        """Check that every step was asked for and that nothing else was."""
        assert not self.unexpected, "\n".join(self.unexpected)
        assert not self._steps, f"Never asked for: {self._steps!r}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
        if exc is None:
            self.assert_consumed()

    def take(self, request: Request) -> Reply | Failure:
        """Record a request and choose its answer; a refused one costs no step."""
        with self._lock:
            self.requests.append(request)
        if request.path != _COMPLETIONS:
            return self._refuse_as_unexpected(f"it has no {request.path}")
        if objection := objection_to(request.json):
            return Failure(400, objection)
        step: Answer
        with self._lock:
            if self._steps:
                step = self._steps.pop(0)
            elif self.respond is not None:
                step = self.respond
            else:
                return self._refuse_as_unexpected("its script has no step left")
        try:
            while callable(step):
                step = step(request.json)
        except Exception as error:  # else it would be lost in the server's thread
            return self._refuse_as_unexpected(f"its responder raised {error!r}")
        return Reply(text=step) if isinstance(step, str) else step

    def next_number(self) -> int:
        return next(self._numbers)

    def _refuse_as_unexpected(self, why: str) -> Failure:
        text = f"Request {len(self.requests)} to the scripted server: {why}."
        self.unexpected.append(text)
        return Failure(500, text, headers={"x-should-retry": "false"})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def scripted(self) -> OpenAIServer:
        return cast(OpenAIServer, self.server.scripted)  # type: ignore[attr-defined]

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = json.loads(raw or b"null")
        answer = self.scripted.take(Request(self.path, headers, asked))
        # A client that hangs up, as a cancelled run does, is no error here.
        with contextlib.suppress(ConnectionError):
            if isinstance(answer, Failure):
                self.scripted.pause(answer.delay)
                self._send(answer.status, answer.content(), answer.headers)
            else:
                self._complete(asked, answer)

    do_GET = do_POST

    def _complete(self, asked: JSON, reply: Reply) -> None:
        while reply.wait_for is not None and not (
            reply.wait_for.is_set() or self.scripted.closed
        ):
            self.scripted.pause(0.001)
        self.scripted.pause(reply.delay)
        completion = completion_of(asked, reply, self.scripted.next_number)
        if not asked.get("stream"):
            if reply.error is None:
                self._send(200, json.dumps(completion).encode())
            self.close_connection = True
            return
        headers = {"content-type": "text/event-stream"}
        if reply.error is not None:
            headers["content-length"] = "1000000"  # so that the client misses the end
        self._send_headers(200, headers)
        with_usage = (asked.get("stream_options") or {}).get("include_usage", False)
        for chunk in chunks_of(completion, with_usage=with_usage):
            if reply.error is not None and _is_final(chunk):
                return
            self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.write(b"data: [DONE]\n\n")

    def _send(
        self, status: int, content: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        described = {
            "content-type": "application/json",
            "content-length": str(len(content)),
        }
        self._send_headers(status, {**described, **(headers or {})})
        self.wfile.write(content)

    def _send_headers(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("connection", "close")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the output of tests clean."""


def objection_to(asked: JSON) -> str | None:
    """Say why OpenAI would answer 400, or None."""
    return _unpaired(asked.get("messages") or []) or _unknown_tool(asked)


def _unpaired(messages: list[JSON]) -> str | None:
    if not messages:
        return "Invalid 'messages': empty array. Expected at least one message."
    waiting: list[str] = []
    for message in [*messages, {"role": "end"}]:
        if message["role"] == "tool":
            if message.get("tool_call_id") not in waiting:
                return (
                    "Invalid parameter: messages with role 'tool' must be a response "
                    "to a preceding message with 'tool_calls'."
                )
            waiting.remove(message["tool_call_id"])
            continue
        if waiting:
            return (
                "An assistant message with 'tool_calls' must be followed by tool "
                "messages responding to each 'tool_call_id'. The following "
                "tool_call_ids did not have response messages: " + ", ".join(waiting)
            )
        waiting = [one["id"] for one in message.get("tool_calls") or []]
    return None


def _unknown_tool(asked: JSON) -> str | None:
    tools = asked.get("tools")
    if not tools:
        for name in ("tool_choice", "parallel_tool_calls"):
            if asked.get(name) is not None:
                return f"'{name}' is only allowed when 'tools' are specified."
        return None
    choice = asked.get("tool_choice")
    if isinstance(choice, dict):
        wanted = choice.get("function", {}).get("name")
        if wanted not in [tool.get("function", {}).get("name") for tool in tools]:
            return f"Tool choice '{wanted}' not found in 'tools' parameter."
    return None


def completion_of(asked: JSON, reply: Reply, next_number: Callable[[], int]) -> JSON:
    """Build the `chat.completion` object of a reply."""
    made = [
        (one["name"], json.dumps(one["args"]), one["id"]) for one in reply.tool_calls
    ]
    made += [
        (one["name"] or "", one["args"] or "", one["id"]) for one in reply.malformed
    ]
    tool_calls = [
        {
            "id": given_id or f"call_{next_number():024d}",
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        for name, arguments, given_id in made
    ]
    message: JSON = {
        "role": "assistant",
        "content": reply.text or None,
        "refusal": reply.refusal,
    }
    if tool_calls:
        message["tool_calls"] = tool_calls
    ended = reply.finish_reason or ("tool_calls" if tool_calls else "stop")
    return {
        "id": f"chatcmpl-{next_number()}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": asked["model"],
        "choices": [
            {"index": 0, "message": message, "logprobs": None, "finish_reason": ended}
        ],
        "usage": _usage(asked, message, reply),
    }


def _usage(asked: JSON, message: JSON, reply: Reply) -> JSON:
    given = reply.usage or {}
    prompt = given.get("input_tokens", len(json.dumps(asked["messages"])) // 4)
    completion = given.get("output_tokens", len(json.dumps(message)) // 4)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def chunks_of(completion: JSON, *, with_usage: bool) -> Iterator[JSON]:
    """Cut a completion into the `chat.completion.chunk` objects of a stream."""
    choice = completion["choices"][0]
    shared = {key: completion[key] for key in ("id", "created", "model")}
    shared["object"] = "chat.completion.chunk"
    if with_usage:
        shared["usage"] = None

    def chunk(delta: JSON, finish_reason: str | None = None) -> JSON:
        part = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return {**shared, "choices": [{**part, "logprobs": None}]}

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    yield from map(chunk, _deltas(choice["message"]))
    yield chunk({}, choice["finish_reason"])
    if with_usage:
        yield {**shared, "choices": [], "usage": completion["usage"]}


def _deltas(message: JSON) -> Iterator[JSON]:
    for word in re.findall(r"\s*\S+\s*|\s+", message["content"] or ""):
        yield {"content": word}
    if message["refusal"]:
        yield {"refusal": message["refusal"]}
    for index, one in enumerate(message.get("tool_calls", [])):
        arguments = one["function"]["arguments"]
        half = (len(arguments) + 1) // 2
        opened = {**one, "function": {**one["function"], "arguments": ""}}
        yield {"tool_calls": [{"index": index, **opened}]}
        for piece in (arguments[:half], arguments[half:]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _is_final(chunk: JSON) -> bool:
    return not chunk["choices"] or chunk["choices"][0]["finish_reason"] is not None


def tutor(asked: JSON) -> Reply:
    """Answer any request by rule, without end.

    A user's message makes up to two parallel calls of the offered functions; tool
    outputs are repeated in a text; without tools the user's text is.
    """
    messages = asked["messages"]
    functions = [
        tool["function"] for tool in asked.get("tools") or [] if "function" in tool
    ]
    may_call = functions and asked.get("tool_choice") != "none"
    if may_call and messages[-1]["role"] == "user":
        calls = [
            call(one["name"], example_of(one.get("parameters") or {}))
            for one in functions[:2]
        ]
        return Reply(tool_calls=calls)
    said = list(itertools.takewhile(lambda m: m["role"] == "tool", reversed(messages)))
    if said:
        outputs = "; ".join(_text(message) for message in reversed(said))
        return Reply(text=f"The tools say: {outputs}")
    asks = [_text(message) for message in messages if message["role"] == "user"]
    return Reply(text=f"You said: {asks[-1] if asks else 'nothing'}")


def _text(message: JSON) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


def example_of(
    schema: JSON, definitions: Mapping[str, Any] = MappingProxyType({})
) -> Any:
    """Return a value that a JSON schema allows, the same one every time."""
    definitions = schema.get("$defs", definitions)
    if "$ref" in schema:
        return example_of(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            return example_of(schema[union][0], definitions)
    kind = schema.get("type", "object")
    if kind == "object":
        properties: JSON = schema.get("properties", {})
        required: Iterable[str] = schema.get("required", properties)
        return {
            name: example_of(properties.get(name, {"type": "string"}), definitions)
            for name in required
        }
    if kind == "array":
        return [example_of(schema.get("items", {"type": "string"}), definitions)]
    simple = {"string": "x", "integer": 2, "number": 2.0, "boolean": True}
    return simple.get(kind)


@pytest.fixture
def openai_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    """A server that OpenAI clients find by their environment.

    Script it by `openai_server.answer(...)` or set `openai_server.respond`. At
    teardown the test fails on a step that was left and on an unexpected request.
    """
    with OpenAIServer() as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        yield server


def main() -> None:
    """Serve the tutor until interrupted; print the base URL first."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=0)
    with OpenAIServer(tutor, port=parser.parse_args().port) as server:
        sys.stdout.write(f"OPENAI_BASE_URL={server.base_url}\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
