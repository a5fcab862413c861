"""What a chain around an assistant costs: `prompt | assistant | parser`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig

from benchmarks.assistants import Assistants
from benchmarks.measure import Act, Effort, Sample, interleaved, on_loop
from benchmarks.rows import Budget, Row
from benchmarks.scenario import ANSWER, QUESTION, check_answer, scripted_model

_BUDGET = Budget(1, "value")
_BARE = "LangChain's own: the chain around a no-op"
_INPUT = {"question": QUESTION}


class _NoOp(Runnable[Any, AIMessage]):
    """Stands in for the assistant: what is left of the chain is LangChain's own."""

    _answer = AIMessage(ANSWER)

    def invoke(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AIMessage:
        """Return the answer."""
        return self._answer

    async def ainvoke(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AIMessage:
        """Return the answer."""
        return self._answer


def rows(effort: Effort, folder: Path) -> Iterator[Row]:
    """Measure the assistant in a chain, the assistant alone and the chain alone."""
    model = scripted_model(calls=0)
    with asyncio.Runner() as loop, Assistants(folder / "ours.db", model) as ours:
        agent = ours.agent.model_copy(update={"as_message": True, "as_agent": False})
        chain, bare = _chain(agent), _chain(_NoOp())

        async def async_chain() -> None:
            check_answer(await chain.ainvoke(_INPUT))

        async def async_alone() -> None:
            check_answer((await agent.ainvoke(QUESTION)).text)

        async def async_bare() -> None:
            check_answer(await bare.ainvoke(_INPUT))

        acts: dict[str, Act] = {
            "chain": lambda: check_answer(chain.invoke(_INPUT)),
            "alone": lambda: check_answer(agent.invoke(QUESTION).text),
            "bare": lambda: check_answer(bare.invoke(_INPUT)),
            "async chain": on_loop(loop, async_chain),
            "async alone": on_loop(loop, async_alone),
            "async bare": on_loop(loop, async_bare),
        }
        times = interleaved(acts, rounds=effort.of(full=300, short=20))
    yield from _added("invoke", "", times, budget=_BUDGET)
    # Here LangChain's own part is about a millisecond: the budget is for what is ours.
    yield from _added("ainvoke", "async ", times, budget=None)


def _added(
    method: str, kind: str, times: dict[str, Sample], *, budget: Budget | None
) -> Iterator[Row]:
    chain, alone, bare = (
        times[f"{kind}{name}"].median for name in ("chain", "alone", "bare")
    )
    # Not with LCEL's sign: it would end a cell of the README's table.
    what = f"chain of prompt, assistant and parser, above the assistant, {method}"
    total = chain - alone
    yield Row("lcel", what, total, "ms", bare, _BARE, budget)
    if budget is None:
        yield Row("lcel", f"{what}: our part", total - bare, "ms", budget=_BUDGET)


def _chain(runnable: Runnable[Any, Any]) -> Runnable[Any, str]:
    prompt = ChatPromptTemplate.from_messages([("human", "{question}")])
    return prompt | runnable | StrOutputParser()
