"""The `relay` command: what an administrator does with a relay, by the contract of its command line.

Leans on everything; nothing leans on it. Never shows a stack trace, and never prints anything but the one JSON
document on standard output where `--json` is given.
"""

from __future__ import annotations


def main() -> None:
    """The entry point of the installed command."""
    from relay.cli.program import run  # noqa: PLC0415 - importing the package must cost nothing

    raise SystemExit(run())
