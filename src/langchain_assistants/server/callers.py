"""Says who calls: from a request's key to the tenant's resources."""

from __future__ import annotations

import ipaddress
from base64 import b64decode
from typing import Annotated, Literal, TypeAlias

from fastapi import Depends
from starlette.requests import Request

from langchain_assistants.engine.engine import AssistantsEngine
from langchain_assistants.engine.tenant import TenantResources
from langchain_assistants.engine.workplace import DEFAULT_TENANT
from langchain_assistants.errors import (
    AuthenticationError,
    HostNotAllowedError,
    InvalidRequestError,
)

KeyPolicy = Literal["required", "loopback", "none"]
"""Whether a request needs a key: each does; none under a loopback name; none at all.

A key that is given is looked at all the same: one that is known chooses its tenant.
"""

_NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an "
    "Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
)
_NO_BETA = (
    "You must provide the 'OpenAI-Beta' header to access the Assistants API. Please "
    "try again by setting the header 'OpenAI-Beta: assistants=v2'."
)
_OLD_BETA = (
    "The v1 Assistants API has been deprecated. Please try again by setting the "
    "header 'OpenAI-Beta: assistants=v2'."
)


async def admitted(request: Request) -> TenantResources:
    """Return the resources of the tenant whose key a request carries.

    Raises:
        AuthenticationError: It carries none where one is needed, or one that is
            unknown or revoked.
        HostNotAllowedError: It carries none, and was not addressed to this machine.
    """
    engine: AssistantsEngine = request.app.state.engine
    policy: KeyPolicy = request.app.state.keys
    given = _key(request)
    known = await engine.api_keys.afind(given) if given else None
    if known is not None and known.revoked_at is None:
        tenant = known.tenant
    elif policy == "required" or known is not None:
        raise _refused(given)
    elif policy == "loopback" and not is_loopback(request.url.hostname or ""):
        raise HostNotAllowedError
    else:
        tenant = DEFAULT_TENANT
    request.state.tenant = tenant
    return engine.for_tenant(tenant)


async def beta(request: Request) -> None:
    """Demand the beta header.

    Raises:
        InvalidRequestError: It is missing, or asks for v1.
    """
    given = request.headers.get("openai-beta", "")
    asked = {part.strip() for part in given.split(",")}
    if "assistants=v2" not in asked:
        old = "assistants=v1" in asked
        raise InvalidRequestError(_OLD_BETA if old else _NO_BETA, code="invalid_beta")


Caller: TypeAlias = Annotated[TenantResources, Depends(admitted)]
"""The resources of whoever calls a route."""


def is_loopback(host: str) -> bool:
    """Tell whether a host's name means this machine alone."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _key(request: Request) -> str:
    """Read the key as OpenAI's clients send it, as Azure's do, or as old curl lines."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    key = given.strip()
    if key and scheme.lower() == "bearer":
        return key
    if key and scheme.lower() == "basic":  # curl -u :$OPENAI_API_KEY
        return _password(key)
    return request.headers.get("api-key", "").strip()


def _password(credentials: str) -> str:
    try:
        text = b64decode(credentials, validate=True).decode()
    except ValueError:
        return ""
    return text.partition(":")[2].strip()


def _refused(key: str) -> AuthenticationError:
    if not key:
        return AuthenticationError(_NO_KEY)
    shown = f"{key[:3]}***{key[-4:]}" if len(key) > 16 else "***"
    return AuthenticationError(
        f"Incorrect API key provided: {shown}.", code="invalid_api_key"
    )
