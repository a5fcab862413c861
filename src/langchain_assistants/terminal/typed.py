"""Reads what a person types, one message at a time."""

from __future__ import annotations

import importlib
from contextlib import suppress

QUOTES = '"""'


class Keyboard:
    """Asks for messages; a paste of several lines is one, and so are quoted lines.

    Args:
        prompt: What stands before the cursor.
        bold: Whether the terminal understands that.
    """

    def __init__(self, prompt: str, *, bold: bool) -> None:
        """Prepare the prompt, and line editing where Python has it."""
        self._prompt = prompt
        # readline, once imported, edits the lines of input(), recalls earlier ones,
        # and takes a pasted text as one message.
        with suppress(ImportError):
            readline = importlib.import_module("readline")
            readline.parse_and_bind("set enable-bracketed-paste on")
            if bold:
                # \1 and \2 tell it what takes no room on the line.
                self._prompt = f"\1\x1b[1m\2{prompt}\1\x1b[0m\2"

    def message(self) -> str:
        """Wait for the next message.

        Raises:
            EOFError: Ctrl-D was pressed.
            KeyboardInterrupt: Ctrl-C was pressed; what was typed is forgotten.
        """
        text = input(self._prompt)
        if not text.startswith(QUOTES):
            return text
        lines = [text.removeprefix(QUOTES)]
        while not lines[-1].endswith(QUOTES):
            lines.append(input("  … "))
        lines[-1] = lines[-1].removesuffix(QUOTES)
        return "\n".join(lines).strip("\n")
