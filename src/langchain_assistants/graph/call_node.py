"""The node that executes one tool call; what its result means is decided elsewhere."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.prebuilt.tool_node import ToolNode, ToolRuntime
from langgraph.runtime import Runtime


class CallNode(ToolNode):
    """A ToolNode that executes the one call of its task in the task's own thread.

    LangGraph's starts a pool of threads each time, for calls side by side. Here each
    call has a task of its own already.
    """

    def _func(self, input: Any, config: RunnableConfig, runtime: Runtime[Any]) -> Any:
        calls, kind = self._parse_input(input)
        if len(calls) != 1:
            return super()._func(input, config, runtime)
        [call] = calls
        tool_runtime: ToolRuntime[Any, Any] = ToolRuntime(
            state=self._extract_state(input, config),
            tool_call_id=call["id"],
            config=config,
            context=runtime.context,
            store=runtime.store,
            stream_writer=runtime.stream_writer,
            tools=list(self.tools_by_name.values()),
            execution_info=runtime.execution_info,
            server_info=runtime.server_info,
        )
        output = self._run_one(call, kind, tool_runtime)
        return self._combine_tool_outputs([output], kind)
