"""A stand-in for E2B's cloud on loopback, for tests that use E2B's real SDK."""

from __future__ import annotations

import json
import re
import shutil
import socket
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, urlsplit

from langchain_assistants.testing.python_kernel import PythonKernel

HOME = "/home/user"
_HOMES = re.compile(r"/(?:home/user|mnt/data)\b")
API_KEY = "e2b_emulated"

_GONE = {"message": "The sandbox was not found", "code": 502}


@dataclass(frozen=True, slots=True)
class E2BRequest:
    """A request that the emulator received.

    Attributes:
        method: GET, POST, DELETE.
        path: Without the query; an execution's is `/execute`.
        body: What was sent, when it was JSON.
    """

    method: str
    path: str
    body: Any = None


class E2BSandbox:
    """A sandbox of the emulator: a temporary folder, and its interpreters.

    Attributes:
        id: As the SDK knows it.
        options: What it was created with, under the wire's names.
        root: What the code sees as `/`, where `/home/user` and `/mnt/data` are.
        folder: What it sees as `/home/user`.
        paused: It answers nothing until somebody connects to it.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        """Make the folder; the interpreter starts with the first execution."""
        self.id = "i" + uuid.uuid4().hex[:19]
        self.options = options
        self.root = Path(tempfile.mkdtemp(prefix="e2b-emulator-")).resolve()
        self.folder = self.root / HOME.lstrip("/")
        self.folder.mkdir(parents=True)
        self.paused = False
        self.kernels: dict[str, PythonKernel] = {}
        self.counts: dict[str, int] = {}
        self.default = self.add_kernel()

    def add_kernel(self) -> str:
        """Add an interpreter and return the id of its context."""
        id = str(uuid.uuid4())
        self.kernels[id] = PythonKernel(self.folder, self.options.get("envVars"))
        self.counts[id] = 0
        return id

    def context(self, id: str) -> dict[str, str]:
        """Describe a context as the wire does."""
        return {"id": id, "language": "python", "cwd": HOME}

    def path(self, given: str) -> Path:
        """Return where a path of the sandbox is.

        Raises:
            PermissionError: It is outside `/home/user` and `/mnt/data`.
        """
        inner = given if given.startswith("/") else f"{HOME}/{given}"
        path = (self.root / inner.lstrip("/")).resolve()
        if not _HOMES.match(self.inside(str(path))):
            raise PermissionError(given)
        return path

    def inside(self, text: str) -> str:
        """Put the sandbox's names of its folders for the real ones."""
        return text.replace(str(self.root), "")

    def outside(self, text: str) -> str:
        """Put the real names of the sandbox's folders for its own."""
        return _HOMES.sub(lambda home: f"{self.root}{home[0]}", text)

    def entry(self, path: Path) -> dict[str, Any]:
        """Describe a file or a folder as the wire does."""
        about = path.lstat()
        modified = datetime.fromtimestamp(about.st_mtime, UTC)
        kind = "DIRECTORY" if path.is_dir() else "FILE"
        return {
            "name": path.name,
            "type": f"FILE_TYPE_{kind}",
            "path": self.inside(str(path)),
            "size": str(about.st_size),
            "mode": about.st_mode,
            "permissions": "rw-r--r--",
            "owner": "user",
            "group": "user",
            "modifiedTime": modified.isoformat().replace("+00:00", "Z"),
        }

    def close(self) -> None:
        """Kill the interpreters and delete the folder."""
        for kernel in self.kernels.values():
            kernel.kill()
        shutil.rmtree(self.root, ignore_errors=True)


@dataclass
class _Hold:
    path: str
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)


