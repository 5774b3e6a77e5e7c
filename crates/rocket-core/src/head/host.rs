//! Who is meant: `uri-host [ ":" port ]`, checked to the last digit.
//!
//! Specified in RFC 9110 §4.2.1, §7.2 and RFC 3986 §3.2.2. An empty host is refused, as http(s) requires one.

use std::net::Ipv6Addr;

use crate::octets::{self, HEX, NAME};

/// Digits of 65535, the largest port.
const PORT_DIGITS: usize = 5;

/// Is this a host, with or without a port?
#[inline]
pub(super) fn is_authority(text: &[u8]) -> bool {
    port_of(text).is_some()
}

/// The digits after the colon, maybe none, of a valid authority; None when it is not valid.
#[inline]
pub(super) fn port_of(text: &[u8]) -> Option<&[u8]> {
    let host_end = if text.first() == Some(&b'[') { literal_end(text)? } else { name_end(text)? };
    let port = match &text[host_end..] {
        [] => return Some(&[]),
        [b':', digits @ ..] => digits,
        _ => return None,
    };
    is_port(port).then_some(port)
}

#[inline]
fn name_end(text: &[u8]) -> Option<usize> {
    let mut end = octets::skip(text, 0, NAME);
    while text.get(end) == Some(&b'%') {
        if octets::skip(text.get(end + 1..end + 3)?, 0, HEX) < 2 {
            return None;
        }
        end = octets::skip(text, end + 3, NAME);
    }
    (end > 0).then_some(end)
}

/// After the closing bracket of an IPv6 or a future address.
fn literal_end(text: &[u8]) -> Option<usize> {
    let closing = memchr::memchr(b']', text)?;
    let address = &text[1..closing];
    let is_valid = match address {
        [b'v' | b'V', rest @ ..] => is_future_address(rest),
        _ => str::from_utf8(address).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok()),
    };
    is_valid.then_some(closing + 1)
}

/// `1*HEXDIG "." 1*( unreserved / sub-delims / ":" )`
fn is_future_address(text: &[u8]) -> bool {
    let dot = octets::skip(text, 0, HEX);
    dot > 0
        && text.get(dot) == Some(&b'.')
        && text.len() > dot + 1
        && text[dot + 1..].iter().all(|&byte| byte == b':' || octets::is(byte, NAME))
}

/// At most 65535; no digits at all mean the default.
#[inline]
fn is_port(digits: &[u8]) -> bool {
    if digits.len() > PORT_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let number = digits.iter().fold(0, |number: u32, digit| number * 10 + u32::from(digit - b'0'));
    number <= u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for good in [
            "a",
            "a.b",
            "127.0.0.1",
            "A-z_~!$&'()*+,;=",
            "%41",
            "a%2Fb:1",
            "a:",
            "a:0",
            "a:65535",
            "[::]",
            "[::1]:80",
            "[1:2:3:4:5:6:7::]",
            "[::ffff:1.2.3.4]",
            "[v1.a:b]",
            "[VfF.~]:",
        ] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a:65536",
            "a:000001",
            "a:1a",
            "a b",
            "a/",
            "u@h",
            "%",
            "%4",
            "%4g",
            "[",
            "[]",
            "[::1",
            "a]",
            "[::1]a",
            "[:::]",
            "[1:2:3:4:5:6:7:8:9]",
            "[12345::]",
            "[::1.2.3.04]",
            "[::1%25eth0]",
            "[v.a]",
            "[v1.]",
            "[v1a]",
            "[vg.a]",
            "a:b",
            "a::1",
            "\u{f6}",
            "[\u{f6}]",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn a_port_is_told_when_there_is_one() {
        assert_eq!(Some(&b"80"[..]), port_of(b"a:80"));
        assert_eq!(Some(&b""[..]), port_of(b"a:"));
        assert_eq!(Some(&b""[..]), port_of(b"a"));
    }
}
