"""The certificates of the authority that issued the relay's own, for the portal's module to trust.

Leans on the setting `ca_file`. Never gives anything of the file but its certificates: a private key may stand beside
them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from relay.cli.failures import Failed

if TYPE_CHECKING:
    from relay.cli.terminal import Terminal
    from relay.config import Config

MAX_BYTES = 32 * 1024
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")


def read_ca(terminal: Terminal, config: Config) -> str | None:
    """The certificates of the configured file as PEM; None where none is configured. Raises Failed, OSError."""
    if not config.ca_file:
        return None
    path = config.home / config.ca_file  # an absolute path stays as it is
    with path.open("rb") as file:
        text = file.read(MAX_BYTES + 1).decode("ascii", "replace")
    certificates = _CERTIFICATE.findall(text)
    if len(text) > MAX_BYTES or not certificates:
        raise Failed(
            terminal.tr(
                "{path}, the `ca_file` of relay.toml, must be a PEM file with the certificate of your authority,"
                " of at most {kilobytes} KB.",
                path=path,
                kilobytes=MAX_BYTES // 1024,
            )
        )
    return "\n".join(certificate.replace("\r", "") for certificate in certificates) + "\n"
