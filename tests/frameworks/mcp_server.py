"""An MCP server over standard input and output, with aicost in it."""

from __future__ import annotations

import aicost

try:
    from mcp.server import MCPServer
except ImportError:  # before 2.0
    from mcp.server.fastmcp import FastMCP as MCPServer

aicost.init("mcp-server")
server = MCPServer("tea")


@server.tool()
def search(query: str) -> str:
    """Search."""
    return f"What is known of {query}."


@server.tool()
def broken(query: str) -> str:
    """Fail."""
    raise LookupError(query)


if __name__ == "__main__":
    server.run()
