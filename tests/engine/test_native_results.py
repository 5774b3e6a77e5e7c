"""What handlers return becomes the bytes that the portable engine makes of it, without a socket."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.dispatch import refusal
from rocket_sup.http.semantics import CLOSE, PERSIST, PERSIST_1_0, serialise
from rocket_sup.response import Answer, Response, answer_from
from tests.unit import test_response as portable_cases

native = pytest.importorskip("rocket_sup.engine._native", reason="the native module is not built")

DATE_LINE = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
# (keep_alive, is_1_0, is_head)
CIRCUMSTANCES = list(itertools.product([False, True], repeat=3))
Wire = tuple[bytes, int, int, bool]


def write(result: object, keep_alive: bool, is_1_0: bool, is_head: bool) -> Wire:
    """The native answer: bytes, status, bytes of content, whether it is the last."""
    wire: Wire = native.write_answer(result, DATE_LINE, keep_alive, is_1_0, is_head)
    return wire


def write_portable(result: object, keep_alive: bool, is_1_0: bool, is_head: bool) -> Wire:
    """The same, in the words of `Exchange._respond`."""
    answer = result if isinstance(result, Answer) else answer_from(result)
    keep_alive = keep_alive and not answer.closes
    wire = serialise(
        answer.status,
        b"" if answer.has_date else DATE_LINE,
        answer.fields,
        answer.body,
        connection=CLOSE if not keep_alive else PERSIST_1_0 if is_1_0 else PERSIST,
        is_head=is_head,
        length=answer.length if is_head else len(answer.body),
    )
    return wire, answer.status, 0 if is_head else len(answer.body), not keep_alive


def outcome(write_it: Callable[..., Wire], *args: object) -> object:
    """What was written, or the kind and text of what was raised."""
    try:
        return write_it(*args)
    except Exception as error:
        return type(error), str(error)


def check_same(result: object) -> None:
    """Compare both in all circumstances."""
    for circumstances in CIRCUMSTANCES:
        expected = outcome(write_portable, result, *circumstances)
        assert expected == outcome(write, result, *circumstances), (result, circumstances)


def table(test: object) -> list[object]:
    """The cases of a unit test."""
    cases: list[object] = test.pytestmark[0].args[1]  # type: ignore[attr-defined]
    return cases


class Text(str):
    """A string of another class."""


class Pair(tuple[object, ...]):
    """A tuple of another class."""


@dataclasses.dataclass
class Point:
    """JSON, as orjson writes dataclasses."""

    x: int


RESULTS = [
    *(case[0] for case in table(portable_cases.test_results_become_answers)),  # type: ignore[index]
    *table(portable_cases.test_what_cannot_go_onto_the_wire_is_refused),
    *table(portable_cases.test_what_json_cannot_hold_is_a_type_error),
    *("", "é", "\U0001f680" * 50, "\ud800", Text("a"), b"", b"\0" * 5000),
    *(200, 199, 999, 1000, -1, 1 << 70, portable_cases.Status.TEAPOT, True, False),
    *((200, 404), (200, True), (True, "a"), (204, {}), (304, "é"), (304, {"a": object()}), (1 << 70, None)),
    *(
        (),
        (200, "a", None),
        (200, "a", {}),
        (200, "a", {"X": "y"}),
        Pair((201, "a")),
        (portable_cases.Status.TEAPOT, []),
    ),
    *(collections.OrderedDict(a=1), Point(1), {1: 2}, {"a": {1}}, 1.5, float("nan")),
    *((500, [1, 2]), (500, b"a"), (500, "\ud800"), (599, "nobody named it")),
    Response("abc", headers={"Connection": "close"}),
    Response(None, headers={"Content-Length": "99"}),
    Response(None, 304, headers={"Content-Length": "99", "ETag": '"a"'}),
    Response("a", headers={"Date": "yesterday"}),
    Response("a", 1000),
    refusal(404, "nothing is here"),
    Answer(204, b"Allow: GET\r\n"),
    Answer(304, b"", b"content that is not sent"),
]


@pytest.mark.parametrize("result", RESULTS, ids=repr)
def test_a_table_of_results(result: object) -> None:
    """Byte for byte, or the same exception and nothing written."""
    check_same(result)


scalar = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
document = st.recursive(
    scalar, lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner), max_leaves=8
)
body = document | st.binary() | st.text() | st.binary().map(bytearray)
status = st.integers(190, 1010) | st.sampled_from([200, 204, 304])
name = st.sampled_from(["X", "Date", "connection", "Content-Type", "Content-Length", "Set-Cookie", "Upgrade"])
headers = st.lists(st.tuples(name, st.sampled_from(["a", "close", "5", "é", "a\r\n"])), max_size=4)


@pytest.mark.slow
@given(
    body
    | status
    | st.tuples(status, body)
    | st.tuples(status, body, headers)
    | st.builds(Response, body, status, headers)
)
def test_any_result(result: object) -> None:
    """Byte for byte, or the same exception and nothing written."""
    check_same(result)
