//! One line for each answered request: Apache's combined format, or one JSON object.
//!
//! Values of a client are looked at, sixteen bytes at once, and only what could break a line is escaped: a
//! control character, a quote, a backslash, anything beyond ASCII. Values are cut, so that a line has a bound.
//! A value that was absent is "-" in the first format and "" in the second. Writing the lines to a file, and
//! dropping them when nobody takes them, is not done here.

use crate::date::Moment;
use crate::decimal::{push_decimal, push_two};

/// What is kept of each value.
pub const VALUE_CHARACTERS: usize = 1024;

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Apache's combined log.
    Combined,
    /// One JSON object.
    Json,
}

/// Version of a request in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1.
    Http11,
    /// HTTP/1.0.
    Http10,
    /// The request could not be read.
    Unknown,
}

impl Version {
    const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Http11 => b"HTTP/1.1",
            Self::Http10 => b"HTTP/1.0",
            Self::Unknown => b"-",
        }
    }
}

/// The facts of one answered request. Text is in ISO 8859-1, as received.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Wall clock, seconds since the epoch.
    pub unix_s: u64,
    /// The peer's address; "-" when it has none, as over a Unix socket.
    pub host: &'a [u8],
    /// "-" when it could not be read.
    pub method: &'a [u8],
    /// "-" when it could not be read.
    pub target: &'a [u8],
    /// Of the request.
    pub version: Version,
    /// Of the answer.
    pub status: u16,
    /// Of the answer's content.
    pub body_bytes: u64,
    /// From the first byte of the request to the last of the answer.
    pub duration_s: f64,
    /// Field value; empty when absent.
    pub referer: &'a [u8],
    /// Field value; empty when absent.
    pub user_agent: &'a [u8],
}

/// Writes lines.
#[derive(Debug)]
pub struct Lines {
    format: Format,
    /// The second for which `stamp` was written.
    unix_s: u64,
    stamp: Vec<u8>,
}

impl Lines {
    /// A writer of one format.
    pub fn new(format: Format) -> Self {
        let mut lines = Self { format, unix_s: 0, stamp: Vec::with_capacity(48) };
        lines.write_stamp();
        lines
    }

    /// Append one line, with its line end.
    pub fn append(&mut self, out: &mut Vec<u8>, facts: &Facts<'_>) {
        if facts.unix_s != self.unix_s {
            self.unix_s = facts.unix_s;
            self.write_stamp();
        }
        let values = facts.host.len() + facts.method.len() + facts.target.len();
        out.reserve(256 + values + facts.referer.len() + facts.user_agent.len());
        match self.format {
            Format::Combined => self.append_combined(out, facts),
            Format::Json => self.append_json(out, facts),
        }
    }

    fn append_combined(&self, out: &mut Vec<u8>, facts: &Facts<'_>) {
        push_value(out, facts.host);
        out.extend_from_slice(&self.stamp);
        push_value(out, facts.method);
        out.push(b' ');
        push_value(out, facts.target);
        out.push(b' ');
        out.extend_from_slice(facts.version.as_bytes());
        out.extend_from_slice(b"\" ");
        push_decimal(out, u64::from(facts.status));
        out.push(b' ');
        push_decimal(out, facts.body_bytes);
        out.extend_from_slice(b" \"");
        push_value(out, or_dash(facts.referer));
        out.extend_from_slice(b"\" \"");
        push_value(out, or_dash(facts.user_agent));
        out.extend_from_slice(b"\"\n");
    }

    fn append_json(&self, out: &mut Vec<u8>, facts: &Facts<'_>) {
        out.extend_from_slice(&self.stamp);
        push_value(out, facts.host);
        out.extend_from_slice(b"\",\"method\":\"");
        push_value(out, facts.method);
        out.extend_from_slice(b"\",\"target\":\"");
        push_value(out, facts.target);
        out.extend_from_slice(b"\",\"version\":\"");
        out.extend_from_slice(facts.version.as_bytes());
        out.extend_from_slice(b"\",\"status\":");
        push_decimal(out, u64::from(facts.status));
        out.extend_from_slice(b",\"bytes\":");
        push_decimal(out, facts.body_bytes);
        out.extend_from_slice(b",\"duration_us\":");
        push_decimal(out, (facts.duration_s * 1e6) as u64);
        out.extend_from_slice(b",\"referer\":\"");
        push_value(out, facts.referer);
        out.extend_from_slice(b"\",\"user_agent\":\"");
        push_value(out, facts.user_agent);
        out.extend_from_slice(b"\"}\n");
    }

    /// Write what lines of this second have in common: in JSON their start, otherwise what follows the host.
    fn write_stamp(&mut self) {
        let (moment, stamp) = (Moment::at(self.unix_s), &mut self.stamp);
        stamp.clear();
        match self.format {
            Format::Combined => {
                stamp.extend_from_slice(b" - - [");
                push_two(stamp, moment.day);
                stamp.push(b'/');
                stamp.extend_from_slice(moment.month_name());
                stamp.push(b'/');
                moment.push_year(stamp);
                stamp.push(b':');
                moment.push_time(stamp);
                stamp.extend_from_slice(b" +0000] \"");
            }
            Format::Json => {
                stamp.extend_from_slice(b"{\"time\":\"");
                moment.push_year(stamp);
                stamp.push(b'-');
                push_two(stamp, moment.month);
                stamp.push(b'-');
                push_two(stamp, moment.day);
                stamp.push(b'T');
                moment.push_time(stamp);
                stamp.extend_from_slice(b"Z\",\"client\":\"");
            }
        }
    }
}

