"""The code interpreter tool in E2B's sandboxes."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
import threading
import zipfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from pydantic import ValidationError

from langchain_assistants import tools
from langchain_assistants.errors import ConfigurationError, InterpreterError
from langchain_assistants.interpreters import e2b
from langchain_assistants.interpreters.e2b import E2BSession
from langchain_assistants.testing import E2BEmulator
from langchain_assistants.tools import (
    E2BCodeInterpreterTool,
    E2BDataAnalysisTool,
    code_interpreter,
)
from langchain_assistants.tools.artifacts import bare_name, shortened
from langchain_assistants.tools.code_interpreter import CodeInterpreterTool

PICTURE = "class P:\n  def _repr_png_(self): return b'png'\n"

Use = Callable[[CodeInterpreterTool, str], Awaitable[ToolMessage]]


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[E2BEmulator]:
    monkeypatch.setattr(e2b, "SETTLING_SECONDS", 0)
    with E2BEmulator() as emulator:
        for name, value in emulator.env.items():
            monkeypatch.setenv(name, value)
        yield emulator


@pytest.fixture
def tool(emulator: E2BEmulator) -> E2BCodeInterpreterTool:
    return E2BCodeInterpreterTool()


@pytest.fixture(params=["sync", "async"])
def use(request: pytest.FixtureRequest) -> Use:
    """Call the tool with code, beside a running loop or on it."""

    async def use(tool: CodeInterpreterTool, code: str) -> ToolMessage:
        call = {
            "type": "tool_call",
            "id": "call_1",
            "name": tool.name,
            "args": {"python_code": code},
        }
        message = (
            tool.invoke(call) if request.param == "sync" else await tool.ainvoke(call)
        )
        assert isinstance(message, ToolMessage)
        return message

    return use


def answer(message: ToolMessage) -> dict[str, Any]:
    """Read what the model sees."""
    content: dict[str, Any] = json.loads(message.text)
    return content


def named(name: str, content: bytes = b"a,b\n1,2\n") -> io.BytesIO:
    """Make an open file."""
    file = io.BytesIO(content)
    file.name = name
    return file


async def test_the_model_sees_what_was_printed_shown_and_made(
    tool: E2BCodeInterpreterTool, use: Use
) -> None:
    code = (
        f"import sys\n{PICTURE}print('out')\nprint('err', file=sys.stderr)\n"
        "open('table.csv', 'w').write('a')\ndisplay(P())\n6 * 7"
    )
    message = await use(tool, code)
    assert message.status == "success"
    seen = answer(message)
    assert seen.pop("results")[-1] == "42"
    assert seen == {
        "stdout": "out\n",
        "stderr": "err\n",
        "error": None,
        "artifacts": ["picture-1.png", "table.csv"],
    }
    picture, table = message.artifact
    assert (picture.mime_type, picture.data, picture.is_picture) == (
        "image/png",
        b"png",
        True,
    )
    assert (table.mime_type, table.data, table.path) == (
        "text/csv",
        b"a",
        "/home/user/table.csv",
    )


async def test_variables_and_files_stay_between_calls(
    tool: E2BCodeInterpreterTool, use: Use
) -> None:
    await use(tool, "x = 1\nopen('a.txt', 'w').write('a')")
    message = await use(tool, "x + len(open('a.txt').read())")
    assert answer(message)["results"] == ["2"]
    assert message.artifact == []


async def test_an_exception_of_the_code_is_no_error_of_the_tool(
    tool: E2BCodeInterpreterTool, use: Use
) -> None:
    message = await use(tool, "print('before')\n1/0")
    assert message.status == "success"
    assert answer(message)["stdout"] == "before\n"
    assert answer(message)["error"].endswith("ZeroDivisionError: division by zero\n")


async def test_a_sandbox_that_vanished_is_an_error_that_the_model_sees_once(
    tool: E2BCodeInterpreterTool, use: Use, emulator: E2BEmulator
) -> None:
    uploaded = await tool.aupload_file(named("data.csv"), "numbers")
    await use(tool, "x = 1")
    emulator.end(str(tool.sandbox_id))
    message = await use(tool, "x")
    assert message.status == "error"
    assert "are lost" in answer(message)["error"]
    message = await use(tool, f"open('{uploaded.remote_path}').read()")
    assert "variables of earlier calls are lost" in answer(message)["note"]
    assert answer(message)["results"] == ["a,b\n1,2\n"]
    assert answer(message)["artifacts"] == []
    assert "note" not in answer(await use(tool, "1"))


async def test_a_wrong_key_is_an_error_that_the_model_sees(
    emulator: E2BEmulator, use: Use
) -> None:
    message = await use(E2BCodeInterpreterTool(api_key="wrong"), "1")
    assert message.status == "error"
    assert "E2B_API_KEY" in answer(message)["error"]


async def test_code_that_takes_too_long_is_stopped_and_keeps_what_it_printed(
    emulator: E2BEmulator, use: Use
) -> None:
    tool = E2BCodeInterpreterTool(timeout=0.5)
    await use(tool, "x = 1")
    message = await use(tool, "print('on', flush=True)\nwhile True: pass")
    assert "stopped after 0.5 seconds" in answer(message)["error"]
    assert answer(message)["stdout"] == "on\n"
    assert answer(await use(tool, "x"))["results"] == ["1"]


async def test_parallel_calls_take_turns_in_one_sandbox(
    tool: E2BCodeInterpreterTool, emulator: E2BEmulator
) -> None:
    await tool.ainvoke({"python_code": "count = 0"})
    code = "count += 1\nopen(f'{count}.txt', 'w').close()"
    call = {"type": "tool_call", "id": "c", "name": tool.name}
    messages = await asyncio.gather(
        *(tool.ainvoke({**call, "args": {"python_code": code}}) for _ in range(6))
    )
    made = [name for message in messages for name in answer(message)["artifacts"]]
    assert sorted(made) == [f"{n}.txt" for n in range(1, 7)]
    assert emulator.most_at_once == len(emulator.sandboxes) == 1


def test_threads_share_one_sandbox(
    tool: E2BCodeInterpreterTool, emulator: E2BEmulator
) -> None:
    seen: list[Any] = []
    threads = [
        threading.Thread(target=lambda: seen.append(tool.invoke({"python_code": "1"})))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [json.loads(content)["results"] for content in seen] == [["1"]] * 4
    assert emulator.most_at_once == len(emulator.sandboxes) == 1


async def test_callbacks_hear_of_output_and_artifacts(
    emulator: E2BEmulator, use: Use
) -> None:
    heard: list[Any] = []

    async def on_artifact(artifact: Any) -> None:
        heard.append(artifact.name)

    tool = E2BCodeInterpreterTool(
        on_stdout=heard.append, on_stderr=heard.append, on_artifact=on_artifact
    )
    code = f"import sys\nprint('o', end='')\nsys.stderr.write('e')\n{PICTURE}P()"
    await use(tool, code)
    assert heard == ["o", "e", "picture-1.png"]


async def test_uploaded_files_are_in_the_description_until_they_are_removed(
    tool: E2BCodeInterpreterTool, use: Use
) -> None:
    plain = tool.description
    first = await tool.aupload_file(named("sales.csv"), "sales by month")
    await tool.aupload_file(named("other.csv"))
    assert first.remote_path == "/home/user/sales.csv"
    assert "- `/home/user/sales.csv`: sales by month\n" in tool.description
    assert tool.description.endswith("- `/home/user/other.csv`")
    assert answer(await use(tool, "open('sales.csv').read()"))["artifacts"] == []
    await tool.aremove_uploaded_file(first)
    assert [file.name for file in tool.uploaded_files] == ["other.csv"]
    assert "sales.csv" not in tool.description
    assert answer(await use(tool, "open('sales.csv')"))["error"]
    await tool.aclose()
    assert tool.description == plain


async def test_a_file_of_the_same_name_replaces_the_first(
    tool: E2BCodeInterpreterTool,
) -> None:
    await tool.aupload_file(named("a.csv", b"1"), "first")
    await tool.aupload_file(io.StringIO("2"), "second", name="a.csv")
    (file,) = tool.uploaded_files
    assert file.description == "second"
    assert await tool.adownload_file(file.remote_path) == b"2"


async def test_a_file_may_be_a_path_and_needs_a_name(
    tool: E2BCodeInterpreterTool, tmp_path: Path
) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b"1")
    assert (await tool.aupload_file(path)).name == "data.csv"
    with path.open("rb") as file:
        assert (await tool.aupload_file(file)).name == "data.csv"
    with pytest.raises(ValueError, match="pass name="):
        await tool.aupload_file(io.BytesIO(b""))


def test_every_method_has_a_synchronous_twin(
    tool: E2BCodeInterpreterTool, emulator: E2BEmulator
) -> None:
    with tool:
        file = tool.upload_file(named("a.csv"), "a")
        assert tool.download_file(file.remote_path) == b"a,b\n1,2\n"
        tool.remove_uploaded_file(file)
        assert tool.run_command("echo out; echo err >&2; exit 3") == {
            "stdout": "out\n",
            "stderr": "err\n",
            "exit_code": 3,
        }
    assert emulator.sandboxes == {}


async def test_packages_are_installed_inside(tool: E2BCodeInterpreterTool) -> None:
    name = "hello_e2b-1.0-py3-none-any.whl"
    about = "hello_e2b-1.0.dist-info"
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("hello_e2b.py", "greeting = 'hello'\n")
        archive.writestr(f"{about}/METADATA", "Name: hello_e2b\nVersion: 1.0\n")
        archive.writestr(
            f"{about}/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{about}/RECORD", "")
    await tool.aupload_file(named(name, wheel.getvalue()))
    await tool.ainstall_python_packages(f"./{name}")
    code = "import hello_e2b; hello_e2b.greeting"
    assert json.loads(await tool.ainvoke({"python_code": code}))["results"] == ["hello"]
    with pytest.raises(InterpreterError, match="cannot install packages"):
        await tool.ainstall_python_packages(["no-such-package-anywhere"])
    with pytest.raises(ValueError, match="Not the name of a package"):
        await tool.ainstall_python_packages("--user numpy")


async def test_a_command_that_does_not_end_is_an_error(emulator: E2BEmulator) -> None:
    tool = E2BCodeInterpreterTool(timeout=0.5)
    with pytest.raises(InterpreterError, match="timeout"):
        await tool.arun_command("cat /dev/zero > /dev/null")


async def test_another_tool_goes_on_in_the_same_sandbox(
    tool: E2BCodeInterpreterTool, emulator: E2BEmulator
) -> None:
    await tool.ainvoke({"python_code": "x = 1\nopen('old.txt', 'w').close()"})
    again = E2BCodeInterpreterTool(sandbox_id=tool.sandbox_id)
    seen = json.loads(await again.ainvoke({"python_code": "x"}))
    assert (seen["results"], seen["artifacts"]) == (["1"], [])
    assert len(emulator.sandboxes) == 1


async def test_what_the_model_sees_is_shortened_and_says_so(
    emulator: E2BEmulator,
) -> None:
    tool = E2BCodeInterpreterTool(max_characters=100)
    code = "print('a' * 500 + 'z')\ndisplay('y' * 90)\ndisplay('y' * 90)\ndisplay('n')"
    seen = json.loads(await tool.ainvoke({"python_code": code}))
    assert seen["stdout"].startswith("a" * 50)
    assert seen["stdout"].endswith("z\n")
    assert "characters left out" in seen["stdout"]
    assert len(seen["results"]) == 2


async def test_files_that_are_too_large_or_too_many_are_named_only(
    tool: E2BCodeInterpreterTool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_interpreter, "MAX_FILE_BYTES", 10)
    monkeypatch.setattr(code_interpreter, "MAX_FILES", 2)
    code = "for n in range(4): open(f'{n}.txt', 'w').write('x' * (11 if n == 0 else 1))"
    seen = json.loads(await tool.ainvoke({"python_code": code}))
    assert seen["artifacts"] == ["1.txt", "2.txt"]
    assert seen["note"] == "Too large or too many to hand over: 0.txt, 3.txt."


async def test_output_survives_files_that_cannot_be_fetched(
    tool: E2BCodeInterpreterTool, emulator: E2BEmulator
) -> None:
    await tool.ainvoke({"python_code": "1"})
    emulator.fail_next("/filesystem.Filesystem/ListDir", 500)
    seen = json.loads(await tool.ainvoke({"python_code": "6 * 7"}))
    assert seen["results"] == ["42"]
    assert "Not every file could be fetched" in seen["note"]


async def test_colours_of_a_terminal_are_left_out(
    tool: E2BCodeInterpreterTool,
) -> None:
    code = "print('\\x1b[1;31mred\\x1b[0m')"
    assert json.loads(await tool.ainvoke({"python_code": code}))["stdout"] == "red\n"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/home/user/a.csv", "a.csv"),
        ("../../etc/passwd", "passwd"),
        ("C:\\secrets\\a.txt", "a.txt"),
        ("a\x00\n\u202egnp.exe", "a___gnp.exe"),
        ("..", "file"),
        ("", "file"),
        ("x" * 300, "x" * 150),
    ],
)
def test_a_name_is_never_a_path(path: str, name: str) -> None:
    assert bare_name(path) == name


def test_a_text_within_the_limit_stays_as_it_is() -> None:
    assert shortened("abc", 3) == "abc"


async def test_the_same_tool_serves_any_session(emulator: E2BEmulator) -> None:
    tool = CodeInterpreterTool(session=E2BSession())
    assert tool.name == "code_interpreter"
    assert json.loads(await tool.ainvoke({"python_code": "1"}))["results"] == ["1"]


def test_the_old_name_is_the_same_tool(emulator: E2BEmulator) -> None:
    tool = E2BDataAnalysisTool()
    assert isinstance(tool, E2BCodeInterpreterTool)
    assert tool.name == "e2b_data_analysis"
    assert list(tool.args) == ["python_code"]


def test_the_key_is_never_shown() -> None:
    tool = E2BCodeInterpreterTool(api_key="s3cret")
    assert "s3cret" not in repr(tool) + str(tool.model_dump(exclude={"args_schema"}))


def test_an_unknown_argument_is_refused() -> None:
    with pytest.raises(ValidationError, match="on_exit"):
        E2BCodeInterpreterTool(on_exit=print)


def test_without_the_extra_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(e2b, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"langchain-assistants\[e2b\]"):
        E2BCodeInterpreterTool()


def test_the_tools_are_loaded_when_they_are_used() -> None:
    program = (
        "import sys, langchain_assistants.tools as t\n"
        "assert 'WebSearchTool' in dir(t)\n"
        "assert 'langchain_core' not in sys.modules; t.E2BCodeInterpreterTool()\n"
        "assert 'e2b' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    with pytest.raises(AttributeError, match="no_such_tool"):
        _ = tools.no_such_tool
