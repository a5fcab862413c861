"""Object ids: the original's prefixes and 24 letters and digits; they sort nowhere."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from typing import TypeAlias

NewId: TypeAlias = Callable[[str], str]
"""Makes an id from its prefix; tests inject a counter."""

_LETTERS_ONLY = bytes.maketrans(b"+/", b"Zz")


def new_id(prefix: str) -> str:
    """Return a fresh id such as `thread_` + 24 characters (more than 140 bits)."""
    symbols = base64.b64encode(secrets.token_bytes(18)).translate(_LETTERS_ONLY)
    return prefix + symbols.decode()
