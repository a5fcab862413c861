"""The code interpreter on this machine; it is loaded when it is used."""

from __future__ import annotations

from langchain_assistants.interpreters.local.limits import Limits
from langchain_assistants.interpreters.local.provider import LocalInterpreter

__all__ = ["Limits", "LocalInterpreter"]
