"""Finds objects in JSON text of any length, in constant memory.

What they mean is not its business.

`json.load` would need the whole of a file. Event parsers such as ijson know no lines,
and nothing of what follows a broken value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TextIO, TypeAlias

MAX_OBJECT = 4 * 2**20
"""Most characters of one object; a larger one counts as a container of others."""

_CHUNK = 2**16
_MAX_DEPTH = 32
_LONGEST_TOKEN = 16
_NOTHING = "there is no object of the Assistants API here"
_SPACE = " \t\r\n"
_LIST = re.compile(r'\{\s*"object"\s*:\s*"list"')


class Found(NamedTuple):
    """An object that was looked for.

    Attributes:
        line: Where it begins, counted from 1.
        value: The object.
        listed: Whether it stands in the `data` of a list page.
        plain: Whether no character of it is escaped by its number, or half of one.
    """

    line: int
    value: dict[str, Any]
    listed: bool
    plain: bool


class Fault(NamedTuple):
    """A place where the text is not what it should be."""

    line: int
    why: str


Wanted: TypeAlias = Callable[[dict[str, Any]], bool]


class _Decoded(NamedTuple):
    value: dict[str, Any]
    end: int


class _Broken(Exception):
    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.fault = Fault(line, why)


def find_objects(text: TextIO, wanted: Wanted) -> Iterator[Found | Fault]:
    """Yield the wanted objects of a text in their order, wherever they are nested.

    The text is one JSON value or several: JSON lines are such a text. After a fault it
    goes on at the next line that begins with an object or an array.

    Args:
        text: What to read.
        wanted: Tells an object that is looked for from one that may contain some.
    """
    return _Search(text, wanted).run()


class _Search:
    """A window on the text, and the line at which it stands."""

    def __init__(self, text: TextIO, wanted: Wanted) -> None:
        self._text = text
        self._wanted = wanted
        self._window = ""
        self._at = 0
        self._line = 1
        self._ended = False
        self._decode = json.JSONDecoder().raw_decode

    def run(self) -> Iterator[Found | Fault]:
        recovered = False
        while char := self._peek():
            if recovered and char in ",]}":  # of the container around the fault
                self._move(self._at + 1)
                continue
            try:
                yield from self._value(0, told=True, listed=False)
            except _Broken as broken:
                yield broken.fault
                recovered = True
                self._skip_to_next_object()

    def _value(
        self, depth: int, *, told: bool, listed: bool
    ) -> Iterator[Found | Fault]:
        """Read one value.

        Args:
            depth: How many containers are around it.
            told: Whether to tell if there is nothing in it.
            listed: Whether it stands in the data of a list page.
        """
        if depth > _MAX_DEPTH:
            raise _Broken(self._line, "it is nested too deeply")
        char, line = self._peek(), self._line
        if char == "[":
            self._move(self._at + 1)
            yield from self._elements(depth, listed=listed)
        elif char == "{":
            attempt = None if self._is_list() else self._attempt()
            if isinstance(attempt, _Decoded) and self._wanted(attempt.value):
                plain = _is_plain(self._window[self._at : attempt.end])
                self._move(attempt.end)
                yield Found(line, attempt.value, listed, plain)
                return
            self._move(self._at + 1)
            empty = True
            for item in self._members(depth, attempt):
                empty = False
                yield item
            if told and empty and _is_strange(attempt):
                yield Fault(line, _NOTHING)
        else:
            self._scalar()
            if depth == 0:
                yield Fault(line, _NOTHING)

    def _elements(self, depth: int, *, listed: bool) -> Iterator[Found | Fault]:
        while self._required() != "]":
            yield from self._value(depth + 1, told=True, listed=listed)
            self._end_of_item("]")
        self._move(self._at + 1)

    def _members(
        self, depth: int, attempt: _Decoded | _Broken | None
    ) -> Iterator[Found | Fault]:
        while self._required() != "}":
            if self._peek() != '"':
                raise _Broken(self._line, "the JSON is broken: expected a name")
            name = self._scalar()
            if self._required() != ":":
                raise _Broken(self._line, "the JSON is broken: expected a colon")
            self._move(self._at + 1)
            if name == "object" and self._required() == '"':
                # What names itself is no container: it is lost with what broke it.
                if self._scalar() != "list" and isinstance(attempt, _Broken):
                    raise attempt
            else:
                self._required()
                yield from self._value(depth + 1, told=False, listed=name == "data")
            self._end_of_item("}")
        self._move(self._at + 1)

    def _end_of_item(self, closing: str) -> None:
        char = self._required()
        if char == ",":
            self._move(self._at + 1)
        elif char != closing:
            raise _Broken(self._line, "the JSON is broken: expected a comma")

    def _is_list(self) -> bool:
        """Tell whether the object at hand says first that it is a list page.

        Then its members are looked for at once; a page is not decoded twice.
        """
        return _LIST.match(self._window, self._at) is not None

    def _attempt(self) -> _Decoded | _Broken:
        """Decode the object at hand, or return why that cannot be done."""
        try:
            return _Decoded(*self._decoded(MAX_OBJECT))
        except _Broken as broken:
            return _Broken(self._line, broken.fault.why)

    def _scalar(self) -> Any:
        value, end = self._decoded(MAX_OBJECT)
        self._move(end)
        return value

    def _decoded(self, limit: int) -> tuple[Any, int]:
        """Decode the value at hand without moving on, reading as far as needed."""
        while True:
            try:
                value, end = self._decode(self._window, self._at)
            except json.JSONDecodeError as error:
                # What is cut off by the window's end may still come.
                token = 0 if self._ended else _LONGEST_TOKEN
                cut = error.msg.startswith("Unterminated") or (
                    error.pos >= len(self._window) - token
                )
                if cut and not self._ended:
                    self._grow(limit)
                    continue
                line = self._line + self._window.count("\n", self._at, error.pos)
                raise _Broken(line, self._reason(error, cut=cut)) from None
            except RecursionError:
                raise _Broken(self._line, "it is nested too deeply") from None
            # A number may go on behind the window's end.
            if end < len(self._window) or self._ended or self._window[end - 1] in '"]}':
                return value, end
            self._grow(limit)

    def _reason(self, error: json.JSONDecodeError, *, cut: bool) -> str:
        if cut:
            return "the text ends in the middle of a value"
        return f"the JSON is broken: {error.msg[0].lower()}{error.msg[1:]}"

    def _grow(self, limit: int) -> None:
        size = len(self._window) - self._at
        if size > limit:
            raise _Broken(self._line, f"a value has more than {limit} characters")
        self._read(max(_CHUNK, size))

    def _read(self, count: int) -> bool:
        """Take in more of the text; false at its end."""
        more = self._text.read(count)
        self._ended = self._ended or not more
        self._window = self._window[self._at :] + more
        self._at = 0
        return bool(more)

    def _peek(self) -> str:
        """Skip white space and return the next character; "" at the end."""
        while True:
            window, at = self._window, self._at
            end = len(window)
            while at < end and window[at] in _SPACE:
                at += 1
            self._move(at)
            if at < end:
                return window[at]
            if not self._read(_CHUNK):
                return ""

    def _required(self) -> str:
        char = self._peek()
        if not char:
            raise _Broken(self._line, "the text ends in the middle of a value")
        return char

    def _move(self, to: int) -> None:
        self._line += self._window.count("\n", self._at, to)
        self._at = to

    def _skip_to_next_object(self) -> None:
        """Move to the next line that begins with an object or an array."""
        while True:
            end = self._window.find("\n", self._at)
            if end < 0:
                self._at = len(self._window)
                if not self._read(_CHUNK):
                    return
                continue
            self._move(end + 1)
            if self._at == len(self._window) and not self._read(_CHUNK):
                return
            if self._window[self._at] in "{[":
                return


def _is_strange(attempt: _Decoded | _Broken | None) -> bool:
    """Tell whether an object in which nothing was found should have had something."""
    return isinstance(attempt, _Decoded) and attempt.value.get("object") != "list"


def _is_plain(text: str) -> bool:
    if "\\u" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
