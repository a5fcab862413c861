"""API keys: who may call a server, and as which tenant (extension)."""

from __future__ import annotations

from typing import Literal

from langchain_assistants.types.base import WireObject


class ApiKey(WireObject):
    """Be a stored API key; the key itself is not stored.

    `hint` is the key's end, by which its owner recognises it.
    """

    id: str
    object: Literal["api_key"] = "api_key"
    created_at: int
    tenant: str
    name: str | None = None
    hint: str
    revoked_at: int | None = None


class NewApiKey(ApiKey):
    """Be an API key that was just made: only here is it seen in full."""

    key: str
