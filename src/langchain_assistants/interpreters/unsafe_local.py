"""Sessions on this machine without any isolation, for code that is trusted."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Literal

from langchain_assistants.errors import ConfigurationError
from langchain_assistants.interpreters.local import Limits, LocalInterpreter
from langchain_assistants.interpreters.local.folder import HOME
from langchain_assistants.interpreters.local.runtime import (
    INSIDE,
    environment,
    executable,
    packages,
)
from langchain_assistants.interpreters.single_run import WORKER

if TYPE_CHECKING:
    from langchain_assistants.interpreters.local.folder import SessionFolder
    from langchain_assistants.interpreters.local.jails import JailName
    from langchain_assistants.interpreters.local.keeper import Keeper

logger = logging.getLogger(__name__)


class UnsafeLocalInterpreter(LocalInterpreter):
    """Execute code on this machine **without any isolation**, as `local` does with it.

    It has your files, your network and your rights; deadlines and state are those of
    `LocalInterpreter`. Each start of a process is a warning in the log. It needs
    POSIX, so it is a way on macOS too.

    Warning:
        What a model writes may come from a page or a file that it has read. Use it for
        code that you would run yourself.

    Example:
        >>> UnsafeLocalInterpreter(i_understand_no_isolation=True).name
        'unsafe-local'
    """

    name = "unsafe-local"

    def __init__(
        self,
        *,
        i_understand_no_isolation: Literal[True],
        limits: Limits | None = None,
        pool_size: int = 0,
    ) -> None:
        """Start nothing yet; the other arguments are `LocalInterpreter`'s.

        Raises:
            ConfigurationError: It was not said that there is no isolation.
        """
        if i_understand_no_isolation is not True:
            raise ConfigurationError(
                "UnsafeLocalInterpreter isolates nothing; say that you know, by "
                "i_understand_no_isolation=True, or use another interpreter."
            )
        super().__init__(limits=limits, pool_size=pool_size)

    def _require_linux(self) -> None:
        """Need none: there is no jail."""

    async def _chosen(self) -> Keeper:
        from langchain_assistants.interpreters.local.keeper import Keeper

        keeper = Keeper(_NoJail(), self._limits, pool_size=self._pool_size)
        keeper.refill()
        return keeper


class _NoJail:
    """The worker as an ordinary process of this user."""

    name: JailName = "none"

    def missing(self) -> str | None:
        return None

    def command(
        self, folder: SessionFolder, limits: Limits, *, requests: int, events: int
    ) -> list[str]:
        logger.warning("code_runs_without_any_isolation", extra={"session": folder.id})
        serving = {
            "requests": requests,
            "events": events,
            "paths": packages(),
            "alias": HOME,
        }
        program = [executable(), "-I", "-S", "-B", "-c", WORKER]
        return [*program, str(INSIDE), json.dumps(serving)]

    def environment(self, folder: SessionFolder) -> dict[str, str]:
        return environment(str(folder.data), str(folder.temporary))