class E2BEmulator:
    """Emulate as much of E2B's protocol as a code interpreter needs.

    That is: creating, connecting, prolonging, pausing and ending sandboxes; files;
    contexts; executing Python with state, rich results and interrupts. Code and its
    output see the folders as `/home/user` and `/mnt/data`.

    Warning:
        The code runs as an ordinary child process: no jail. For tests only.

    Example:
        >>> with E2BEmulator() as e2b:
        ...     sorted(e2b.env)
        ['E2B_API_KEY', 'E2B_API_URL', 'E2B_SANDBOX_URL']

    Attributes:
        sandboxes: The running ones by id.
        requests: What was asked, in order.
        wedge_after_interrupt: Let an interrupted interpreter answer nothing until it
            is restarted, as E2B's does when the next code comes too soon.
        most_at_once: The highest number of executions that overlapped.
    """

    def __init__(self, *, api_key: str = API_KEY) -> None:
        """Listen on a free port of loopback from `with` on."""
        self.api_key = api_key
        self.sandboxes: dict[str, E2BSandbox] = {}
        self.requests: list[E2BRequest] = []
        self.wedge_after_interrupt = False
        self.most_at_once = 0
        self._executing = 0
        self._lock = threading.Lock()
        self._holds: list[_Hold] = []
        self._failures: list[tuple[str, int]] = []
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        self._server = _Server(self)
        threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.02},
            name="e2b-emulator",
            daemon=True,
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        for hold in self._holds:
            hold.released.set()
        for id in list(self.sandboxes):
            self.end(id)
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None, "use the emulator in a `with` statement"
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def env(self) -> dict[str, str]:
        """The environment that leads E2B's SDK here."""
        return {
            "E2B_API_KEY": self.api_key,
            "E2B_API_URL": self.url,
            "E2B_SANDBOX_URL": self.url,
        }

    @property
    def sandbox(self) -> E2BSandbox:
        """The only running sandbox."""
        (sandbox,) = self.sandboxes.values()
        return sandbox

    def end(self, sandbox_id: str) -> None:
        """Let a sandbox vanish, as its time-out does."""
        self.sandboxes.pop(sandbox_id).close()

    def fail_next(self, path: str, status: int) -> None:
        """Answer the next request to a path with this HTTP status."""
        self._failures.append((path, status))

    @contextmanager
    def hold(self, path: str) -> Iterator[threading.Event]:
        """Let requests to a path wait inside; yield the event that one has come."""
        hold = _Hold(path)
        self._holds.append(hold)
        try:
            yield hold.reached
        finally:
            hold.released.set()
            self._holds.remove(hold)

    def paths(self, method: str) -> list[str]:
        """List the paths that were asked with a method."""
        return [asked.path for asked in self.requests if asked.method == method]

    def admit(self, request: E2BRequest) -> int | None:
        """Note a request; return the status that it has to fail with, if any."""
        self.requests.append(request)
        for hold in list(self._holds):
            if hold.path == request.path:
                hold.reached.set()
                hold.released.wait()
        for failure in self._failures:
            if failure[0] == request.path:
                self._failures.remove(failure)
                return failure[1]
        return None

    @contextmanager
    def executing(self) -> Iterator[None]:
        """Count an execution as long as it takes."""
        with self._lock:
            self._executing += 1
            self.most_at_once = max(self.most_at_once, self._executing)
        try:
            yield
        finally:
            with self._lock:
                self._executing -= 1


