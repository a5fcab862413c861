"""The wire's operations, one module per resource: each reads, calls and answers."""

from __future__ import annotations
