"""A user's program around assistant graphs, to be killed and started again.

    python graph_program.py FOLDER sync|async PLAN

The graph's checkpoints and the engine's database are files in the folder; so is a log
of what the model and the tools were asked. The plan is JSON:

    graph   "desk": support hands over to sales, which asks before it charges;
            "clerk": one assistant with two tools
    input   what the user says, or
    resume  what is answered to the interrupt; neither: go on where it was stopped
    fault   where the process is to stop dead, if it is: see `Faults`

Prints `done` with the outcome, or `reached` and the fault, then waits to be killed or
for the end of its input.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import aiosqlite
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Durability

from langchain_assistants import (
    AssistantRunnable,
    AssistantsEngine,
    create_assistant_graph,
)
from langchain_assistants.testing import Reply, ScriptedChatModel, call

PATIENCE = 60.0
CONFIG: RunnableConfig = {"configurable": {"thread_id": "customer-1"}}
# LangGraph's default stores a checkpoint while the next step is executed already, so a
# kill may lose it.
DURABILITY: Durability = "sync"


class Program:
    """What one process has."""

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        self.folder = folder
        self.plan = plan
        self.faults = Faults(self)
        self.engine = AssistantsEngine(
            f"sqlite:///{folder / 'engine.db'}", chat_model=self.model
        )

    def note(self, line: str) -> None:
        """Append to the log of everything that must not happen twice."""
        with (self.folder / "log.txt").open("a") as log:
            log.write(f"{line}\n")

    def model(self, name: str, **params: Any) -> ScriptedChatModel:
        """Return the model of an assistant; it is named after it."""
        answer: Callable[..., Any] = globals()[f"{name}_says"]

        def respond(messages: Sequence[BaseMessage], _: Any) -> Any:
            self.note(f"{name} is asked: {messages[-1].text}")
            if self.faults.wanted == "model":
                return Reply("Too late.", wait_for=self.faults)
            return answer(messages)

        return ScriptedChatModel(respond=respond)

    def assistant(self, name: str) -> AssistantRunnable:
        return AssistantRunnable.get_or_create_assistant(
            name.title(), f"You are {name}.", [], name, engine=self.engine
        )

    def graph(self, saver: Any) -> Any:
        build: Callable[..., Any] = globals()[self.plan["graph"]]
        return build(self, saver)


class Faults:
    """Where the process stops dead.

    "model": while the model answers, once the input is stored. "tool": in the tool
    `slow`, once what `quick` returned is stored. "put" and "put_writes": before the
    graph's checkpointer stores anything after a run has come to the plan's `status`.
    """

    def __init__(self, program: Program) -> None:
        self.wanted = program.plan.get("fault")
        self.stored = threading.Event()
        self.quick_stored = threading.Event()
        self._program = program
        self._told = threading.Lock()

    def is_set(self) -> bool:
        """Never let the model answer; tell when there is nothing more to wait for."""
        if self.stored.is_set() and self._told.acquire(blocking=False):
            tell("reached", "model")
        return False

    def in_tool(self) -> None:
        if self.wanted == "tool":
            assert self.quick_stored.wait(PATIENCE)
            tell("reached", "tool")
            sys.stdin.read()

    def before(self, operation: str) -> None:
        if self.wanted not in ("put", "put_writes") or not self._has_come():
            return
        if operation == self.wanted:
            tell("reached", operation)
            os.kill(os.getpid(), signal.SIGKILL)
        if operation == "put":
            # LangGraph stores writes on another thread and does not wait for it: the
            # next step must not begin before that thread has come to its end.
            threading.Event().wait(PATIENCE)

    def _has_come(self) -> bool:
        path = self._program.folder / "engine.db"
        with closing(sqlite3.connect(path)) as connection:
            found = connection.execute("SELECT status FROM runs").fetchall()
        return (self._program.plan["status"],) in found

    def after_writes(self, writes: Sequence[tuple[str, Any]]) -> None:
        for channel, value in writes:
            messages = value if isinstance(value, list) else [value]
            if channel == "messages" and any(
                isinstance(message, ToolMessage) and message.name == "quick"
                for message in messages
            ):
                self.quick_stored.set()


class MortalSaver(SqliteSaver):
    """LangGraph's own checkpointer, in a process that may die."""

    faults: Faults

    def put(self, *given: Any) -> RunnableConfig:
        self.faults.before("put")
        stored = super().put(*given)
        self.faults.stored.set()
        return stored

    def put_writes(self, config: Any, writes: Any, *given: Any) -> None:
        self.faults.before("put_writes")
        super().put_writes(config, writes, *given)
        self.faults.after_writes(writes)


class AsyncMortalSaver(AsyncSqliteSaver):
    """The same for an asynchronous graph."""

    faults: Faults

    async def aput(self, *given: Any) -> RunnableConfig:
        self.faults.before("put")
        stored = await super().aput(*given)
        self.faults.stored.set()
        return stored

    async def aput_writes(self, config: Any, writes: Any, *given: Any) -> None:
        self.faults.before("put_writes")
        await super().aput_writes(config, writes, *given)
        self.faults.after_writes(writes)


