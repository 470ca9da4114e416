"""TLS towards an application's handlers: its own authorities and client certificate, beside the system's.

Leans on PEM files that the configuration names. Must never verify less than the system would.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relay.core.rules import Transport


def tls_context(transport: Transport) -> ssl.SSLContext | None:
    """The context for calls, or None where nothing is set. Raises OSError: a file is not there, or is no such PEM."""
    if not (transport.ca_file or transport.client_cert):
        return None
    context = ssl.create_default_context()
    if transport.ca_file:
        context.load_verify_locations(transport.ca_file)
    if transport.client_cert:
        context.load_cert_chain(transport.client_cert, transport.client_key or None)
    return context
