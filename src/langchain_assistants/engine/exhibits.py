"""What hosted tools have produced in a run that its answer may show, link or cite."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from langchain_assistants.engine.call_types import is_open

_CITATION = re.compile(r"【(\d+:\d+)†[^】\n]{0,200}】")
_CITATION_BEGUN = re.compile(r"【[^】\n]{0,220}\Z")
_LINK = "sandbox:"
_ATTACHED_FOR = [{"type": "code_interpreter"}]


class Shown(NamedTuple):
    """What a message carries besides its text.

    Attributes:
        pictures: Ids of files to be shown above the text.
        files: Ids of files that were made for it.
    """

    pictures: list[str]
    files: list[str]

    @classmethod
    def nothing(cls) -> Shown:
        """Return what carries nothing."""
        return cls([], [])

    @property
    def attachments(self) -> list[dict[str, Any]]:
        """The files as a message's attachments."""
        return [{"file_id": file_id, "tools": _ATTACHED_FOR} for file_id in self.files]


class Exhibits:
    """The pictures, files and sources of one run."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._waiting = Shown.nothing()
        self._taken: set[str] = set()
        self._files: dict[str, str] = {}
        self._sources: dict[str, Mapping[str, Any]] = {}
        self._searches = -1
        self._pattern: re.Pattern[str] = _CITATION

    def __bool__(self) -> bool:
        """Tell whether there is anything that a text could link or cite."""
        return bool(self._files or self._sources)

    def took(self, call: Mapping[str, Any]) -> None:
        """Take what came of a call, as its step holds it; once."""
        if call["id"] in self._taken or is_open(call):
            return
        self._taken.add(call["id"])
        if call["type"] == "code_interpreter":
            details = call["code_interpreter"]
            for output in details["outputs"]:
                if output["type"] == "image":
                    self._waiting.pictures.append(output["image"]["file_id"])
            made = {f["path"]: f["file_id"] for f in details.get("files") or ()}
            self._waiting.files.extend(made.values())
            self.link(made)
        elif call["type"] == "file_search":
            self.cite(call["file_search"]["results"])

    def link(self, files: Mapping[str, str]) -> None:
        """Make file ids known by their paths in the sandbox."""
        for path, file_id in files.items():
            self._files[_LINK + path] = self._files[_LINK + quote(path)] = file_id
        longest_first = sorted(self._files, key=len, reverse=True)
        links = [re.escape(link) for link in longest_first]
        self._pattern = re.compile("|".join([_CITATION.pattern, *links]))

    def cite(self, results: Any) -> None:
        """Make results of a search known by their markers."""
        self._sources |= {r["marker"]: r for r in results if r.get("marker")}

    def next_search(self) -> int:
        """Return the number under which the next search's results are cited."""
        known = [int(marker.partition(":")[0]) for marker in self._sources]
        self._searches = max([self._searches, *known]) + 1
        return self._searches

    def show(self) -> Shown:
        """Return what the next message carries; it is shown once."""
        shown, self._waiting = self._waiting, Shown.nothing()
        return shown

    def show_again(self, shown: Shown) -> None:
        """Take back what a message carried that is begun again."""
        self._waiting.pictures[:0] = shown.pictures
        self._waiting.files[:0] = shown.files

    def annotations(self, text: str) -> list[dict[str, Any]]:
        """Return the annotations of a text: offsets are characters of Python."""
        if not self:
            return []
        found = (self._annotation(match) for match in self._pattern.finditer(text))
        return [annotation for annotation in found if annotation is not None]

    def _annotation(self, match: re.Match[str]) -> dict[str, Any] | None:
        text = match.group()
        place = {"text": text, "start_index": match.start(), "end_index": match.end()}
        if text in self._files:
            target = {"file_id": self._files[text]}
            return {"type": "file_path", **place, "file_path": target}
        source = self._sources.get(match.group(1) or "")
        if source is None:
            return None
        citation = {"file_id": source["file_id"]}
        parts = source.get("content") or ()
        if parts:
            citation["quote"] = parts[0]["text"]
        if source.get("page") is not None:
            citation["page"] = source["page"]
        return {"type": "file_citation", **place, "file_citation": citation}

    def unfinished(self, text: str) -> int:
        """Return where a mark begins that the text's end cuts off; its length if none.

        A link that is whole counts as cut off while it may become a longer one.
        """
        begun = _CITATION_BEGUN.search(text)
        cut = len(text) if begun is None else begun.start()
        longest = max(map(len, self._files), default=0)
        for length in range(min(longest - 1, len(text)), 0, -1):
            end = text[-length:]
            if any(len(f) > length and f.startswith(end) for f in self._files):
                return min(cut, len(text) - length)
        return cut


class Marking:
    """Cuts a text that arrives in pieces, so that each mark is a piece of its own."""

    def __init__(self, exhibits: Exhibits) -> None:
        """Begin at the text's first character."""
        self._exhibits = exhibits
        self._held = ""
        self._told = 0
        self._marks = 0

    def feed(self, piece: str) -> Iterator[tuple[str, list[dict[str, Any]] | None]]:
        """Yield what is complete of the text, with the annotation of a mark."""
        if not self._exhibits:
            yield piece, None
            return
        text = self._held + piece
        cut = self._exhibits.unfinished(text)
        self._held = text[cut:]
        yield from self._cut(text[:cut])

    def rest(self) -> Iterator[tuple[str, list[dict[str, Any]] | None]]:
        """Yield what was held back, once the text is whole."""
        held, self._held = self._held, ""
        yield from self._cut(held)

    def _cut(self, text: str) -> Iterator[tuple[str, list[dict[str, Any]] | None]]:
        done, base = 0, self._told
        self._told += len(text)
        for mark in self._exhibits.annotations(text):
            start, end = mark["start_index"], mark["end_index"]
            if start > done:
                yield text[done:start], None
            offsets = {"start_index": base + start, "end_index": base + end}
            yield mark["text"], [{"index": self._marks, **mark, **offsets}]
            self._marks += 1
            done = end
        if done < len(text):
            yield text[done:], None
