"""A process that has imported the program once and forks a process of its own for every command it is asked for.

Leans on the program's own `run`, under the environment, the streams and the folder that were asked for. Must never keep
anything from one command to the next: whatever a command does, it does in its own process.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import pkgutil
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

import relay.cli
import relay.opened
import relay.web.service


def main(address: str) -> None:
    """Listen until whoever started this closes its standard input."""
    for module in pkgutil.iter_modules(relay.cli.__path__):
        if module.name != "__main__":
            importlib.import_module(f"relay.cli.{module.name}")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    if os.fork() == 0:
        sys.stdin.read()
        os.kill(os.getppid(), signal.SIGKILL)
        os._exit(0)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen(64)
        print("listening", flush=True)
        while True:
            connection, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                _serve(connection)
            connection.close()


def _serve(connection: socket.socket) -> None:
    """Run the one command of this connection and answer its exit status."""
    status = 70
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with connection.makefile("r", encoding="utf-8") as stream:
            status = _run(json.loads(stream.readline()))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(f"{status}\n".encode())
        os._exit(0)


def _run(asked: dict[str, Any]) -> int:
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        path = Path(asked[name])
        descriptor = os.open(path, os.O_RDONLY if name == "stdin" else os.O_WRONLY)
        os.dup2(descriptor, number)
        os.close(descriptor)
    for number, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        stream = open(number, "rb" if number == 0 else "wb", closefd=False)  # noqa: SIM115 - for as long as this lives
        setattr(sys, name, io.TextIOWrapper(stream, encoding="utf-8"))
    from relay.cli.program import run  # noqa: PLC0415 - imported long ago

    return run(asked["arguments"])


if __name__ == "__main__":
    main(sys.argv[1])
