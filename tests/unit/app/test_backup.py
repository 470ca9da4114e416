"""Promises that a backup's word is read strictly, and that one which this program cannot use is refused.

Leans on manifests that the tests make up: no file.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.app.backup import BadBackup, Manifest, Member, parse_manifest, require_known

MANIFEST = Manifest(
    "0.1.0",
    "0001",
    1_795_000_000,
    (Member("relay.toml", 10, "a" * 64), Member("master.key", 65, "b" * 64), Member("relay.db", 10**12, "c" * 64)),
)


def changed(**changes: Any) -> bytes:
    """The manifest with something else in it."""
    return json.dumps(json.loads(MANIFEST.to_json()) | changes).encode()


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert parse_manifest(MANIFEST.to_json()) == MANIFEST
    assert MANIFEST.with_key
    assert not parse_manifest(changed(members=[{"name": "relay.db", "size": 1, "sha256": "x"}])).with_key


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"\xff",
        changed(format="1"),
        changed(members=[]),
        changed(members=[{"name": "relay.toml", "size": 1, "sha256": "x"}]),
        changed(members=[{"name": "../relay.db", "size": 1, "sha256": "x"}]),
        changed(members=[{"name": "relay.db", "size": 1, "sha256": "x"}] * 2),
        changed(members=[{"name": "relay.db", "size": "many", "sha256": "x"}]),
        changed(members=[{"name": one, "size": 10**9, "sha256": "x"} for one in ("relay.toml", "relay.db")]),
        changed(members=[{"name": one, "size": 1, "sha256": "x"} for one in ("relay.db", "relay.toml")]),
    ],
)
def test_what_is_no_manifest_is_refused(text: bytes) -> None:
    with pytest.raises(BadBackup):
        parse_manifest(text)


def test_a_backup_of_a_newer_program_is_refused_in_words() -> None:
    with pytest.raises(BadBackup, match="newer program"):
        parse_manifest(changed(format=2))
    with pytest.raises(BadBackup, match="newer program"):
        require_known("0002", ["0001"])
    require_known("0001", ["0001", "0002"])


NAMES = st.sampled_from(["format", "members", "name", "size", "program", "schema"])
DOCUMENTS = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner),
    max_leaves=8,
)


@given(DOCUMENTS)
def test_any_document_is_read_or_refused(document: Any) -> None:
    with contextlib.suppress(BadBackup):
        assert parse_manifest(json.dumps(document).encode()).members
