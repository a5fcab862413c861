"""matplotlib's list of the fonts of this machine: made once, given to each session.

It reads every font for that at its first import, unless the list lies in the folder
that it may write. A session gets a copy: none ever reads what another one wrote.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import PurePosixPath

from langchain_assistants.errors import InterpreterError
from langchain_assistants.interpreters.base import InterpreterSession
from langchain_assistants.interpreters.local.folder import SessionFolder
from langchain_assistants.interpreters.local.runtime import MATPLOTLIB

# In a jail of its own, and nobody else's code: so its paths are those of sessions.
_PROGRAM = """
import os
os.environ["MPLCONFIGDIR"] = os.getcwd()
import matplotlib.font_manager
"""
_SECONDS = 120.0


class FontList:
    """The list of the sessions of one jail; there is none before one has plotted."""

    def __init__(self) -> None:
        """Begin without one."""
        self._files: dict[str, bytes] = {}
        self._is_wanted = True
        self._maker: threading.Thread | None = None

    def give(self, folder: SessionFolder) -> None:
        """Put the list where matplotlib looks for it, before code runs there."""
        if self._files:
            with suppress(OSError):  # then the session makes it itself
                folder.add_temporary(MATPLOTLIB, self._files)

    def look(
        self, folder: SessionFolder, session: Callable[[], InterpreterSession]
    ) -> None:
        """Have the list made in the background, once a session has made its own.

        Args:
            folder: Of a session that has executed code.
            session: Makes a new one of the same jail.
        """
        if self._is_wanted and os.path.lexists(folder.temporary / MATPLOTLIB):
            self._is_wanted = False
            maker = threading.Thread(
                target=lambda: asyncio.run(self._make(session())),
                name="interpreter-fonts",
                daemon=True,
            )
            maker.start()
            self._maker = maker

    def end(self) -> None:
        """Have none made from now on; wait for one that is being made."""
        self._is_wanted = False
        if self._maker is not None:
            self._maker.join()

    async def _make(self, session: InterpreterSession) -> None:
        with suppress(InterpreterError):  # the provider was closed in the meantime
            try:
                await session.run(_PROGRAM, timeout=_SECONDS)
                self._files = {
                    PurePosixPath(file.path).name: await session.download(file.path)
                    for file in await session.list_files()
                }
            finally:
                await session.close()
