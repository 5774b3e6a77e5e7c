//! Classes of bytes, and the first byte outside of one.
//!
//! A message is read once from front to back, and nearly all of that is one question: how far do bytes of this
//! class reach? Short runs are looked up byte by byte in a table. Specified in RFC 9110 §5.5, §5.6.2 and
//! RFC 3986 §2.

use crate::controls::Controls;

/// Of a token, so of methods and field names: `tchar`, RFC 9110 §5.6.2.
pub(crate) const TOKEN: u8 = 1;
/// Of a request target: visible ASCII.
pub(crate) const TARGET: u8 = 1 << 1;
/// Of a request target before its query: without `?` and `#`.
pub(crate) const PATH: u8 = 1 << 2;
/// Of a request target before its fragment: without `#`.
pub(crate) const QUERY: u8 = 1 << 3;
/// Of a field value: HTAB, SP, visible ASCII and obs-text, RFC 9110 §5.5.
pub(crate) const TEXT: u8 = 1 << 4;
/// Of a registered name: unreserved and sub-delims, RFC 3986 §3.2.2.
pub(crate) const NAME: u8 = 1 << 5;
/// Hexadecimal digits.
pub(crate) const HEX: u8 = 1 << 6;
/// SP and HTAB.
pub(crate) const BLANK: u8 = 1 << 7;

static CLASSES: [u8; 256] = make_classes();

const fn make_classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut index = 0;
    while index < 256 {
        let byte = index as u8;
        let mut class = 0;
        let is_symbol = matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'_' | b'~');
        if byte.is_ascii_alphanumeric() || is_symbol || matches!(byte, b'#' | b'%' | b'^' | b'`' | b'|') {
            class |= TOKEN;
        }
        if byte.is_ascii_alphanumeric() || is_symbol || matches!(byte, b'(' | b')' | b',' | b';' | b'=') {
            class |= NAME;
        }
        if byte.is_ascii_graphic() {
            class |= TARGET;
            if byte != b'#' {
                class |= QUERY;
                if byte != b'?' {
                    class |= PATH;
                }
            }
        }
        if byte == b'\t' || byte == b' ' {
            class |= BLANK;
        }
        if byte == b'\t' || (byte >= b' ' && byte != 0x7f) {
            class |= TEXT;
        }
        if byte.is_ascii_hexdigit() {
            class |= HEX;
        }
        classes[index] = class;
        index += 1;
    }
    classes
}

/// Is this byte of one of these classes?
#[inline(always)]
pub(crate) fn is(byte: u8, class: u8) -> bool {
    CLASSES[byte as usize] & class != 0
}

/// The index of the first byte from `from` on that is of none of these classes; the length when there is none.
#[inline(always)]
pub(crate) fn skip(data: &[u8], from: usize, class: u8) -> usize {
    let mut index = from;
    while index < data.len() && is(data[index], class) {
        index += 1;
    }
    index
}

/// `skip(data, from, TOKEN)`, in one step if only letters and hyphens follow, at most sixteen.
#[inline(always)]
pub(crate) fn skip_name(data: &[u8], from: usize) -> usize {
    let plain = data.get(from..).and_then(<[u8]>::first_chunk).map_or(0, letters);
    let end = from + plain;
    if data.get(end) == Some(&b':') { end } else { skip(data, end, TOKEN) }
}

/// How many letters and hyphens are at the front.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn letters(piece: &[u8; 16]) -> usize {
    use std::arch::x86_64::{
        _mm_add_epi8, _mm_cmpeq_epi8, _mm_cmplt_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128,
        _mm_set1_epi8,
    };
    const LEAST: i8 = i8::MIN;
    // SAFETY: every x86_64 has SSE2; the load reads the sixteen bytes of the array, aligned or not.
    let bits = unsafe {
        let bytes = _mm_loadu_si128(piece.as_ptr().cast());
        // Letters, made small, are moved to the low end of all numbers: one comparison for both ends.
        let small = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
        let moved = _mm_add_epi8(small, _mm_set1_epi8(LEAST.wrapping_sub(b'a' as i8)));
        let letter = _mm_cmplt_epi8(moved, _mm_set1_epi8(LEAST + 26));
        _mm_movemask_epi8(_mm_or_si128(letter, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'-' as i8))))
    };
    bits.trailing_ones() as usize
}

/// How many letters and hyphens are at the front.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn letters(piece: &[u8; 16]) -> usize {
    piece.iter().take_while(|&&byte| byte.is_ascii_alphabetic() || byte == b'-').count()
}

/// The index of the first CRLF.
pub(crate) fn find_crlf(data: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\r', data).find(|&index| data.get(index + 1) == Some(&b'\n'))
}

/// Without blanks at both ends.
#[inline(always)]
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    let start = skip(text, 0, BLANK);
    let mut end = text.len();
    while end > start && is(text[end - 1], BLANK) {
        end -= 1;
    }
    &text[start..end]
}

/// Is this a token?
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && skip(text, 0, TOKEN) == text.len()
}

/// Is this a field line: token, colon, text? Without CRLF.
pub(crate) fn is_field_line(line: &[u8]) -> bool {
    let colon = skip(line, 0, TOKEN);
    colon > 0 && line.get(colon) == Some(&b':') && skip(line, colon + 1, TEXT) == line.len()
}

/// Is there, from `from` on, what no message has outside of its content: a CR without LF, an LF without CR, or
/// another control character? A CR at the very end may still get its LF.
pub(crate) fn has_forbidden(data: &[u8], from: usize) -> bool {
    Controls::new(data, from).any(|index| match data[index] {
        b'\t' => false,
        b'\r' => data.get(index + 1).is_some_and(|&next| next != b'\n'),
        b'\n' => index == 0 || data[index - 1] != b'\r',
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_where_tokens_end() {
        for place in 0..20 {
            for byte in (0..=255).step_by(if cfg!(miri) { 5 } else { 1 }) {
                let mut data = b"aaaaaaaaaaaaaaaaaaaa: \xff\r\n".to_vec();
                data[place] = byte;
                for from in 0..20 {
                    assert_eq!(skip(&data, from, TOKEN), skip_name(&data, from), "{data:?} {from}");
                }
            }
        }
    }

    #[test]
    fn tokens_are_those_of_the_standard() {
        let symbols = b"!#$%&'*+-.^_`|~";
        for byte in 0..=255u8 {
            let expected = byte.is_ascii_alphanumeric() || symbols.contains(&byte);
            assert_eq!(expected, is_token(&[byte]));
        }
        assert!(!is_token(b""));
    }

    #[test]
    fn line_ends_are_the_only_controls_that_may_stand_alone_at_the_end() {
        assert!(!has_forbidden(b"a\r\nb\t\r", 0));
        assert!(has_forbidden(b"a\rb", 0));
        assert!(has_forbidden(b"a\nb", 0));
        assert!(has_forbidden(b"\n", 0));
        assert!(has_forbidden(b"a\x7f", 0));
        assert!(!has_forbidden(b"\r\n", 1));
    }
}
