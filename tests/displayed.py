"""Reads the HTML of objects as a browser does, and checks that nothing in it acts."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from langchain_assistants.types.html import to_html

PIXEL = "data:image/png;base64,iVBORw0KGgo="
_ALLOWED = {
    "a": {"class", "href", "target", "rel"},
    "code": {"class"},
    "details": {"class"},
    "div": {"class", "role"},
    "img": {"class", "src", "alt"},
    "pre": {"class", "dir"},
    "span": {"class", "title"},
    "strong": {"class"},
    "style": set(),
    "summary": {"class"},
    "time": {"class", "datetime", "title"},
}
ATTACKS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</pre></div></style><style>*{display:none}</style>",
    "<!--",
    "&lt;script&gt;",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "data:image/svg+xml;base64,PHN2Zy8+",
    "https://example.org/\"onclick='alert(1)'",
    "```\n</pre><script>\n```",
    "\x00\ud800\u202e<b>",
]


_PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2}")


class Reader(HTMLParser):
    """What a browser would make of the HTML."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    def handle_comment(self, data: str) -> None:
        pytest.fail("a comment")


def shown(item: object) -> Reader:
    """Show an object, and check that the HTML holds only what we make."""
    source = to_html(item)
    assert source is not None
    source.encode()
    page = Reader(source)
    assert page.open == []
    for tag, attributes in page.tags:
        assert set(attributes) <= _ALLOWED[tag]
        assert (attributes.get("href") or "https://").startswith(
            ("http://", "https://")
        )
        assert _PICTURE.fullmatch(attributes.get("src") or PIXEL)
    assert [tag for tag, _ in page.tags].count("style") == 1
    return page
