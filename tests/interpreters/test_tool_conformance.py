"""The conformance suite on a LangChain tool that takes code."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT

import pytest
from langchain_core.tools import tool

from langchain_assistants.interpreters.tool import ToolInterpreter
from langchain_assistants.testing.interpreter_conformance import CodeConformance


@tool
async def python(code: str) -> str:
    """Execute Python in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-X", "utf8", "-c", code),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return output.decode(errors="replace")


class TestTool(CodeConformance):
    """A tool that keeps no state."""

    @pytest.fixture(scope="class")
    @classmethod
    def provider(cls) -> ToolInterpreter:
        return ToolInterpreter(python)
