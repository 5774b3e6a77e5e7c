"""The grammar of HTTP/1.1 messages as compiled patterns: what may appear on the wire, and nothing more.

Every pattern is written below the ABNF it implements. Repetitions are possessive, so that no input makes a
match take more than one pass over the bytes. Heads are matched as they were received: field lines are kept
as one block in which each line is preceded by CRLF, which costs no copy per line and lets the framing
fields be found by one search.
"""

from __future__ import annotations

import re
from typing import Final

# token = 1*tchar                                                                       RFC 9110 §5.6.2
TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"

# field-line = field-name ":" OWS field-value OWS; obs-fold is refused                  RFC 9112 §5, RFC
# 9110 §5.5 field-value holds SP, HTAB, VCHAR and obs-text; never a control character.
FIELD_LINE: Final = TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+"

# request-line = method SP request-target SP HTTP-version                               RFC 9112 §3
REQUEST_LINE: Final = rb"(" + TOKEN + rb") ([\x21-\x7e]++) HTTP/([0-9])\.([0-9])"

# Groups: method, target, major, minor, block of field lines.
REQUEST_HEAD: Final = re.compile(REQUEST_LINE + rb"((?:\r\n" + FIELD_LINE + rb")*)\r\n\r\n")

# The fields that decide about framing, persistence and validity. Groups: name, value with its trailing
# blanks.
DECISIVE_FIELD: Final = re.compile(
    rb"(?i:\r\n(host|content-length|transfer-encoding|connection|expect|upgrade):[\t ]*+([^\r]*+))"
)

# A whole head that needs no decision: GET in origin-form over HTTP/1.1 with one Host that is a plain name
# or IPv4 address and none of the other decisive fields, except a Connection that only says keep-alive. What
# matches here gives the same answer as through REQUEST_HEAD; a property test compares the two. Groups:
# target, block of field lines.
_INDECISIVE: Final = (
    rb"(?:\r\n(?!(?:[Hh](?i:ost)|[Cc](?i:on(?:tent-length|nection))|[Tt](?i:ransfer-encoding)|[Ee](?i:xpect)|[Uu](?i:pgrade)):)"
    + FIELD_LINE
    + rb"|\r\n[Cc]onnection: [Kk]eep-[Aa]live(?=\r))*"
)
PLAIN_GET: Final = re.compile(
    rb"GET (/[\x21\x22\x24-\x7e]*+) HTTP/1\.1("
    + _INDECISIVE
    + rb"\r\n[Hh]ost: [A-Za-z0-9\-._]++(?::[0-9]{1,4}+)?(?=\r)"
    + _INDECISIVE
    + rb")\r\n\r\n"
)

# A block of field lines cut into pairs; the block was matched before, so this only finds the cuts.
FIELD_PAIRS: Final = re.compile("\r\n([^:]++):[\t ]*+([^\r]*+)")

# What can never become part of a valid head, however it goes on: bare CR, bare LF, and other controls.
FORBIDDEN_IN_HEAD: Final = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

# Content-Length = 1*DIGIT                                                              RFC 9110 §8.6
CONTENT_LENGTH: Final = re.compile(rb"[0-9]++")

# Host = uri-host [ ":" port ]                                                          RFC 9110 §7.2, RFC
# 3986 §3.2.2 Groups: IPv6 address, port. An empty host is refused, as http(s) requires one (RFC 9110
# §4.2.1).
HOST: Final = re.compile(
    rb"(?:\[([0-9A-Fa-f:.]++)\]"
    rb"|\[[Vv][0-9A-Fa-f]++\.[A-Za-z0-9\-._~!$&'()*+,;=:]++\]"
    rb"|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})++)"
    rb"(?::([0-9]*+))?"
)

# absolute-form = absolute-URI, here with http(s)                                       RFC 9112 §3.2.2
# Groups: authority, path, query with its question mark.
ABSOLUTE_FORM: Final = re.compile(rb"(?i:https?)://([^/?#]*+)(/[^?#]*+)?(\?[^#]*+)?")

# chunk-size = 1*HEXDIG                                                                 RFC 9112 §7.1
# chunk-ext  = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )            RFC 9112 §7.1.1
# 16 digits hold any 64-bit size; more are only leading zeros, and refused.
CHUNK_LINE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,16}+)((?:[\t ]*+;[\t ]*+"
    + TOKEN
    + rb"(?:[\t ]*+=[\t ]*+(?:"
    + TOKEN
    + rb'|"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"))?)*)'
)

# trailer-section = *( field-line CRLF )                                                RFC 9112 §7.1.2
TRAILER_LINE: Final = re.compile(FIELD_LINE)

# What we send: names are tokens, values have no controls and no blanks at the ends that would not survive
# the way.
SENDABLE_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++")
SENDABLE_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*+")
