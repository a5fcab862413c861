"""A real MCP server, on the standard streams of a process of its own."""

from __future__ import annotations

import os

from mcp.server.fastmcp import FastMCP, Image
from mcp.server.fastmcp.exceptions import ToolError
from pydantic import BaseModel

server = FastMCP("weather")


class Forecast(BaseModel):
    """Tomorrow's weather."""

    city: str
    degrees: int


@server.tool()
def forecast(city: str) -> Forecast:
    """Tell tomorrow's weather."""
    if city == "Atlantis":
        raise ToolError("No city is named Atlantis.")
    return Forecast(city=city, degrees=21)


@server.tool()
def radar(city: str) -> Image:
    """Show the clouds over a city."""
    return Image(data=b"\x89PNG\r\n\x1a\n", format="png")


@server.tool()
def crash(city: str) -> str:
    """Take the server down."""
    os._exit(1)


if __name__ == "__main__":
    server.run("stdio")
