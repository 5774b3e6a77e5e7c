//! What an answer looks like on the wire: status lines, lengths, and which answers have content.
//!
//! Spec: RFC 9110 §8.6, §15; RFC 9112 §4, §6

use crate::decimal::push_decimal;

/// Media type of text.
pub const TEXT: &[u8] = b"text/plain; charset=utf-8";
/// Media type of what looks like HTML.
pub const HTML: &[u8] = b"text/html; charset=utf-8";
/// Media type of JSON.
pub const JSON: &[u8] = b"application/json";
/// Media type of bytes.
pub const BINARY: &[u8] = b"application/octet-stream";

/// The interim answer that a client may wait for before it sends content.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What an answer says about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// It goes on; HTTP/1.1 needs no word for that.
    Persist,
    /// It goes on, said to a client of HTTP/1.0.
    Persist10,
    /// It ends.
    Close,
}

impl Connection {
    /// The field with its CRLF, or nothing.
    pub const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Persist => b"",
            Self::Persist10 => b"Connection: keep-alive\r\n",
            Self::Close => b"Connection: close\r\n",
        }
    }
}

/// An answer whose content is complete.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// 200 to 999.
    pub status: u16,
    /// The Date field with its CRLF; empty when `fields` has one.
    pub date_line: &'a [u8],
    /// Further field lines, each with its CRLF.
    pub fields: &'a [u8],
    /// The content, sent when the status and the method allow it.
    pub body: &'a [u8],
    /// What it says about the connection.
    pub connection: Connection,
    /// The request was HEAD.
    pub is_head: bool,
    /// Bytes of the content that a GET would have.
    pub length: u64,
}

/// The reason phrase of a status; empty when nobody named it.
pub const fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a Teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        510 => "Not Extended",
        511 => "Network Authentication Required",
        _ => "",
    }
}

/// Write a status line; a status nobody named has an empty reason, but its blank (RFC 9112 §4).
pub fn push_status_line(out: &mut Vec<u8>, status: u16) {
    out.extend_from_slice(b"HTTP/1.1 ");
    push_decimal(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Say whether an answer with this status may have content (RFC 9110 §6.4.1).
pub const fn has_content(status: u16) -> bool {
    status >= 200 && status != 204 && status != 304
}

/// Append a whole answer.
///
/// Spec: RFC 9110 §8.6, §9.3.2; RFC 9112 §6.3
pub fn serialise(out: &mut Vec<u8>, answer: &Answer<'_>) {
    let may_have_content = answer.status != 204 && answer.status != 304;
    let body = if may_have_content && !answer.is_head { answer.body } else { b"" };
    // Status line, Content-Length and Connection are shorter than 128 bytes together.
    out.reserve(128 + answer.date_line.len() + answer.fields.len() + body.len());
    push_status_line(out, answer.status);
    out.extend_from_slice(answer.date_line);
    out.extend_from_slice(answer.fields);
    if may_have_content {
        push_content_length(out, answer.length);
    }
    out.extend_from_slice(answer.connection.as_bytes());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
}

/// Append the commonest answer: a 200 to a GET over HTTP/1.1, on a connection that goes on.
pub fn write_plain_200(out: &mut Vec<u8>, date_line: &[u8], media_type: &[u8], body: &[u8]) {
    out.reserve(96 + date_line.len() + media_type.len() + body.len());
    out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    out.extend_from_slice(date_line);
    out.extend_from_slice(b"Content-Type: ");
    out.extend_from_slice(media_type);
    out.extend_from_slice(b"\r\n");
    push_content_length(out, body.len() as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
}

fn push_content_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    push_decimal(out, length);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &[u8] = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    const PLAIN: Answer<'_> = Answer {
        status: 200,
        date_line: DATE,
        fields: b"X: y\r\n",
        body: b"hello",
        connection: Connection::Persist,
        is_head: false,
        length: 5,
    };

    fn text(answer: &Answer<'_>) -> String {
        let mut out = Vec::new();
        serialise(&mut out, answer);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_answer_has_its_fields_in_order() {
        assert_eq!(
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nX: y\r\nContent-Length: 5\r\n\r\nhello",
            text(&PLAIN)
        );
        let closing =
            Answer { status: 599, date_line: b"", fields: b"", connection: Connection::Close, ..PLAIN };
        assert_eq!("HTTP/1.1 599 \r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", text(&closing));
    }

    #[test]
    fn head_has_the_length_of_what_it_does_not_send() {
        let head = Answer { is_head: true, length: 12_345, connection: Connection::Persist10, ..PLAIN };

        let text = text(&head);

        assert!(text.ends_with("X: y\r\nContent-Length: 12345\r\nConnection: keep-alive\r\n\r\n"), "{text}");
    }

    #[test]
    fn statuses_without_content_have_no_length_either() {
        for status in [204, 304] {
            let text = text(&Answer { status, ..PLAIN });

            assert!(text.ends_with("X: y\r\n\r\n"), "{text}");
            assert!(!has_content(status));
        }
        assert!(!has_content(100));
        assert!(has_content(200));
    }

    #[test]
    fn the_short_way_writes_what_the_long_way_writes() {
        for body in [&b""[..], b"ok", &[b'x'; 5000]] {
            let fields = [b"Content-Type: ", JSON, b"\r\n"].concat();
            let mut short = b"before".to_vec();
            write_plain_200(&mut short, DATE, JSON, body);
            let long = Answer { fields: &fields, body, length: body.len() as u64, ..PLAIN };
            let mut expected = b"before".to_vec();
            serialise(&mut expected, &long);

            assert_eq!(expected, short);
        }
    }
}