class _Server(ThreadingHTTPServer):
    """Keeps its connections, because the SDK's pool never closes its end."""

    def __init__(self, emulator: E2BEmulator) -> None:
        self.emulator = emulator
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients of tests hang up as they like."""


class _Handler(BaseHTTPRequestHandler):
    """One connection; `do_*` are called by the base class."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        is_json = "json" in self.headers.get("content-type", "")
        given = json.loads(body) if is_json and body else None
        failure = self.server.emulator.admit(E2BRequest(method, url.path, given))
        if failure is not None:
            self._send(failure, {"code": failure, "message": "scripted failure"})
        elif "sandboxes" in url.path.split("/"):
            self._control(method, url.path.removeprefix("/v2"), given)
        else:
            self._inside(method, url.path, query, given if is_json else body)

    # What E2B's API answers: the life of sandboxes.

    def _control(self, method: str, path: str, given: Any) -> None:
        emulator = self.server.emulator
        if self.headers.get("x-api-key") != emulator.api_key:
            return self._send(401, {"code": 401, "message": "Invalid API key"})
        if (method, path) == ("POST", "/sandboxes"):
            sandbox = E2BSandbox(given)
            emulator.sandboxes[sandbox.id] = sandbox
            return self._send(201, self._about(sandbox))
        _, _, id, *action = path.split("/")
        found = emulator.sandboxes.get(id)
        if found is None:
            return self._send(404, {"code": 404, "message": f"sandbox {id} not found"})
        match method, action:
            case "DELETE", []:
                emulator.end(id)
                self._send(204)
            case "POST", ["connect"]:
                found.paused = False
                self._send(200, self._about(found))
            case "POST", ["pause"]:
                found.paused = True
                self._send(204)
            case "POST", ["timeout"]:
                found.options["timeout"] = given["timeout"]
                self._send(204)
            case _:
                self._send(501, {"code": 501, "message": f"not emulated: {path}"})

    def _about(self, sandbox: E2BSandbox) -> dict[str, Any]:
        return {
            "templateID": sandbox.options["templateID"],
            "sandboxID": sandbox.id,
            "clientID": "emulator",
            "envdVersion": "0.6.4",
            "envdAccessToken": f"token-{sandbox.id}",
        }

    # What a sandbox answers: files, contexts, executions.

    def _inside(self, method: str, path: str, query: dict[str, str], body: Any) -> None:
        id = self.headers.get("e2b-sandbox-id", "")
        sandbox = self.server.emulator.sandboxes.get(id)
        if sandbox is None or sandbox.paused:
            return self._send(502, {"sandboxId": id, **_GONE})
        if path in ("/execute", "/files") and self._is_foreign(sandbox):
            return self._send(401, {"code": 401, "message": "invalid access token"})
        service, _, name = path.rpartition("/")
        try:
            if path == "/health":
                self._send(204)
            elif path == "/execute":
                self._execute(sandbox, body)
            elif service == "/filesystem.Filesystem":
                self._send(200, self._FILES[name](sandbox, body))
            elif (method, path) == ("GET", "/files"):
                self._send_bytes(200, sandbox.path(query["path"]).read_bytes())
            elif (method, path) == ("POST", "/files"):
                self._send(200, self._written(sandbox, query.get("path"), body))
            elif path.startswith("/contexts"):
                self._contexts(sandbox, method, path.split("/")[2:])
            else:
                self._send(501, {"code": "unimplemented", "message": path})
        except FileNotFoundError:
            self._send(404, {"code": "not_found", "message": "file not found"})
        except PermissionError:
            self._send(403, {"code": "permission_denied", "message": "not yours"})

    def _is_foreign(self, sandbox: E2BSandbox) -> bool:
        return self.headers.get("x-access-token") != f"token-{sandbox.id}"

    def _written(
        self, sandbox: E2BSandbox, target: str | None, body: bytes
    ) -> list[dict[str, str]]:
        """Store the files of a multipart form."""
        boundary = self.headers.get_boundary()
        assert boundary is not None, "only multipart uploads are emulated"
        written = []
        for part in body.split(f"--{boundary}".encode())[1:-1]:
            head, _, content = part.partition(b"\r\n\r\n")
            name = re.search(rb'filename="([^"]*)"', head)
            path = sandbox.path(target or (name[1].decode() if name else ""))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.removesuffix(b"\r\n"))
            written.append(
                {"name": path.name, "type": "file", "path": sandbox.inside(str(path))}
            )
        return written

    @staticmethod
    def _list(sandbox: E2BSandbox, given: dict[str, Any]) -> dict[str, Any]:
        root = sandbox.path(given["path"])
        depth = given.get("depth") or 1
        found = [
            path
            for path in sorted(root.rglob("*"))
            if len(path.relative_to(root).parts) <= depth
        ]
        return {"entries": [sandbox.entry(path) for path in found]}

    @staticmethod
    def _stat(sandbox: E2BSandbox, given: dict[str, Any]) -> dict[str, Any]:
        return {"entry": sandbox.entry(sandbox.path(given["path"]))}

    @staticmethod
    def _remove(sandbox: E2BSandbox, given: dict[str, Any]) -> dict[str, Any]:
        sandbox.path(given["path"]).unlink()
        return {}

    _FILES: ClassVar[dict[str, Any]] = {
        "ListDir": _list,
        "Stat": _stat,
        "Remove": _remove,
    }

    def _contexts(self, sandbox: E2BSandbox, method: str, rest: list[str]) -> None:
        match method, rest:
            case "GET", []:
                self._send(200, [sandbox.context(id) for id in sandbox.kernels])
            case "POST", []:
                self._send(200, sandbox.context(sandbox.add_kernel()))
            case "POST", [id, "restart"] if id in sandbox.kernels:
                sandbox.kernels[id].kill()
                self._send(200, {})
            case "DELETE", [id] if id in sandbox.kernels:
                sandbox.kernels.pop(id).kill()
                self._send(200, {})
            case _:
                self._send(404, {"code": 404, "message": "Context not found"})

    def _execute(self, sandbox: E2BSandbox, given: dict[str, Any]) -> None:
        id = given["context_id"] or sandbox.default
        if id not in sandbox.kernels:
            return self._send(404, {"message": f"Context {id} not found"})
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with self.server.emulator.executing():
            sandbox.counts[id] += 1
            self._line(type="number_of_executions", execution_count=sandbox.counts[id])
            if not self._play(sandbox, id, given["code"]):
                self.close_connection = True
                return None
        self._line(type="end_of_execution")
        self.wfile.write(b"0\r\n\r\n")
        return None

    def _play(self, sandbox: E2BSandbox, id: str, code: str) -> bool:
        """Stream what the code puts out; return whether the client heard it all."""
        listens = True
        events = sandbox.kernels[id].execute(
            sandbox.outside(code),
            self.connection,
            wedge_after_interrupt=self.server.emulator.wedge_after_interrupt,
        )
        try:
            for event in events:
                if event["type"] in ("stdout", "stderr"):
                    event["timestamp"] = datetime.now(UTC).isoformat()
                try:
                    if listens:
                        text = sandbox.inside(json.dumps(event))
                        self._line(**json.loads(text))
                except OSError:  # it hung up; the interpreter still has to end
                    listens = False
        except BrokenPipeError:
            return False
        return listens

    def _line(self, **event: Any) -> None:
        data = json.dumps(event).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _send(self, status: int, body: Any = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self._send_bytes(status, data, "application/json")

    def _send_bytes(
        self, status: int, data: bytes, kind: str = "application/octet-stream"
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
