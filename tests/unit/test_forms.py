"""Forms: urlencoded and multipart bodies, what is refused, and that nothing costs more than its size."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.errors import RemoteProtocolError
from rocket_sup.http.forms import Form, FormLimits, UploadedFile, parse_form, parse_media_type
from rocket_sup.http.query import format_query

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=XX"
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\%"))


def part(head: str, content: bytes = b"v") -> bytes:
    """One part after its delimiter."""
    return b"\r\n" + head.encode() + b"\r\n\r\n" + content


def body(*parts: bytes, boundary: bytes = b"XX") -> bytes:
    """A whole multipart body."""
    return b"".join(b"\r\n--" + boundary + each for each in parts)[2:] + b"\r\n--" + boundary + b"--\r\n"


def field(name: str, value: bytes = b"v", more: str = "") -> bytes:
    """A part as browsers write it."""
    escaped = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    return part(f'Content-Disposition: form-data; name="{escaped}"{more}', value)


def status_of(content_type: str, content: bytes, limits: FormLimits | None = None) -> int:
    """The status with which a form is refused."""
    with pytest.raises(RemoteProtocolError) as refused:
        parse_form(content_type, content, limits=limits)
    return refused.value.status


# -- urlencoded


def test_urlencoded() -> None:
    """Pairs in order, no files."""
    form = parse_form(URLENCODED, b"a=1&b=x+y&a=%C3%A9")

    assert form["a"] == "1"
    assert form.get_all("a") == ["1", "é"]
    assert form["b"] == "x y"
    assert len(form.files) == 0


@pytest.mark.parametrize("charset", ["utf-8", '"UTF-8"', "utf8", "US-ASCII"])
def test_charsets_that_are_utf_8(charset: str) -> None:
    """UTF-8 by any of its names."""
    assert parse_form(f"{URLENCODED}; charset={charset}", b"a=1")["a"] == "1"


@given(st.lists(st.tuples(TEXT, TEXT)))
def test_urlencoded_round_trip(pairs: list[tuple[str, str]]) -> None:
    """What `format_query` writes is read back."""
    assert tuple(pairs) == parse_form(URLENCODED, format_query(pairs).encode()).pairs()


@pytest.mark.parametrize("content", [b"a=%zz", b"a=%FF", b"a=\xff", b"a=\xc3\xa9%C3"])
def test_urlencoded_faults(content: bytes) -> None:
    """Malformed escapes and bytes that are not UTF-8 are answered with 400."""
    assert status_of(URLENCODED, content) == 400


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "text/plain", "multipart/mixed; boundary=XX", f"{URLENCODED}; charset=latin-1"],
)
def test_what_is_no_form(content_type: str) -> None:
    """Another media type, or another charset, is answered with 415."""
    assert status_of(content_type, b"a=1") == 415


# -- media types


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", ("", {})),
        ("Text/HTML", ("text/html", {})),
        ("a/b;C=D", ("a/b", {"c": "D"})),
        ("a/b \t; \tc=d ; ;e=f;", ("a/b", {"c": "d", "e": "f"})),
        ('a/b; c="x; y=\\"z\\"\\\\"', ("a/b", {"c": 'x; y="z"\\'})),
        ('a/b; c=""', ("a/b", {"c": ""})),
    ],
)
def test_media_types(value: str, expected: tuple[str, dict[str, str]]) -> None:
    """Names in lower case, values as sent, quotes undone."""
    assert expected == parse_media_type(value)


@pytest.mark.parametrize(
    "value",
    [
        "text",
        "a/",
        "/b",
        "a/b c",
        "a/b;c",
        "a/b;c=",
        "a/b;=d",
        'a/b;c="d',
        'a/b;c="d"e',
        "a/b;c=d;C=e",
        "a/b,c/d",
    ],
)
def test_malformed_media_types(value: str) -> None:
    """A media type that breaks its grammar is answered with 400."""
    with pytest.raises(RemoteProtocolError) as refused:
        parse_media_type(value)

    assert refused.value.status == 400


# -- multipart: what is read


def test_fields_and_files() -> None:
    """Fields are text, files keep their bytes, and both their order and repeats."""
    form = parse_form(
        'Multipart/Form-Data; boundary="a b"',
        body(
            field("title", "Grüße".encode()),
            field("tag", b"1"),
            field("tag", b"2"),
            field("photo", b"\x89PNG\r\n\x00\xff", '; filename="x.png"\r\nContent-Type: image/png'),
            field("photo", b"", '; filename=""'),
            boundary=b"a b",
        ),
    )

    assert (("title", "Grüße"), ("tag", "1"), ("tag", "2")) == form.pairs()
    first, second = form.files.get_all("photo")
    assert first == UploadedFile("x.png", "image/png", b"\x89PNG\r\n\x00\xff")
    assert first.size == 8
    assert second == UploadedFile("", "application/octet-stream", b"")


@pytest.mark.parametrize("content", [b"--XX--\r\n", b"--XX--", b"\r\n--XX--\r\n"])
def test_a_form_without_parts(content: bytes) -> None:
    """An empty form is a form; the last line end may be missing."""
    assert Form() == parse_form(MULTIPART, content)


def test_a_line_end_may_stand_before_the_first_boundary() -> None:
    """Some clients write it, and no reader can take it for anything else."""
    assert parse_form(MULTIPART, b"\r\n" + body(field("a")))["a"] == "v"


@given(st.lists(st.tuples(NAMES, TEXT)), st.lists(st.tuples(NAMES, st.binary())))
def test_multipart_round_trip(fields: list[tuple[str, str]], files: list[tuple[str, bytes]]) -> None:
    """Any names, texts and bytes come back as they were, line ends included."""
    boundary = b"----Boundary7MA4YWxkTrZu0gW"
    parts = [field(name, value.encode()) for name, value in fields]
    parts += [field(name, content, '; filename="f"') for name, content in files]
    form = parse_form(f"multipart/form-data; boundary={boundary.decode()}", body(*parts, boundary=boundary))

    assert tuple(fields) == form.pairs()
    assert files == [(name, file.body) for name, file in form.files.pairs()]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n",
        b"-XX",
        b"-\r\n-",
        b"x--XX",
        b"\n--XX",
        b"\r--XX\r\n",
        b"\r\n-XX",
        b"\r\n--X",
        b"\r\n\r\n\r\n",
    ],
)
def test_content_that_resembles_a_delimiter(content: bytes) -> None:
    """Only a line end, two hyphens and the boundary end a part."""
    assert content == parse_form(MULTIPART, body(field("a", content, '; filename="f"'))).files["a"].body


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("a.txt", "a.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\a.txt", "a.txt"),
        ("..", ""),
        (".", ""),
        ("a/..", ""),
        ("dir/", ""),
        ("%22q%22.txt", '"q".txt'),
        ('\\"q\\".txt', '"q".txt'),
        ("naïve – ☃.txt", "naïve – ☃.txt"),
        ("a;b=c.txt", "a;b=c.txt"),
        ("..%2Fx", "..%2Fx"),  # only the three escapes of browsers are undone
    ],
)
def test_file_names(sent: str, name: str) -> None:
    """What is left of a file name is one name in one folder."""
    form = parse_form(MULTIPART, body(field("f", b"", f'; filename="{sent}"')))

    assert name == form.files["f"].filename


def test_names_are_unescaped_as_browsers_escape_them() -> None:
    """Quotes and line ends in names come as three escapes; anything else is as sent."""
    assert parse_form(MULTIPART, body(field('a"b\r\nc%41')))['a"b\r\nc%41'] == "v"


@pytest.mark.parametrize(
    "head",
    [
        "content-disposition:form-data;name=a",
        'CONTENT-DISPOSITION: Form-Data ; Name="a" ; other=x',
        'X-Other: 1\r\nContent-Disposition: form-data; name="a"',
        'Content-Disposition: form-data; name="a"\r\nContent-Type: text/plain; charset=UTF-8',
        'Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: 8bit ',
    ],
)
def test_header_sections_of_parts(head: str) -> None:
    """Letter case, blanks and unknown fields make no difference."""
    assert parse_form(MULTIPART, body(part(head)))["a"] == "v"


# -- multipart: what is refused

NAMED = 'Content-Disposition: form-data; name="a"'


@pytest.mark.parametrize(
    "content",
    {
        "empty": b"",
        "a preamble": b"hello\r\n" + body(field("a")),
        "an epilogue": body(field("a")) + b"more",
        "a second form": body(field("a")) + body(field("b")),
        "a bare LF after the boundary": b"--XX\n" + field("a")[2:] + b"\r\n--XX--\r\n",
        "blanks after the boundary": b"--XX " + field("a") + b"\r\n--XX--\r\n",
        "the boundary as a prefix": body(field("a", b"v\r\n--XXY\r\nw")),
        "content that starts with the boundary": body(field("a", b"--XX")),
        "no last boundary": b"--XX" + field("a") + b"\r\n",
        "the last boundary cut short": b"--XX" + field("a") + b"\r\n--XX-",
        "nothing after a boundary": b"--XX" + field("a") + b"\r\n--XX",
        "a part without header section": b"--XX\r\n--XX--\r\n",
        "an empty header section": body(b"\r\n\r\nv"),
        "a header section that does not end": body(b"\r\n" + NAMED.encode() + b"\r\nv"),
        "no disposition": body(part("Content-Type: text/plain")),
        "another disposition": body(part('Content-Disposition: attachment; name="a"')),
        "no name": body(part("Content-Disposition: form-data")),
        "two names": body(part(NAMED + "; name=b")),
        "two dispositions": body(part(f"{NAMED}\r\n{NAMED}")),
        "filename*": body(part(NAMED + "; filename*=UTF-8''x")),
        "a disposition with rubbish": body(part(NAMED + "; x")),
        "an unclosed quote": body(part('Content-Disposition: form-data; name="a')),
        "base64": body(part(NAMED + "\r\nContent-Transfer-Encoding: base64")),
        "a blank before the colon": body(part('Content-Disposition : form-data; name="a"')),
        "a folded line": body(part('Content-Disposition: form-data;\r\n name="a"')),
        "a NUL in a name": body(part('Content-Disposition: form-data; name="a\0"')),
        "a bare LF in a header": body(part('X: 1\nContent-Disposition: form-data; name="a"')),
        "a bare CR in a header": body(part(NAMED + "\rX: 1")),
        "a header that is not UTF-8": body(b'\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nv'),
        "a field that is not UTF-8": body(field("a", b"\xc0\xaf")),
        "a field in another charset": body(part(NAMED + "\r\nContent-Type: text/plain; charset=latin-1")),
    }.items(),
    ids=lambda item: item[0],
)
def test_multipart_faults(content: tuple[str, bytes]) -> None:
    """Whatever two readers could see differently is answered with 400."""
    assert status_of(MULTIPART, content[1]) == 400


@pytest.mark.parametrize("boundary", ["", '""', '"a "', "x" * 71, '"a\\"b"', '"é"', '"a\tb"', '"a@b"'])
def test_boundaries_outside_their_grammar(boundary: str) -> None:
    """A boundary has 1 to 70 characters of its alphabet."""
    assert status_of(f"multipart/form-data; boundary={boundary}", b"") == 400


def test_a_missing_boundary() -> None:
    """Without a boundary there is nothing to read."""
    assert status_of("multipart/form-data", b"") == 400


@given(st.binary(max_size=60), st.integers(0, 200))
def test_any_bytes_are_read_or_refused(noise: bytes, position: int) -> None:
    """Damage anywhere ends in a form or in a 400, never in another error."""
    whole = body(field("a"), field("f", b"x", '; filename="n"'))
    position %= len(whole)
    damaged = whole[:position] + noise + whole[position + len(noise) :]
    status = 200
    try:
        parse_form(MULTIPART, damaged)
    except RemoteProtocolError as refused:
        status = refused.status

    assert status in (200, 400)


def test_a_form_cut_anywhere_is_refused() -> None:
    """No part of a form passes for the whole, but for its very last line end."""
    whole = body(field("a"), field("f", b"x", '; filename="n"'))
    for length in range(len(whole) - 2):
        assert status_of(MULTIPART, whole[:length]) == 400


# -- limits


def test_the_number_of_parts_is_bounded() -> None:
    """Fields and files count together."""
    limits = FormLimits(fields=2)
    two = (field("a"), field("b", b"", '; filename="f"'))

    assert len(parse_form(MULTIPART, body(*two), limits=limits).files) == 1
    assert status_of(MULTIPART, body(*two, field("c")), limits) == 400
    assert status_of(URLENCODED, b"a&b&c", limits) == 400


def test_the_head_of_a_part_is_bounded() -> None:
    """Exactly the limit passes, one byte more does not."""
    head = NAMED + "\r\nX: " + "y" * 100

    assert "a" in parse_form(MULTIPART, body(part(head)), limits=FormLimits(part_head=len(head)))
    assert status_of(MULTIPART, body(part(head)), FormLimits(part_head=len(head) - 1)) == 400


MEGABYTE = 1 << 20


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        (MULTIPART, body(field("a", b"\r\n--X" * (MEGABYTE // 5)))),
        (MULTIPART, body(field("a", b"\r" * MEGABYTE))),
        (MULTIPART, body(*[field("a")] * (MEGABYTE // 60))),
        (MULTIPART, b"--XX" + b"\r\nX: y" * (MEGABYTE // 6)),
        (MULTIPART, body(part("Content-Disposition: form-data" + ";" * 8000))),
        (MULTIPART, body(part('Content-Disposition: form-data; name="' + "\\" * 8000))),
        (
            f"multipart/form-data; boundary={'-' * 70}",
            b"--" + b"-" * 70 + b"\r\n" + b"\r\n" + b"-" * MEGABYTE,
        ),
        (f"multipart/form-data; boundary={'-' * 70}", (b"\r\n" + b"-" * 71) * (MEGABYTE // 73)),
        ("multipart/form-data" + "; " * 16000, b""),
        ('multipart/form-data; boundary="' + '\\"' * 16000, b""),
        ("multipart/form-data;" + "\t" * 32000 + "x", b""),
        (URLENCODED, b"&" * MEGABYTE),
    ],
    ids=range(12),
)
def test_a_megabyte_is_answered_quickly(content_type: str, content: bytes) -> None:
    """The cost is linear in what was sent: the worst known inputs of other readers included."""
    started = time.perf_counter()
    try:
        parse_form(content_type, content)
    except RemoteProtocolError:
        pass
    elapsed_s = time.perf_counter() - started

    assert elapsed_s < 0.5  # measured: under 20 ms


def test_forms_compare_by_fields_and_files() -> None:
    """Two forms are equal when both parts are."""
    file = ("f", UploadedFile("n", "text/plain", b""))

    assert Form((("a", "1"),)) == Form((("a", "1"),))
    assert Form(files=(file,)) != Form()
    assert Form() != {}
    assert hash(Form(files=(file,))) == hash(Form(files=(file,)))
