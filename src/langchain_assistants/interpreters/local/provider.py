"""The provider `local`: sessions in a jail on this machine, or none at all."""

from __future__ import annotations

import asyncio
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Self

from langchain_assistants.errors import ConfigurationError
from langchain_assistants.interpreters.local.limits import Limits
from langchain_assistants.interpreters.turns import Turns

if TYPE_CHECKING:
    from langchain_assistants.interpreters.local.jails import Jail, JailName
    from langchain_assistants.interpreters.local.keeper import Keeper
    from langchain_assistants.interpreters.local.session import LocalSession

_OTHER_WAYS = (
    'Other ways: interpreter="e2b" runs code in E2B\'s cloud; an adapter takes any '
    "LangChain tool or deepagents backend (Docker, Modal, Daytona, Runloop); "
    '"unsafe-local" runs code here without any isolation.'
)


class LocalInterpreter:
    """Code interpreter sessions on this machine, each in a jail of its own.

    A jail is bubblewrap where it works, else Landlock with seccomp, else an error. It
    is tried by a hostile program before anything runs in it, and never traded for a
    weaker one in silence. There is no network in it, no environment and no file of
    yours; numpy and the like are those installed here.

    Warning:
        The kernel is shared: a fault in it is a way out. For strangers' code on a
        machine that matters use a virtual machine of its own, such as E2B's.

    Example:
        >>> async def answer() -> str:
        ...     async with LocalInterpreter() as interpreter:
        ...         session = interpreter.session()
        ...         return (await session.run("print(6 * 7)", timeout=30)).stdout
    """

    name = "local"

    def __init__(
        self,
        *,
        jail: Literal["auto", "bubblewrap", "landlock"] = "auto",
        limits: Limits | None = None,
        pool_size: int = 1,
    ) -> None:
        """Start nothing yet.

        Args:
            jail: The one to use; `auto`: the first that works.
            limits: How much of the machine a session may use.
            pool_size: Idle workers that are kept ready, about 16 MB each.
        """
        self._wanted = jail
        self._limits = limits or Limits()
        self._pool_size = pool_size
        self._keeper: Keeper | None = None
        self._choosing = Turns()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(jail={self.jail or self._wanted!r})"

    @property
    def jail(self) -> JailName | None:
        """The jail in use; None before the first one was tried."""
        return self._keeper.jail.name if self._keeper is not None else None

    def session(self, session_id: str | None = None) -> LocalSession:
        """Return a session that starts when it is used, or the one with an id.

        A session ends with its process: for an id that is not known here there is an
        empty one, whose first result has `state_lost`.

        Raises:
            ConfigurationError: This is no Linux.
        """
        self._require_linux()
        from langchain_assistants.interpreters.local.session import LocalSession

        if session_id is not None and self._keeper is not None:
            for tenant in self._keeper.tenants:
                if isinstance(tenant, LocalSession) and tenant.id == session_id:
                    return tenant
        return LocalSession(self._ready, state_lost=session_id is not None)

    def check(self) -> list[str]:
        """Try the jails with a hostile program; return what is wrong, in words.

        An empty list: sessions work, and the first one is being prepared.

        Warning:
            It blocks for up to a second; in a coroutine use
            `await asyncio.to_thread(interpreter.check)`.
        """
        problems: list[str] = []

        async def check() -> None:
            try:
                await self._ready()
            except ConfigurationError as error:
                problems.append(str(error))

        # A thread of its own: the caller's may have a running event loop.
        thread = threading.Thread(target=lambda: asyncio.run(check()))
        thread.start()
        thread.join()
        return problems

    async def warm(self) -> None:
        """Choose the jail and fill the pool, so that the first session starts at once.

        Raises:
            ConfigurationError: There is no jail that holds.
        """
        keeper = await self._ready()
        await keeper.warm()

    async def aclose(self) -> None:
        """End all sessions and idle workers, and delete their files."""
        from langchain_assistants.interpreters.local.session import LocalSession

        async with self._choosing.turn():
            keeper = self._keeper
            if keeper is None:
                return
            for tenant in keeper.tenants:
                if isinstance(tenant, LocalSession):
                    await tenant.close()
            await asyncio.to_thread(keeper.fonts.end)
            self._keeper = None
            await asyncio.wrap_future(keeper.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _ready(self) -> Keeper:
        """Return the keeper of the first jail that holds."""
        if self._keeper is not None:
            return self._keeper
        async with self._choosing.turn():
            if self._keeper is None:
                self._keeper = await self._chosen()
            return self._keeper

    def _require_linux(self) -> None:
        if sys.platform != "linux":
            raise _no_jail([f"the local interpreter needs Linux, not {sys.platform}"])

    async def _chosen(self) -> Keeper:
        self._require_linux()
        problems = []
        for jail in self._candidates():
            problem = jail.missing()
            if problem is None:
                keeper, problem = await self._tried(jail)
                if problem is None:
                    keeper.refill()
                    return keeper
            problems.append(f"{jail.name}: {problem}")
        raise _no_jail(problems)

    def _candidates(self) -> list[Jail]:
        from langchain_assistants.interpreters.local.jails import Bubblewrap, Landlock

        jails: list[Jail] = [Bubblewrap(), Landlock()]
        return [jail for jail in jails if self._wanted in ("auto", jail.name)]

    async def _tried(self, jail: Jail) -> tuple[Keeper, str | None]:
        from langchain_assistants.interpreters.local import runtime
        from langchain_assistants.interpreters.local.keeper import Keeper
        from langchain_assistants.interpreters.local.self_test import weaknesses
        from langchain_assistants.interpreters.local.session import LocalSession

        runtime.compile_inside()
        # The time limit is meant for a model's code: ours takes long on a busy machine.
        trial = Keeper(jail, replace(self._limits, seconds=Limits().seconds))

        async def this() -> Keeper:
            return trial

        try:
            found = await weaknesses(LocalSession(this), self._limits)
        finally:
            await asyncio.wrap_future(trial.close())
        keeper = Keeper(jail, self._limits, pool_size=self._pool_size)
        return keeper, "; ".join(found) or None


def _no_jail(problems: list[str]) -> ConfigurationError:
    advice = (
        "Install bubblewrap (apt, dnf or pacman install bubblewrap), or in a container "
        "that forbids namespaces use a kernel with Landlock. "
        if sys.platform == "linux"
        else ""
    )
    return ConfigurationError(
        f"Code cannot be run safely on this machine. {'; '.join(problems)}. "
        f"{advice}{_OTHER_WAYS}"
    )
