"""Promises: the client libraries of `clients/` installed beside their scripts, once; an app of theirs run to its end.

Leans on: pip and npm by package name, the pinned versions in requirements.txt and package-lock.json.
Must never: install into the tests' own environment, or let two test runs install at the same time.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CLIENTS = Path(__file__).with_name("clients")
VENV = CLIENTS / ".venv-clients"
NODE_MODULES = CLIENTS / "node_modules"
MARK = ".installed"
INSTALL_TIMEOUT_S = 600.0
APP_TIMEOUT_S = 120.0


class AppFailedError(Exception):
    """A client app did not end well; the text is what it wrote to standard error."""


def python_with_clients() -> Path:
    """The interpreter of the environment that has the Python libraries; made when it is not there."""
    python = VENV / "bin" / "python"
    pip = (str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", "requirements.txt")
    with _installing(VENV, CLIENTS / "requirements.txt") as needed:
        if needed:
            _run(sys.executable, "-m", "venv", "--clear", str(VENV))
            _run(*pip)
    return python


def node_with_clients() -> str:
    """The `node` that runs the JavaScript app; its libraries are installed when they are not there."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise AppFailedError("node and npm are needed: install the packages nodejs and npm")
    with _installing(NODE_MODULES, CLIENTS / "package-lock.json") as needed:
        if needed:
            _run(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts")
    return node


async def run_app(command: Sequence[str], job: Mapping[str, Any], trusted: Path) -> dict[str, Any]:
    """Run an app in its own process: `job` on stdin, its report from stdout. It trusts the CA in `trusted` alone.

    :raises AppFailedError: it ended with a status other than 0.
    """
    trust = dict.fromkeys(("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"), str(trusted))
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=CLIENTS,
        env={name: value for name, value in os.environ.items() if not _is_proxy(name)} | trust,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(APP_TIMEOUT_S):
            output, errors = await process.communicate(json.dumps(job).encode())
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        raise AppFailedError(errors.decode(errors="replace"))
    report = json.loads(output)
    assert isinstance(report, dict)
    return report


def _is_proxy(name: str) -> bool:
    return name.lower() in {"http_proxy", "https_proxy", "all_proxy"} or name in {"PYTHONPATH", "NODE_OPTIONS"}


@contextmanager
def _installing(target: Path, wanted: Path) -> Iterator[bool]:
    """Whether `target` must be installed anew for what `wanted` says; marked as done if nothing is raised."""
    digest = hashlib.sha256(wanted.read_bytes()).hexdigest()
    mark = target / MARK
    with (CLIENTS / ".installing").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        needed = not mark.exists() or mark.read_text() != digest
        yield needed
        if needed:
            mark.write_text(digest)


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=CLIENTS, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise AppFailedError(f"{' '.join(command[:4])}: {done.stderr[-2000:]}")
