"""Runs `relay …` as whoever types it does, and says what it wrote and how it ended.

Leans on `zygote.py`, which saves each command the second that importing the program takes; `as_typed` saves nothing.
Must never let the environment of whoever runs the tests reach a command.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

COMMAND_TIMEOUT_S = 60
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ran:
    """What a finished command wrote, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document that standard output must be."""
        assert self.status == 0, self.err
        return json.loads(self.out)


def environment(**settings: str) -> dict[str, str]:
    """The environment of a command: no language, no RELAY_ variable but those given."""
    dropped = ("RELAY_", "LC_", "LANG")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return inherited | {"LANG": "C.UTF-8"} | settings


def relay(*arguments: object, **settings: str) -> Ran:
    """Run `relay …` to its end. settings: of its environment."""
    return given(b"", *arguments, **settings)


def given(text: bytes, *arguments: object, **settings: str) -> Ran:
    """The same with a text on its standard input."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as connection:
        paths = {name: Path(folder) / name for name in ("stdin", "stdout", "stderr")}
        for path in paths.values():
            path.touch()
        paths["stdin"].write_bytes(text)
        asked = {
            "arguments": list(map(str, arguments)),
            "environment": environment(**settings),
            "folder": str(Path.cwd()),
            **{name: str(path) for name, path in paths.items()},
        }
        connection.settimeout(COMMAND_TIMEOUT_S)
        connection.connect(_zygote())
        connection.sendall(json.dumps(asked).encode() + b"\n")
        with connection.makefile("r") as stream:
            status = stream.readline()
        assert status, "the command's process was killed"
        return Ran(int(status), paths["stdout"].read_text(), paths["stderr"].read_text())


async def command(*arguments: object, **settings: str) -> Ran:
    """The same beside a running event loop."""
    return await asyncio.to_thread(relay, *arguments, **settings)


def as_typed(*arguments: object, **settings: str) -> Ran:
    """Run `python -m relay.cli …` to its end, from its very beginning."""
    done = subprocess.run(
        [sys.executable, "-m", "relay.cli", *map(str, arguments)],
        check=False,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        env=environment(**settings),
        timeout=COMMAND_TIMEOUT_S,
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def is_one_sentence(text: str) -> bool:
    """Whether an error is one line without a stack trace."""
    return text.endswith("\n") and len(text.splitlines()) == 1 and "Traceback" not in text


@cache
def _zygote() -> str:
    """Start the process that commands are forked from; the address it listens on. It ends with this one."""
    folder = tempfile.TemporaryDirectory()
    address = str(Path(folder.name) / "zygote")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.zygote", address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=environment(),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    atexit.register(_stop, process, folder)
    assert process.stdout.readline() == b"listening\n"
    return address


def _stop(process: subprocess.Popen[bytes], folder: tempfile.TemporaryDirectory[str]) -> None:
    process.kill()
    process.communicate()
    folder.cleanup()
