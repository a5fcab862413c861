"""How run steps show calls, by the type of the tool; not what tools do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

CallType: TypeAlias = Literal["function", "code_interpreter", "file_search"]

HOSTED: frozenset[str] = frozenset({"code_interpreter", "file_search"})
"""Tools of the wire that the engine executes; the model calls them by these names."""

CODE = "code"
QUERY = "query"

# Where a call of a type holds what came of it; None as long as that is not known.
_OUTCOME = {
    "function": "output",
    "code_interpreter": "outputs",
    "file_search": "results",
}


def new_call(
    kind: CallType, call_id: str, name: str, arguments: str, args: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a call without an outcome, as a step's details hold it.

    Args:
        kind: The type of the tool.
        call_id: The call.
        name: The tool's.
        arguments: Exactly as the model wrote them.
        args: The same, decoded.
    """
    held: dict[str, Any]
    match kind:
        case "function":
            held = {"name": name, "arguments": arguments}
        case "code_interpreter":
            held = {"input": _text(args.get(CODE))}
        case "file_search":
            held = {QUERY: _text(args.get(QUERY)), "ranking_options": None}
    return {"id": call_id, "type": kind, kind: {**held, _OUTCOME[kind]: None}}


def begun(kind: CallType, name: str) -> dict[str, Any]:
    """Return what the first delta of a call says besides its id and type."""
    match kind:
        case "function":
            return {"name": name, "arguments": ""}
        case "code_interpreter":
            return {"input": "", "outputs": []}
        case "file_search":
            return {}


def is_open(call: Mapping[str, Any]) -> bool:
    """Tell whether the outcome of a call is not known yet."""
    return outcome(call) is None


def outcome(call: Mapping[str, Any]) -> Any:
    """Return what came of a call: text of a function, a list of a hosted tool."""
    kind = call["type"]
    return call[kind].get(_OUTCOME[kind])


def answer(call: dict[str, Any], outcome: str | Mapping[str, Any]) -> None:
    """Set what came of a call.

    Args:
        call: As a step's details hold it.
        outcome: The text of a function; the fields of a hosted tool's call. One that
            failed before it did anything has only a text.
    """
    kind = call["type"]
    if isinstance(outcome, Mapping):
        call[kind] |= outcome
    elif kind == "function":
        call[kind]["output"] = outcome
    elif kind == "code_interpreter":
        call[kind]["outputs"] = [{"type": "logs", "logs": outcome}]
    else:
        call[kind]["results"] = []


def for_model(call: Mapping[str, Any]) -> tuple[str, str, str | None]:
    """Return name, arguments and output of a stored call as the model knows them."""
    kind = call["type"]
    details = call[kind]
    if kind == "function":
        return details["name"], details["arguments"], details["output"]
    results = outcome(call)
    if kind == "code_interpreter":
        arguments = json.dumps({CODE: details["input"]})
        return kind, arguments, None if results is None else printed(results)
    # Texts of earlier searches would fill every later prompt.
    arguments = json.dumps({QUERY: details.get(QUERY, "")})
    return kind, arguments, None if results is None else named(results)


def printed(outputs: Iterable[Mapping[str, Any]]) -> str:
    """Return the outputs of code as the model sees them."""
    return "".join(
        output["logs"]
        if output["type"] == "logs"
        else f"[image {output['image']['file_id']}]\n"
        for output in outputs
    )


def named(results: Iterable[Mapping[str, Any]]) -> str:
    """Return the results of a search by their markers, without their texts."""
    return "\n".join(f"【{r.get('marker', '')}†{r['file_name']}】" for r in results)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


# A string in JSON that has arrived in part, up to where that is whole characters.
_OPENING = re.compile(rf'\s*\{{\s*"{CODE}"\s*:\s*"')
_WHOLE = re.compile(
    r"(?:[^\"\\]"
    r"|\\[^u]"
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|\\u(?![dD][89abAB])[0-9a-fA-F]{4})*"
)


class CodeStream:
    """Reads the code out of a call's arguments while the model writes them.

    Attributes:
        heard: The code so far.
    """

    def __init__(self) -> None:
        """Begin before the first piece."""
        self._buffer = ""
        self._inside = False
        self.heard = ""

    def feed(self, piece: str) -> str:
        """Take a piece of the arguments; return the code that it brought."""
        self._buffer += piece
        if not self._inside:
            opening = _OPENING.match(self._buffer)
            if opening is None:
                return ""
            self._inside = True
            self._buffer = self._buffer[opening.end() :]
        whole = _WHOLE.match(self._buffer)
        assert whole is not None  # an empty string matches, too
        self._buffer = self._buffer[whole.end() :]
        try:
            code = str(json.loads(f'"{whole.group()}"', strict=False))
        except ValueError:  # an escape that JSON does not know
            self._inside, self._buffer = False, ""
            return ""
        self.heard += code
        return code

    def rest(self, code: str) -> str:
        """Return what has not been heard of the whole code."""
        return code.removeprefix(self.heard) if code.startswith(self.heard) else ""
