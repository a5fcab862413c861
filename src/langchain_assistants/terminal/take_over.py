"""The demo's scene of a killed process: its run is taken over by this one.

What it claims is counted from what the functions of both processes told, and read in
the file past the engine.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from langchain_assistants import AssistantsEngine, Settings
from langchain_assistants.terminal import observatory, stored
from langchain_assistants.terminal.observatory import QUICK, SLOW, Execution
from langchain_assistants.terminal.stage import Stage
from langchain_assistants.types import FunctionCall, Run, ToolCallsDetails

_PATIENCE_SECONDS = 300.0
_LOOK_SECONDS = 0.01


@dataclass
class _Told:
    """What the functions of both processes told.

    Attributes:
        run_id: The run, once it is created.
        executions: Each beginning of a function, in order.
    """

    run_id: str = ""
    executions: list[Execution] = field(default_factory=list)

    def of(self, function: str) -> list[Execution]:
        """Return the executions of one function."""
        return [one for one in self.executions if one.function == function]


def play(stage: Stage, thread_id: str) -> None:
    """Kill a process between the ends of two parallel calls, and go on in this one."""
    stage.said("you", observatory.ORDER)
    told = _Told()
    with _other_process(stage, thread_id) as other:
        with stage.console.status("another process starts …"):
            _listen(stage, other, told)
        killed = _is_between(stage, other, told)
        if killed:
            other.kill()
    if killed:
        _go_on(stage, told, time.monotonic())
    elif stage.scripted or other.returncode != 0:
        stage.expect(False, f"process {other.pid} was killed while {SLOW} ran")
    else:
        stage.note("tool", f"{stage.model} chose not to call both functions at once")


@contextmanager
def _other_process(stage: Stage, thread_id: str) -> Iterator[subprocess.Popen[str]]:
    module = "langchain_assistants.terminal.victim"
    command = [sys.executable, "-m", module, str(stage.file), thread_id, stage.model]
    with subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.PIPE, text=True
    ) as other:
        try:
            yield other
        except BaseException:
            other.kill()
            raise


def _listen(stage: Stage, other: subprocess.Popen[str], told: _Told) -> None:
    """Hear the process until both functions have begun, or to its end."""
    assert other.stdout is not None
    for line in other.stdout:
        run_or_function, *rest = line.split()
        if not rest:
            told.run_id = run_or_function
            continue
        call_id, process = rest
        told.executions.append(Execution(run_or_function, call_id, int(process)))
        stage.note("process", f"{process} begins {run_or_function}")
        if told.of(QUICK) and told.of(SLOW):
            return


def _is_between(stage: Stage, other: subprocess.Popen[str], told: _Told) -> bool:
    """Wait until the file holds the quick call's output; False if it never did."""
    quick = {one.call_id for one in told.of(QUICK)}
    while other.poll() is None:
        if quick and stored.recorded_calls(stage.file, told.run_id) == quick:
            return True
        time.sleep(_LOOK_SECONDS)
    return False


def _go_on(stage: Stage, told: _Told, killed_at: float) -> None:
    """Take the run over when the dead process's lease is over, and show its end."""
    dead = told.executions[0].process
    stage.note(
        "kill -9", f"{dead}: the output of {QUICK} is recorded, {SLOW} is still running"
    )
    recorded = stored.recorded_calls(stage.file, told.run_id)
    stage.expect(
        recorded == {one.call_id for one in told.of(QUICK)},
        f"the file holds the output of {QUICK}, and no other",
    )

    def begins(execution: Execution) -> None:
        told.executions.append(execution)
        stage.note(
            "process",
            f"{execution.process}, this one, begins {execution.function} "
            f"{time.monotonic() - killed_at:.1f} s after the kill",
        )

    tools = observatory.Functions(begins).all()
    settings = Settings(lease=observatory.LEASE)
    with stage.engine(
        observatory.scripted_model, tools=tools, settings=settings
    ) as engine:
        try:
            with stage.console.status("waiting for the run …"):
                run = engine.runs.wait(told.run_id, timeout=_PATIENCE_SECONDS)
        except TimeoutError as error:
            stage.expect(False, str(error))
            return
        seconds = time.monotonic() - killed_at
        _show_outcome(stage, engine, run)
    stage.expect(
        run.status == "completed",
        f"{run.id} {run.status} {seconds:.1f} s after the kill, "
        f"with a lease of {observatory.LEASE:g} s",
    )
    _check_executions(stage, told)


def _show_outcome(stage: Stage, engine: AssistantsEngine, run: Run) -> None:
    for step in engine.steps.list(run.id, order="asc"):
        if isinstance(step.step_details, ToolCallsDetails):
            for call in step.step_details.tool_calls:
                if isinstance(call, FunctionCall):
                    stage.show_call(call.function)
    for message in engine.messages.list(run.thread_id, run_id=run.id, order="asc"):
        stage.said("observatory", message.text, "bold green")


def _check_executions(stage: Stage, told: _Told) -> None:
    quick, slow = told.of(QUICK), told.of(SLOW)
    stage.expect(
        len(quick) == 1,
        f"{QUICK} ran {_times(quick)}: what is recorded is not executed again",
    )
    ids = {one.call_id for one in slow}
    stage.expect(
        len(slow) == 2 and len(ids) == 1,
        f"{SLOW} ran {_times(slow)}, under the same id, {' and '.join(sorted(ids))}: "
        "a tool with outside effects should take it as its idempotency key",
    )


def _times(executions: list[Execution]) -> str:
    number = {1: "once", 2: "twice"}.get(len(executions), f"{len(executions)} times")
    processes = ", then in ".join(str(one.process) for one in executions)
    return f"{number}, in {processes}"
