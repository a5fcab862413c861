"""The emulator of E2B against E2B's real SDK, sync and async."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import e2b
import httpx
import pytest
from e2b_code_interpreter import AsyncSandbox, Sandbox

from langchain_assistants.testing import E2BEmulator
from langchain_assistants.testing.python_kernel import PythonKernel

EVERY_BYTE = bytes(range(256)) + b"\r\n--\r\n"
PICTURE = """
class Picture:
    def _repr_png_(self):
        return b"png"
"""


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[E2BEmulator]:
    with E2BEmulator() as emulator:
        for name, value in emulator.env.items():
            monkeypatch.setenv(name, value)
        yield emulator


def test_the_sync_sdk_lives_a_sandbox_from_create_to_kill(
    emulator: E2BEmulator,
) -> None:
    sandbox = Sandbox.create(
        timeout=60, envs={"A": "b"}, metadata={"k": "v"}, allow_internet_access=False
    )
    assert sandbox.is_running()
    assert sandbox.files.write("a/b.bin", EVERY_BYTE).path == "/home/user/a/b.bin"
    assert sandbox.files.read("a/b.bin", format="bytes") == EVERY_BYTE
    done = sandbox.run_code("import os\nprint(os.environ['A'], os.getcwd())\n6 * 7")
    assert "".join(done.logs.stdout) == "b /home/user\n"
    assert (done.text, done.execution_count) == ("42", 1)
    sandbox.set_timeout(120)
    assert emulator.sandbox.options["timeout"] == 120
    assert emulator.sandbox.options["allow_internet_access"] is False
    again = Sandbox.connect(sandbox.sandbox_id)
    assert again.run_code("os.path.exists('a/b.bin')").text == "True"
    assert [entry.name for entry in again.files.list("/home/user", depth=2)] == [
        "a",
        "b.bin",
    ]
    again.files.remove("a/b.bin")
    assert not again.files.exists("a/b.bin")
    assert sandbox.kill() is True
    assert sandbox.kill() is False
    assert not sandbox.is_running()


async def test_the_async_sdk_hears_everything_as_it_happens(
    emulator: E2BEmulator,
) -> None:
    sandbox = await AsyncSandbox.create()
    heard: list[str] = []

    async def hear(event: object) -> None:
        heard.append(type(event).__name__)

    code = f"import sys\n{PICTURE}\nprint(1)\nprint(2, file=sys.stderr)\ndisplay('d')\n"
    done = await sandbox.run_code(
        f"{code}Picture()", on_stdout=hear, on_stderr=hear, on_result=hear
    )
    shown, result = done.results
    assert (shown.text, shown.is_main_result) == ("d", False)
    assert (base64.b64decode(result.png or ""), result.is_main_result) == (b"png", True)
    assert "".join(done.logs.stderr) == "2\n"
    assert heard == ["OutputMessage"] * 4 + ["Result"] * 2
    failed = await sandbox.run_code("1/0", on_error=hear)
    assert failed.error is not None
    assert failed.error.name == "ZeroDivisionError"
    assert "1/0" in failed.error.traceback
    assert heard[-1] == "ExecutionError"


async def test_closing_the_stream_interrupts_the_code_and_keeps_the_state(
    emulator: E2BEmulator,
) -> None:
    sandbox = await AsyncSandbox.create()
    started = asyncio.Event()
    code = "x = 1\nprint('on')\nwhile True: pass"
    endless = asyncio.create_task(
        # With a time-out, `wait_for` of Python 3.11 may swallow the cancellation.
        sandbox.run_code(code, on_stdout=lambda _: started.set(), timeout=0)
    )
    await started.wait()
    endless.cancel()
    with pytest.raises(asyncio.CancelledError):
        await endless
    assert (await sandbox.run_code("x")).text == "1"


async def test_contexts_have_variables_of_their_own(emulator: E2BEmulator) -> None:
    sandbox = await AsyncSandbox.create()
    await sandbox.run_code("x = 1")
    (default,) = await sandbox.list_code_contexts()
    other = await sandbox.create_code_context()
    assert (await sandbox.run_code("x", context=other)).error is not None
    await sandbox.restart_code_context(default)
    assert (await sandbox.run_code("x")).error is not None
    await sandbox.remove_code_context(other)
    with pytest.raises(e2b.NotFoundException):
        await sandbox.run_code("1", context=other)


async def test_a_wrong_key_a_vanished_sandbox_and_a_foreign_token_are_refused(
    emulator: E2BEmulator,
) -> None:
    with pytest.raises(e2b.AuthenticationException):
        await AsyncSandbox.create(api_key="wrong")
    with pytest.raises(e2b.SandboxNotFoundException):
        await AsyncSandbox.connect("nobody")
    sandbox = await AsyncSandbox.create()
    emulator.end(sandbox.sandbox_id)
    with pytest.raises(e2b.TimeoutException):
        await sandbox.run_code("1")
    with pytest.raises(e2b.SandboxNotRunningException):
        await sandbox.files.read("a")
    headers = {"E2b-Sandbox-Id": (await AsyncSandbox.create()).sandbox_id}
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{emulator.url}/execute", json={}, headers=headers)
    assert answer.status_code == 401


async def test_failures_and_delays_are_scripted(emulator: E2BEmulator) -> None:
    sandbox = await AsyncSandbox.create()
    emulator.fail_next("/execute", 500)
    with pytest.raises(e2b.SandboxException, match="500"):
        await sandbox.run_code("1")
    with emulator.hold("/execute") as reached:
        held = asyncio.create_task(sandbox.run_code("1"))
        assert await asyncio.to_thread(reached.wait, 10)
        assert not held.done()
    assert (await held).text == "1"
    assert emulator.paths("POST").count("/execute") == 2


async def test_a_wedged_interpreter_answers_after_a_restart(
    emulator: E2BEmulator,
) -> None:
    sandbox = await AsyncSandbox.create()
    emulator.wedge_after_interrupt = True
    with pytest.raises(e2b.TimeoutException):
        await sandbox.run_code("while True: pass", timeout=0.1)
    with pytest.raises(e2b.TimeoutException):
        await sandbox.run_code("1", timeout=0.1)
    (context,) = await sandbox.list_code_contexts()
    await sandbox.restart_code_context(context)
    assert (await sandbox.run_code("1")).text == "1"


@pytest.mark.parametrize("path", ["../secret", "/home/user/../../etc/passwd"])
async def test_no_path_leads_out_of_the_folder(
    emulator: E2BEmulator, path: str
) -> None:
    sandbox = await AsyncSandbox.create()
    with pytest.raises(e2b.SandboxException):
        await sandbox.files.write(path, b"x")
    assert not (emulator.sandbox.folder.parent / "secret").exists()


def test_leaving_it_kills_the_interpreters_and_deletes_the_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with E2BEmulator() as emulator:
        for name, value in emulator.env.items():
            monkeypatch.setenv(name, value)
        pid = int(Sandbox.create().run_code("import os\nos.getpid()").text or "")
        folder = emulator.sandbox.folder
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not folder.exists()


def test_an_environment_of_the_caller_never_reaches_the_code(
    emulator: E2BEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "s3cret")
    sandbox = Sandbox.create()
    assert "s3cret" not in str(sandbox.run_code("import os\ndict(os.environ)"))


def test_threads_may_share_it(emulator: E2BEmulator) -> None:
    sandboxes = [Sandbox.create() for _ in range(4)]
    texts: list[str | None] = []
    threads = [
        threading.Thread(
            target=lambda s=sandbox: texts.append(s.run_code("21 * 2").text)
        )
        for sandbox in sandboxes
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == ["42"] * 4


def test_it_is_imported_without_e2b() -> None:
    program = "import sys, langchain_assistants.testing; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "langchain_assistants.testing.e2b" in loaded
    assert {"e2b", "e2b_code_interpreter"}.isdisjoint(loaded)


def test_an_interpreter_is_killed_while_its_listener_does_not_listen(
    tmp_path: Path,
) -> None:
    kernel = PythonKernel(tmp_path)
    events = kernel.execute("print('on')\nwhile True: pass")
    assert next(events) == {"type": "stdout", "text": "on"}
    kernel.kill()
    with pytest.raises(BrokenPipeError):
        list(events)
    assert [event["text"] for event in kernel.execute("1")] == ["1"]
    kernel.kill()