const fn or_dash(value: &[u8]) -> &[u8] {
    if value.is_empty() { b"-" } else { value }
}

/// Append a value, cut, and escaped so that neither format can be broken.
fn push_value(out: &mut Vec<u8>, value: &[u8]) {
    if value.len() > VALUE_CHARACTERS {
        push_escaped(out, &value[..VALUE_CHARACTERS]);
        out.extend_from_slice(b"...");
    } else if is_harmless(value) {
        out.extend_from_slice(value);
    } else {
        push_escaped(out, value);
    }
}

/// Whether nothing needs an escape. Without a branch for each byte, so that the compiler looks at many at once.
fn is_harmless(value: &[u8]) -> bool {
    !value.iter().fold(false, |is_unsafe, &byte| is_unsafe | needs_escape(byte))
}

const fn needs_escape(byte: u8) -> bool {
    byte < b' ' || byte > b'~' || byte == b'"' || byte == b'\\'
}

/// Append with escapes of JSON: `\u0022` is a quote there, and plain to a reader of the other format.
#[cold]
fn push_escaped(out: &mut Vec<u8>, value: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for &byte in value {
        if needs_escape(byte) {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        } else {
            out.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts<'_> = Facts {
        unix_s: 1_795_204_800,
        host: b"127.0.0.1",
        method: b"GET",
        target: b"/a?b=c",
        version: Version::Http11,
        status: 200,
        body_bytes: 17,
        duration_s: 0.000_123,
        referer: b"",
        user_agent: b"curl/8",
    };

    fn line(format: Format, facts: &Facts<'_>) -> String {
        let mut out = Vec::new();
        Lines::new(format).append(&mut out, facts);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_combined_format_is_apaches() {
        assert_eq!(
            "127.0.0.1 - - [20/Nov/2026:20:00:00 +0000] \"GET /a?b=c HTTP/1.1\" 200 17 \"-\" \"curl/8\"\n",
            line(Format::Combined, &FACTS)
        );
        let unread = Facts {
            method: b"-",
            target: b"-",
            version: Version::Unknown,
            status: 400,
            user_agent: b"",
            ..FACTS
        };
        assert_eq!(
            "127.0.0.1 - - [20/Nov/2026:20:00:00 +0000] \"- - -\" 400 17 \"-\" \"-\"\n",
            line(Format::Combined, &unread)
        );
    }

    #[test]
    fn the_json_format_is_one_object_a_line() {
        assert_eq!(
            "{\"time\":\"2026-11-20T20:00:00Z\",\"client\":\"127.0.0.1\",\"method\":\"GET\",\
             \"target\":\"/a?b=c\",\"version\":\"HTTP/1.0\",\"status\":200,\"bytes\":17,\"duration_us\":123,\
             \"referer\":\"\",\"user_agent\":\"curl/8\"}\n",
            line(Format::Json, &Facts { version: Version::Http10, ..FACTS })
        );
    }

    #[test]
    fn each_line_has_the_second_of_its_request() {
        let (mut lines, mut out) = (Lines::new(Format::Combined), Vec::new());
        for unix_s in [1_795_204_800, 1_795_204_801, 1_795_204_801, 1_795_204_799] {
            lines.append(&mut out, &Facts { unix_s, ..FACTS });
        }

        let text = String::from_utf8(out).unwrap();
        let times: Vec<&str> = text.lines().map(|line| &line[27..35]).collect();
        assert_eq!(vec!["20:00:00", "20:00:01", "20:00:01", "19:59:59"], times);
    }

    #[test]
    fn what_could_break_a_line_is_escaped() {
        for byte in 0..=255_u8 {
            let value = [b'a', byte, b'b'];
            let facts =
                Facts { method: &value, target: &value, referer: &value, user_agent: &value, ..FACTS };
            let shown = match byte {
                b' '..=b'~' if byte != b'"' && byte != b'\\' => format!("a{}b", byte as char),
                _ => format!("a\\u{byte:04x}b"),
            };

            assert_eq!(4, line(Format::Combined, &facts).matches(&shown).count());
            assert_eq!(4, line(Format::Json, &facts).matches(&shown).count());
        }
    }

    #[test]
    fn values_are_cut() {
        let value = vec![b'"'; 1025];
        let text = line(Format::Combined, &Facts { user_agent: &value, ..FACTS });
        assert!(text.ends_with(&format!("{}...\"\n", "\\u0022".repeat(1024))));
        let text = line(Format::Combined, &Facts { user_agent: &[b'x'; 1024], ..FACTS });
        assert!(text.ends_with("x\"\n"));
    }

    /// Run with `cargo test --release -p rocket-core -- --ignored --nocapture a_line_costs`.
    #[test]
    #[ignore = "a measurement"]
    fn a_line_costs_little() {
        let facts = Facts {
            target: b"/health?x=1",
            user_agent: b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
            referer: b"http://localhost:8080/some/page",
            ..FACTS
        };
        for format in [Format::Combined, Format::Json] {
            let (mut lines, mut out, mut best) = (Lines::new(format), Vec::new(), f64::INFINITY);
            for _ in 0..200 {
                out.clear();
                let began = std::time::Instant::now();
                for _ in 0..256 {
                    lines.append(&mut out, std::hint::black_box(&facts));
                }
                best = best.min(began.elapsed().as_nanos() as f64 / 256.0);
            }
            println!("{format:?}: {best:.1} ns");
        }
    }
}
