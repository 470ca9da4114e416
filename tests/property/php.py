"""Real PHP as an oracle: its own http_build_query and parse_str, one process for a whole test run.

Leans on the php command line; speaks one JSON document a line, values in base64. Must never be replaced by a
description of PHP.
"""

from __future__ import annotations

import base64
import json
import subprocess
from typing import Any, Self

_SERVER = r"""
ini_set('max_input_vars', '100000');
ini_set('max_input_nesting_level', '1000');
ini_set('serialize_precision', '-1');
function plain($v) { return is_array($v) ? array_map('plain', $v) : base64_decode($v); }
function named($tree) {
    $made = [];
    foreach ($tree as [$key, $value]) {
        $key = base64_decode($key);
        $made[$key] = is_array($value) ? (isset($value['tree']) ? named($value['tree']) : $value['scalar'])
            : base64_decode($value);
    }
    return $made;
}
function packed($v) {
    if (!is_array($v)) { return base64_encode($v); }
    $made = [];
    foreach ($v as $key => $value) { $made[] = [base64_encode((string)$key), packed($value)]; }
    return ['tree' => $made];
}
while (($line = fgets(STDIN)) !== false) {
    $asked = json_decode($line, true);
    if ($asked['do'] === 'build') {
        $answer = base64_encode(http_build_query(named($asked['tree'])));
    } else {
        parse_str(base64_decode($asked['text']), $read);
        $answer = packed($read);
    }
    echo json_encode($answer), "\n";
}
"""
Tree = dict[bytes, Any]


class Php:
    """A running PHP."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["php", "-n", "-d", "max_input_vars=100000", "-d", "max_input_nesting_level=1000", "-r", _SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin is not None and self._process.stdout is not None:
            self._process.stdin.close()
            self._process.stdout.close()
        self._process.wait(timeout=10)

    def build(self, tree: Tree) -> str:
        """`http_build_query` of nested arrays; scalars are bytes, True, False, None, int or float."""
        return base64.b64decode(self._ask({"do": "build", "tree": _packed(tree)})).decode("ascii")

    def parse(self, text: str) -> Tree:
        """`parse_str`, as nested mappings of bytes."""
        read: Tree = _unpacked(self._ask({"do": "parse", "text": base64.b64encode(text.encode()).decode()}))
        return read

    def _ask(self, question: dict[str, Any]) -> Any:
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("PHP was not started with pipes")
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def _packed(tree: Tree) -> list[list[Any]]:
    return [[base64.b64encode(key).decode(), _packed_value(value)] for key, value in tree.items()]


def _packed_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {"tree": _packed(value)}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return {"scalar": value}


def _unpacked(value: Any) -> Any:
    if isinstance(value, str):
        return base64.b64decode(value)
    return {base64.b64decode(key): _unpacked(inner) for key, inner in value["tree"]}
