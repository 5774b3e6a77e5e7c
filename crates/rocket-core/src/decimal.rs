//! Numbers as text, two digits at a time.

/// 00 to 99, one after the other.
const PAIRS: [u8; 200] = {
    let mut pairs = [0; 200];
    let mut number = 0;
    while number < 100 {
        pairs[2 * number] = b'0' + (number / 10) as u8;
        pairs[2 * number + 1] = b'0' + (number % 10) as u8;
        number += 1;
    }
    pairs
};

/// Write a number.
pub fn push_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    while number >= 100 {
        let pair = 2 * (number % 100) as usize;
        number /= 100;
        start -= 2;
        digits[start..start + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if number >= 10 {
        let pair = 2 * number as usize;
        start -= 2;
        digits[start..start + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    } else {
        start -= 1;
        digits[start] = b'0' + number as u8;
    }
    out.extend_from_slice(&digits[start..]);
}

/// Write a number below 100 with two digits.
///
/// # Panics
/// When it is not below 100.
pub fn push_two(out: &mut Vec<u8>, number: u64) {
    let pair = 2 * number as usize;
    out.extend_from_slice(&PAIRS[pair..pair + 2]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dice;

    fn decimal(number: u64) -> String {
        let mut out = Vec::new();
        push_decimal(&mut out, number);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_written_as_the_standard_library_does() {
        let mut dice = Dice::new(1);
        for number in (0..20_000).chain([u64::MAX]).chain((0..64).map(|bit| dice.next() >> bit)) {
            assert_eq!(number.to_string(), decimal(number));
        }
    }

    #[test]
    fn two_digits_are_two() {
        let mut out = Vec::new();
        for number in [0, 7, 10, 99] {
            push_two(&mut out, number);
        }
        assert_eq!(b"00071099", &out[..]);
    }
}
