//! Times as text: the Date field of an answer, and what a log line needs of a calendar.
//!
//! Clocks are handed in; nothing here reads one. Text is made once a second.
//! Spec: RFC 9110 §5.6.7, §6.6.1

use crate::decimal::{push_decimal, push_two};

const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"]; // the epoch's day first
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// A second in UTC, as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// From 1970.
    pub year: u64,
    /// 1 to 12.
    pub month: u64,
    /// 1 to 31.
    pub day: u64,
    /// Days since a Thursday: 0 to 6.
    pub weekday: u64,
    /// 0 to 23.
    pub hour: u64,
    /// 0 to 59.
    pub minute: u64,
    /// 0 to 59.
    pub second: u64,
}

impl Moment {
    /// The moment that is so many seconds after the epoch.
    pub const fn at(unix_s: u64) -> Self {
        let (days, rest) = (unix_s / 86_400, unix_s % 86_400);
        // Counted from the first of March of the year 0, leap days come last and every 400 years are alike.
        let since = days + 719_468;
        let (era, day) = (since / 146_097, since % 146_097);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153; // from March; five months have 153 days
        Self {
            year: era * 400 + year + (month >= 10) as u64,
            month: if month < 10 { month + 3 } else { month - 9 },
            day: day - (153 * month + 2) / 5 + 1,
            weekday: days % 7,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
        }
    }

    /// The month's name in English, cut to three letters.
    pub fn month_name(&self) -> &'static [u8; 3] {
        MONTHS[self.month as usize - 1]
    }

    /// Write the time of day: `08:49:37`.
    pub fn push_time(&self, out: &mut Vec<u8>) {
        push_two(out, self.hour);
        out.push(b':');
        push_two(out, self.minute);
        out.push(b':');
        push_two(out, self.second);
    }

    /// Write the year with four digits, or more when it has them.
    pub fn push_year(&self, out: &mut Vec<u8>) {
        push_decimal(out, self.year); // no year before 1970 is asked for
    }
}

/// Write an IMF-fixdate, for example `Sun, 06 Nov 1994 08:49:37 GMT`.
///
/// Spec: RFC 9110 §5.6.7
pub fn push_http_date(out: &mut Vec<u8>, unix_s: u64) {
    let moment = Moment::at(unix_s);
    out.extend_from_slice(DAYS[moment.weekday as usize]);
    out.extend_from_slice(b", ");
    push_two(out, moment.day);
    out.push(b' ');
    out.extend_from_slice(moment.month_name());
    out.push(b' ');
    moment.push_year(out);
    out.push(b' ');
    moment.push_time(out);
    out.extend_from_slice(b" GMT");
}

/// The Date field of answers, written once a second.
#[derive(Debug)]
pub struct DateLine {
    unix_s: u64,
    text: Vec<u8>,
}

impl DateLine {
    /// The line of a first second.
    pub fn new(unix_s: u64) -> Self {
        let mut line = Self { unix_s, text: Vec::with_capacity(40) };
        line.write();
        line
    }

    /// Write the line anew if its second is over: true when it was.
    pub fn refresh(&mut self, unix_s: u64) -> bool {
        if unix_s == self.unix_s {
            return false;
        }
        self.unix_s = unix_s;
        self.write();
        true
    }

    /// The field with its CRLF.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    fn write(&mut self) {
        self.text.clear();
        self.text.extend_from_slice(b"Date: ");
        push_http_date(&mut self.text, self.unix_s);
        self.text.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http_date(unix_s: u64) -> String {
        let mut out = Vec::new();
        push_http_date(&mut out, unix_s);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dates_are_imf_fixdates() {
        assert_eq!("Thu, 01 Jan 1970 00:00:00 GMT", http_date(0));
        assert_eq!("Sun, 06 Nov 1994 08:49:37 GMT", http_date(784_111_777)); // the example of RFC 9110 §5.6.7
        assert_eq!("Tue, 29 Feb 2000 23:59:59 GMT", http_date(951_868_799));
        assert_eq!("Wed, 01 Mar 2000 00:00:00 GMT", http_date(951_868_800));
        assert_eq!("Thu, 31 Dec 2026 23:59:59 GMT", http_date(1_798_761_599));
        assert_eq!("Mon, 01 Mar 2100 00:00:00 GMT", http_date(4_107_542_400)); // 2100 has no leap day
        assert_eq!("Fri, 31 Dec 9999 23:59:59 GMT", http_date(253_402_300_799));
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut last = Moment::at(0);
        for day in 1..200_000 {
            let next = Moment::at(day * 86_400);
            assert_eq!((last.weekday + 1) % 7, next.weekday);
            let year = last.year;
            let is_leap = year.is_multiple_of(400) || (year.is_multiple_of(4) && !year.is_multiple_of(100));
            let days = match last.month {
                2 => 28 + u64::from(is_leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            let expected = if last.day < days {
                (last.year, last.month, last.day + 1)
            } else if last.month < 12 {
                (last.year, last.month + 1, 1)
            } else {
                (last.year + 1, 1, 1)
            };
            assert_eq!(expected, (next.year, next.month, next.day));
            last = next;
        }
    }

    #[test]
    fn the_line_is_written_when_the_second_is_another() {
        let mut line = DateLine::new(784_111_777);
        assert_eq!(b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", line.as_bytes());

        assert!(!line.refresh(784_111_777));
        assert!(line.refresh(784_111_778));
        assert_eq!(b"Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n", line.as_bytes());
        assert!(line.refresh(0), "clocks are set back, too");
        assert_eq!(b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n", line.as_bytes());
    }
}
