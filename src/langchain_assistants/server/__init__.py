"""The HTTP server: the Assistants v2 wire over an engine; it has no rules of its own.

`app.create_app` makes the ASGI application, `serving.serve` listens for it.
"""

from __future__ import annotations
