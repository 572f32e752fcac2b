"""The command line, one file a command."""

from .entry import app, main

__all__ = ["app", "main"]
