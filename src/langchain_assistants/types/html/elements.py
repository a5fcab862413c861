"""HTML elements made of untrusted text; they know no wire object.

The standard library's element tree escapes when it writes, whoever made the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TypeAlias
from xml.etree.ElementTree import Element, tostring

from langchain_assistants.types.html.style import STYLE

Child: TypeAlias = Element | str | None

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_WEB_ADDRESS = re.compile(r"https?://[^\s\\]+", re.IGNORECASE)
_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2}")
_LARGEST_PICTURE = 4_000_000
_LONGEST_ADDRESS = 80
# Output of tools that is longer is folded away.
_UNFOLDED_CHARACTERS, _UNFOLDED_LINES = 400, 8


def element(
    tag: str, style: str = "", /, *children: Child, **attributes: str
) -> Element:
    """Make an element.

    Args:
        tag: Its name.
        style: Its classes, without their prefix.
        *children: Elements and plain text; None is left out.
        **attributes: Further attributes, trusted or checked by the caller.
    """
    made = Element(tag, attributes)
    if style:
        made.set("class", " ".join(f"lca-{name}" for name in style.split()))
    last: Element | None = None
    for child in children:
        if isinstance(child, Element):
            made.append(child)
            last = child
        elif child is not None and last is None:
            made.text = (made.text or "") + printable(child)
        elif child is not None and last is not None:
            last.tail = (last.tail or "") + printable(child)
    return made


def write(*children: Child) -> str:
    """Write elements as one piece of HTML that needs nothing around it."""
    sheet = Element("style")
    sheet.text = STYLE
    frame = element("div", "view", sheet, *children)
    return tostring(frame, encoding="unicode", method="html")


def printable(text: str) -> str:
    """Drop what HTML cannot hold and nobody can see, such as lone surrogates."""
    return _UNSEEN.sub("", text)


def capped(text: str, longest: int) -> tuple[str, Element | None]:
    """Return the beginning of a text, and a note if there is more."""
    if len(text) <= longest:
        return text, None
    note = f"… {count(len(text) - longest, 'more character')}"
    return text[:longest], element("div", "muted", note)


def block(text: str, style: str, *, longest: int) -> Iterator[Element]:
    """Yield text with its line breaks, then a note if it is cut."""
    shown, note = capped(text, longest)
    yield element("pre", style, shown, dir="auto")
    if note is not None:
        yield note


def folded(title: str, text: str, style: str, *, longest: int) -> Element:
    """Make a block of text that is folded away if it is long."""
    if len(text) <= _UNFOLDED_CHARACTERS and text.count("\n") < _UNFOLDED_LINES:
        return element("div", "", *block(text, style, longest=longest))
    summary = element("summary", "", f"{title}, {count(len(text), 'character')}")
    return element("details", "", summary, *block(text, style, longest=longest))


def link(url: str) -> Element:
    """Link a web address; any other stays text, for a click could execute it."""
    shown = url if len(url) <= _LONGEST_ADDRESS else url[:_LONGEST_ADDRESS] + "…"
    if _WEB_ADDRESS.fullmatch(url) is None:
        return element("code", "", shown)
    return element(
        "a",
        "",
        shown,
        href=printable(url),
        target="_blank",
        rel="noopener noreferrer nofollow",
    )


def picture(url: str, name: str = "picture") -> Element:
    """Show a picture that its address contains; link any other.

    A remote one would tell its server who opens the notebook, and when.
    """
    if len(url) <= _LARGEST_PICTURE and _PICTURE.fullmatch(url):
        return element("img", "picture", src=url, alt=printable(name))
    return element("div", "", "Picture: ", link(url))


def head(*parts: Child) -> Element:
    """Put parts on one line.

    Where a viewer drops the stylesheet, spaces keep them apart.
    """
    spaced = [child for part in parts if part is not None for child in (part, " ")]
    return element("div", "head", *spaced)


def title(text: str) -> Element:
    """Make the words that say what something is."""
    return element("strong", "title", text)


def badge(word: str, style: str) -> Element:
    """Make a coloured word."""
    return element("span", f"badge {style}", word.replace("_", " "))


def code(text: str) -> Element:
    """Make an id or a name in code's letters."""
    return element("code", "", text)


def muted(*children: Child) -> Element:
    """Make a small remark."""
    return element("span", "muted", *children)


def note(text: str | None) -> Element | None:
    """Make a line that is about what is shown, unless there is nothing to say."""
    return None if text is None else element("div", "note", text)


def moment(seconds: int, *, day: bool = True) -> Element:
    """Write a time of the wire, with its day or without."""
    try:
        time = datetime.fromtimestamp(seconds, tz=UTC)
    except (OverflowError, OSError, ValueError):
        return muted(str(seconds))
    shown = f"{time:%d %b %Y, %H:%M} UTC" if day else f"{time:%H:%M}"
    return element(
        "time",
        "muted",
        shown,
        datetime=time.isoformat(),
        title=f"{time:%Y-%m-%d %H:%M:%S} UTC",
    )


def duration(begin: int | None, *ends: int | None) -> str | None:
    """Word the time to the first of the ends that is known; None: there is none.

    The wire counts whole seconds, so that a short one is less than that.
    """
    end = next((end for end in ends if end is not None), None)
    if begin is None or end is None:
        return None
    seconds = end - begin
    if seconds < 1:
        return "< 1 s"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds} s"


def count(number: int, noun: str) -> str:
    """Word a number of things."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
