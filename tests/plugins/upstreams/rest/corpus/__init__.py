"""Thousands of real OpenAPI documents become tools, and two large ones are served beside FastMCP."""
