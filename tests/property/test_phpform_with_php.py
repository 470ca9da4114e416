"""The form codec agrees with real PHP: what PHP writes we read and write again, and PHP reads what we write.

Leans on http_build_query and parse_str of the installed PHP. Must never compare two Python descriptions of PHP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import example, given
from hypothesis import strategies as st

from relay.core.phpform import FormLimits, build_form, flatten, parse_form, unbracket

if TYPE_CHECKING:
    from tests.property.php import Php, Tree

WIDE = FormLimits(max_depth=1000)
keys = st.binary(min_size=1, max_size=8)
# A key as PHP's own arrays have them: no integer in disguise, which PHP would renumber or reorder.
plain_keys = st.text(st.sampled_from("abcXYZ_ .-~+&=%#/[ж"), min_size=1, max_size=6).map(str.encode)
scalars = st.one_of(st.binary(max_size=12), st.booleans(), st.none(), st.integers(-(2**53), 2**53))
trees: st.SearchStrategy[Any] = st.recursive(
    st.dictionaries(keys, scalars, max_size=4), lambda inner: st.dictionaries(keys, inner | scalars, max_size=4)
)
texts = st.recursive(
    st.dictionaries(plain_keys, st.binary(max_size=12), min_size=1, max_size=4),
    lambda inner: st.dictionaries(plain_keys, inner | st.binary(max_size=12), min_size=1, max_size=4),
)


def text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def decoded(tree: Tree) -> dict[str, object]:
    return {text(key): _decoded(value) for key, value in tree.items()}


def _decoded(value: Any) -> object:
    if isinstance(value, dict):
        return decoded(value)
    return text(value) if isinstance(value, bytes) else value


@given(tree=trees)
@example(tree={b"a b": {b"k[]": b"br", b"0": True, b"1": False}, b"\xff": b"\x00", b"n": None, b"e": {}})
def test_what_php_writes_is_read_and_written_again_byte_for_byte(php: Php, tree: Tree) -> None:
    written = php.build(tree)
    assert build_form(parse_form(written, WIDE).pairs) == written
    assert build_form(parse_form(written.encode(), WIDE).pairs) == written


@given(tree=trees)
def test_a_tree_is_written_as_php_writes_it(php: Php, tree: Tree) -> None:
    assert build_form(flatten(decoded(tree))) == php.build(tree)


@given(tree=texts)
def test_php_reads_the_same_from_our_copy_as_from_its_own(php: Php, tree: Tree) -> None:
    written = php.build(tree)
    assert php.parse(build_form(parse_form(written, WIDE).pairs)) == php.parse(written)


@given(data=texts, index=st.integers(0, 500))
def test_a_handler_reads_in_its_own_names_what_the_portal_put_into_the_item(php: Php, data: Tree, index: int) -> None:
    """The way of an event: nested under QUERY on the way in, top level on the way out."""
    came = php.build({b"QUERY": {str(index).encode(): {b"query": {b"QUERY_DATA": data}}}})
    (fields,) = parse_form(came, WIDE).elements("QUERY")
    start = len("[query][QUERY_DATA]")
    goes = build_form((unbracket(tail[start:]), value) for tail, value in fields)
    assert goes == php.build(data)
    assert php.parse(goes) == php.parse(php.build(data))