# A desk of two assistants.


class Desk(MessagesState):
    """The state of the desk, with who is in charge."""

    active: str
    thread_id: str
    run_id: str


def desk(program: Program, saver: Any) -> Any:
    """Return a graph in which support hands over to sales."""

    def transfer_to_sales() -> Command[Any]:
        """Hand the customer over to sales."""
        program.note("transfer")
        return Command(graph=Command.PARENT, goto="sales", update={"active": "sales"})

    def quote(plan: str) -> str:
        """Tell what a plan costs."""
        program.note(f"quote {plan}")
        return "99 euros"

    def charge(amount: int) -> str:
        """Charge the customer."""
        program.note(f"charge {amount}")
        return f"charged {amount}"

    builder = StateGraph(Desk)
    builder.add_node(
        "support",
        create_assistant_graph(program.assistant("support"), [transfer_to_sales]),
    )
    builder.add_node(
        "sales",
        create_assistant_graph(
            program.assistant("sales"),
            [quote, charge],
            interrupt_before_tools=["charge"],
        ),
    )
    builder.add_conditional_edges(
        START, lambda state: state.get("active", "support"), ["support", "sales"]
    )
    builder.add_edge("support", END)
    builder.add_edge("sales", END)
    return builder.compile(checkpointer=saver)


def support_says(messages: Sequence[BaseMessage]) -> Any:
    if "plan" in messages[-1].text:
        return Reply("I ask sales.", tool_calls=[call("transfer_to_sales")])
    return "Support is at your service."


def sales_says(messages: Sequence[BaseMessage]) -> Any:
    last = messages[-1]
    if isinstance(last, ToolMessage) and last.name == "quote":
        return Reply(tool_calls=[call("charge", {"amount": 99})])
    if isinstance(last, ToolMessage) and last.name == "charge":
        return f"Thank you: {last.text}."
    if isinstance(last, HumanMessage) and "pay" in last.text:
        paid = [m.text for m in messages if isinstance(m, ToolMessage)]
        return f"You paid: {', '.join(paid)}."
    return Reply(tool_calls=[call("quote", {"plan": "pro"})])


# A clerk.


def clerk(program: Program, saver: Any) -> Any:
    """Return the graph of one assistant with two tools."""

    def quick(q: str) -> str:
        """Look something up."""
        program.note("quick")
        return "found quickly"

    def slow(q: str) -> str:
        """Look something up elsewhere."""
        program.note("slow")
        program.faults.in_tool()
        return "found slowly"

    return create_assistant_graph(
        program.assistant("clerk"), [quick, slow], checkpointer=saver
    )


def clerk_says(messages: Sequence[BaseMessage]) -> Any:
    last = messages[-1]
    if isinstance(last, ToolMessage):
        outputs = [m.text for m in messages[-2:]]
        return f"Here: {' and '.join(outputs)}."
    if "Look" in last.text:
        made = [call(name, {"q": "it"}) for name in ("quick", "slow")]
        return Reply("Let me see.", tool_calls=made)
    return f"You said {last.text!r}."


# The process.


def tell(word: str, what: Any) -> None:
    print(word, json.dumps(what), flush=True)


def outcome(state: dict[str, Any]) -> dict[str, Any]:
    """Return of a state what the test compares."""
    messages: Sequence[BaseMessage] = state["messages"]
    return {
        "messages": [[m.type, m.text] for m in messages],
        "calls": [
            c["id"] for m in messages if isinstance(m, AIMessage) for c in m.tool_calls
        ],
        "run_id": state.get("run_id"),
        "interrupts": [item.value for item in state.get("__interrupt__", ())],
    }


def given_to(plan: dict[str, Any]) -> Any:
    if "resume" in plan:
        return Command(resume=plan["resume"])
    if "input" in plan:
        return {"messages": [HumanMessage(plan["input"])]}
    return None


def run(program: Program) -> dict[str, Any]:
    with closing(
        sqlite3.connect(program.folder / "graph.db", check_same_thread=False)
    ) as connection:
        saver = MortalSaver(connection)
        saver.faults = program.faults
        graph = program.graph(saver)
        return graph.invoke(given_to(program.plan), CONFIG, durability=DURABILITY)


async def arun(program: Program) -> dict[str, Any]:
    async with aiosqlite.connect(program.folder / "graph.db") as connection:
        saver = AsyncMortalSaver(connection)
        saver.faults = program.faults
        given, graph = given_to(program.plan), program.graph(saver)
        return await graph.ainvoke(given, CONFIG, durability=DURABILITY)


def main(folder: str, how: str, plan: str) -> None:
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    program = Program(Path(folder), json.loads(plan))
    state = run(program) if how == "sync" else asyncio.run(arun(program))
    tell("done", outcome(state))
    sys.stdin.read()
    program.engine.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
