"""Promises that the issuer's bench runs, fills what it says and measures every kind of request.

Leans on the bench itself, with numbers so small that its figures mean nothing. Must never judge a figure.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


async def test_issue_3_show_5_the_bench_of_grants_and_revocations_runs() -> None:
    small = ("--grants", "400", "--revocations", "20", "--seconds", "0.1", "--rounds", "1", "--connections", "2")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.issuer", "--json", *small),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    output, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    document = json.loads(output)
    assert "401 live grants and 20 revocations" in document["setting"]
    assert [figure["name"] for figure in document["figures"]] == [
        "rest.check",
        "rest.check, stored parameters",
        "introspection",
        "introspection, stored parameters",
    ]
    assert all(figure["relay"] > 0 and figure["baseline"] > 0 for figure in document["figures"])
