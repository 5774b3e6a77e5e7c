//! Classes of bytes, and the first byte outside of one.
//!
//! A message is read once from front to back, and nearly all of that is one question: how far do bytes of this
//! class reach? Short runs (methods, names) are looked up byte by byte in a table; field values, which are
//! most of a head, are looked at eight bytes at a time. Specified in RFC 9110 §5.5, §5.6.2 and RFC 3986 §2.

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

const ONES: u64 = u64::MAX / 255;
const HIGH: u64 = ONES * 0x80;

/// `skip(data, from, TEXT)`, eight bytes at a time: the first control character that is not HTAB.
#[inline(always)]
pub(crate) fn skip_text(data: &[u8], from: usize) -> usize {
    let mut index = from;
    while let Some(piece) = data.get(index..index + 8) {
        let word = u64::from_le_bytes(piece.try_into().unwrap_or_default());
        // The lowest byte with its high bit set is below 0x20 (first term) or 0x7f (second); a borrow makes
        // wrong claims only about bytes above one that is claimed rightly.
        let erased = word ^ (ONES * 0x7f);
        let found = (word.wrapping_sub(ONES * 0x20) & !word | erased.wrapping_sub(ONES) & !erased) & HIGH;
        if found == 0 {
            index += 8;
            continue;
        }
        index += (found.trailing_zeros() / 8) as usize;
        if data[index] != b'\t' {
            return index;
        }
        index += 1;
    }
    skip(data, index, TEXT)
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
    colon > 0 && line.get(colon) == Some(&b':') && skip_text(line, colon + 1) == line.len()
}

/// Is there, from `from` on, what no message has outside of its content: a CR without LF, an LF without CR, or
/// another control character? A CR at the very end may still get its LF.
pub(crate) fn has_forbidden(data: &[u8], from: usize) -> bool {
    let mut index = from;
    loop {
        index = skip_text(data, index);
        match data.get(index) {
            None => return false,
            Some(b'\r') if data.get(index + 1).is_none_or(|&next| next == b'\n') => {}
            Some(b'\n') if index > 0 && data[index - 1] == b'\r' => {}
            Some(_) => return true,
        }
        index += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_at_a_time_finds_what_one_at_a_time_finds() {
        for filler in [b'a', b'\t', b' ', 0xff, 0x80] {
            for length in 0..20 {
                for place in 0..length {
                    for byte in 0..=255 {
                        let mut data = vec![filler; length];
                        data[place] = byte;
                        data.extend_from_slice(b"\r\n");
                        for from in 0..length {
                            assert_eq!(skip(&data, from, TEXT), skip_text(&data, from), "{data:?} {from}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn two_controls_side_by_side_are_told_apart() {
        for first in 0..=255u8 {
            for second in 0..=255u8 {
                let data = [b'x', first, second, b'x', b'x', b'x', b'x', b'x', b'x'];
                assert_eq!(skip(&data, 0, TEXT), skip_text(&data, 0));
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
