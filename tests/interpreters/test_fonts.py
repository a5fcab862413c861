"""The list of fonts that sessions are given, and that none shares with another."""

from __future__ import annotations

import asyncio

from langchain_assistants.interpreters.local import LocalInterpreter
from langchain_assistants.interpreters.local.session import LocalSession

LIST = """
import os
folder = os.environ["MPLCONFIGDIR"]
names = [name for name in os.listdir(folder) if name.startswith("fontlist")]
path = os.path.join(folder, names[0])
"""
IMPORT = """
before = os.stat(path).st_mtime_ns
import matplotlib.font_manager as fonts
print(os.stat(path).st_mtime_ns == before, len(fonts.fontManager.ttflist) > 0)
open(path, "w").write("spoilt")
"""


async def printed(session: LocalSession, code: str) -> str:
    result = await session.run(code, timeout=120)
    assert result.error is None, result.error.traceback
    return result.stdout.strip()


async def test_a_session_finds_the_fonts_once_another_has_plotted(
    interpreter: LocalInterpreter,
) -> None:
    first = interpreter.session()
    await printed(first, "print(1)")
    fonts = (await first._keeper()).fonts
    assert fonts._maker is None
    await printed(first, "import matplotlib.font_manager")
    assert fonts._maker is not None
    await asyncio.to_thread(fonts._maker.join)
    second, third = interpreter.session(), interpreter.session()
    assert await printed(second, LIST + IMPORT) == "True True"
    assert (
        await printed(third, f"{LIST}print(open(path).read() == 'spoilt')") == "False"
    )
    for session in (first, second, third):
        await session.close()


async def test_a_provider_that_is_closed_leaves_nobody_who_makes_the_list(
    interpreter: LocalInterpreter,
) -> None:
    async with LocalInterpreter(jail=interpreter._wanted, pool_size=0) as closed:
        session = closed.session()
        await printed(session, "import os\nos.mkdir(os.environ['MPLCONFIGDIR'])")
        keeper = await session._keeper()
    assert keeper.fonts._maker is not None
    assert not keeper.fonts._maker.is_alive()
    assert keeper._lodgings == []
