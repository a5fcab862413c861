"""The command line: exit codes, errors, what it loads; the commands run elsewhere."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import langchain_assistants
from langchain_assistants import cli
from langchain_assistants.errors import ConfigurationError
from langchain_assistants.terminal import chat, demo

HEAVY = {"langchain_core", "langgraph", "openai", "pydantic", "rich", "sqlalchemy"}


def loaded_by(*arguments: str) -> set[str]:
    """Return the modules that a call of the program leaves loaded."""
    program = f"""
import sys
from langchain_assistants.cli import main
try:
    main({list(arguments)!r})
except SystemExit:
    pass
print("loaded:", *sys.modules)
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(result.stdout.partition("loaded: ")[2].split())


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["--version"],
        ["demo", "--help"],
        ["chat", "--help"],
        ["doctor", "--help"],
        ["backup", "--help"],
        ["serve", "--help"],
        ["keys", "--help"],
        ["ingest", "--help"],
    ],
    ids=" ".join,
)
def test_help_and_version_load_nothing_heavy(arguments: list[str]) -> None:
    loaded = loaded_by(*arguments)
    assert "langchain_assistants.cli" in loaded
    assert HEAVY.isdisjoint(loaded)


def test_the_version_is_the_packages_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0
    version = langchain_assistants.__version__
    assert capsys.readouterr().out == f"langchain-assistants {version}\n"


def test_without_a_command_the_help_lists_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main([]) == 0
    shown = capsys.readouterr().out
    for command in ("demo ", "chat ", "doctor ", "backup "):
        assert command in shown


def test_an_unknown_command_is_answered_with_those_that_exist(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["dance"])
    assert stopped.value.code == 2
    told = capsys.readouterr().err
    assert "dance" in told
    assert "demo" in told
    assert "chat" in told


def test_options_reach_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(demo, "demo", lambda **options: given.append(options) or 7)
    monkeypatch.setattr(chat, "chat", lambda **options: given.append(options) or 0)

    assert cli.main(["demo", "--model", "openai:gpt-4o"]) == 7
    assert cli.main(["chat", "--thread", "ada", "--instructions", "Be brief."]) == 0

    assert given == [
        {"model": "openai:gpt-4o", "database": None},
        {
            "model": None,
            "thread": "ada",
            "tools": None,
            "instructions": "Be brief.",
            "database": None,
        },
    ]


def test_an_error_is_one_red_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**options: object) -> int:
        raise ConfigurationError("No [model] to talk to: set a key.\n  Or pass one.")

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(chat, "chat", fail)

    assert cli.main(["chat"]) == 1

    shown = capsys.readouterr()
    assert shown.out == ""
    headline, advice = shown.err.splitlines()
    assert headline == "\x1b[31merror: No [model] to talk to: set a key.\x1b[0m"
    assert advice == "  Or pass one."


def test_ctrl_c_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "demo", interrupted)
    assert cli.main(["demo"]) == 130
