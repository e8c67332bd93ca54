"""The command line: it loads what it is given, calls the library, and prints what comes back."""

from bnlab.cli.app import main

__all__ = ["main"]
