"""HTML: its text in the order of the source, without scripts and styles."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from langchain_assistants.retrieval.documents import DocumentWriter, ParsedDocument
from langchain_assistants.retrieval.readers.plain_text import decode, read_bytes

_HIDDEN = frozenset({"script", "style", "template", "noscript", "svg"})
# What separates the texts on both sides of a tag: "\n\n" wins over "\n" over "\t".
_GAPS = {
    tag: gap
    for gap, tags in {
        "\t": "td th",
        "\n": "address article aside blockquote body br caption dd details div dl dt "
        "fieldset figcaption figure footer form head header hr html legend li main nav "
        "ol option pre section summary tbody tfoot thead tr ul",
        "\n\n": "h1 h2 h3 h4 h5 h6 p table title",
    }.items()
    for tag in tags.split()
}
_SPACE = re.compile(r"\s+")
_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([\w.:-]{1,40})", re.I)
_HEAD_BYTES = 1024


def read(path: Path) -> ParsedDocument:
    """Read an HTML file.

    Raises:
        RefusedFile: It is no text, or too long.
    """
    data = read_bytes(path)
    declared = _CHARSET.search(data[:_HEAD_BYTES])
    charset = None if declared is None else declared[1].decode("ascii")
    source = decode(data, charset)
    page = _Page()
    page.feed(source)
    page.end()
    return page.document()


class _Page(HTMLParser):
    """Collects the text of a page; it counts tags, so depth costs nothing."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._writer = DocumentWriter()
        self._hidden = 0
        self._preformatted = 0
        # What separates the text so far from the text to come.
        self._gap = ""
        self._empty = True

    def end(self) -> None:
        """Take in what is left; a tag or comment that never ends is no text.

        So says the HTML standard, and Python since 3.13.6 (CVE-2025-6069): before,
        `close` looks for that end anew behind each `<`.
        """
        if not self.rawdata.startswith("<"):
            self.close()

    def document(self) -> ParsedDocument:
        """Return the text."""
        return self._writer.document()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in _HIDDEN:
            self._hidden += 1
        elif tag == "pre":
            self._preformatted += 1
        self._separate(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag == "pre":
            self._preformatted = max(0, self._preformatted - 1)
        self._separate(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self._separate(tag)

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        if not self._preformatted:
            stripped = data.strip()
            if not stripped:
                self._gap = self._gap or " "
                return
            if data[0].isspace():
                self._gap = self._gap or " "
            ends_in_space = data[-1].isspace()
            data = _SPACE.sub(" ", stripped)
        else:
            ends_in_space = False
        self._write(data)
        self._gap = " " if ends_in_space else ""

    def updatepos(self, i: int, j: int) -> int:
        """Count no lines: nobody asks for them, and it takes a tenth of the time."""
        return j

    def _write(self, text: str) -> None:
        self._writer.write(text if self._empty else self._gap + text)
        self._empty = False

    def _separate(self, tag: str) -> None:
        gap = _GAPS.get(tag)
        if gap == "\n\n" or (gap is not None and "\n" not in self._gap):
            self._gap = gap
