"""The conformance suite on a LangChain tool that takes code."""

from __future__ import annotations

import sys

import pytest
from langchain_core.tools import tool
from tests.interpreters.shell_sandbox import output_of, start

from langchain_assistants.interpreters.tool import ToolInterpreter
from langchain_assistants.testing import CodeConformance


@tool
async def python(code: str) -> str:
    """Execute Python in a process of its own."""
    return await output_of(start([sys.executable, "-I", "-X", "utf8", "-c", code]))


class TestTool(CodeConformance):
    """A tool that keeps no state."""

    streams = False

    @pytest.fixture(scope="class")
    @classmethod
    def provider(cls) -> ToolInterpreter:
        return ToolInterpreter(python)
