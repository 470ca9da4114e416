"""The options that several commands share, described once.

Leans on typer. The help texts are English here; `help.py` translates them when it shows them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Home = Annotated[
    Path | None,
    typer.Option(
        "--home",
        metavar="DIR",
        help="Home directory of the relay: configuration, database, keys. Else RELAY_HOME, else ./relay-home.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output and nothing else.")]
PortalName = Annotated[str, typer.Argument(metavar="PORTAL", help="The portal's number or its address.")]
