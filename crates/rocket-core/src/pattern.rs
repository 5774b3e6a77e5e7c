//! One route pattern: its grammar, its rank among others, and what it takes from a path.
//!
//! A pattern is cut at `/` into segments, and each segment is a literal, `:name` (one segment, not empty), `*`
//! (the same without a name) or `**` (any number of segments, also none). Literals are compared after
//! decoding.

use std::fmt;

use crate::head::Span;
use crate::percent;

/// What a segment of a pattern stands for; the order is the precedence of a pattern's last segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Literal,
    Name,
    One,
    Any,
}

/// A pattern is not well formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// As it was written.
    pub pattern: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "pattern {:?} is not well formed", self.pattern)
    }
}

impl std::error::Error for Malformed {}

/// A place in a path: from its start, or, after `**`, from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    FromStart(usize),
    FromEnd(usize),
}

impl Position {
    const fn of(self, length: usize) -> usize {
        match self {
            Self::FromStart(index) => index,
            Self::FromEnd(distance) => length - distance,
        }
    }
}

/// A parsed pattern.
#[derive(Debug)]
pub(crate) struct Pattern {
    /// The segments without their names; two patterns are equal exactly when their shapes are.
    pub shape: Vec<(Kind, Box<[u8]>)>,
    /// How many literals stand before the first other segment.
    pub leading: usize,
    /// How many segments a path needs; at least as many when there is a `**`.
    pub length: usize,
    /// Names of the parameters, in the order in which `take` tells their values.
    pub keys: Box<[Box<str>]>,
    /// The literals after the leading ones.
    literals: Vec<(Position, Box<[u8]>)>,
    /// Where `:name` and `*` stand.
    captures: Vec<Position>,
    /// Where `**` stands, and how many segments follow it.
    rest: Option<(usize, usize)>,
}

impl Pattern {
    /// Read a pattern. That a name is an identifier, and stands once, was seen to at registration.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        Self::read(text).ok_or_else(|| Malformed { pattern: text.to_owned() })
    }

    fn read(text: &str) -> Option<Self> {
        if text.contains(['?', '#']) {
            return None; // never part of a path
        }
        let parts: Vec<&str> = text.strip_prefix('/')?.split('/').collect();
        let last = parts.len() - 1;
        let shape = parts
            .iter()
            .enumerate()
            .map(|(index, part)| read_segment(part, index == last))
            .collect::<Option<Vec<_>>>()?;
        let is_any = |&(kind, _): &(Kind, _)| kind == Kind::Any;
        let any_at = shape.iter().position(is_any);
        if shape.iter().filter(|segment| is_any(segment)).count() > 1 {
            return None; // what each takes would be ambiguous
        }
        let leading = shape.iter().take_while(|(kind, _)| *kind == Kind::Literal).count();
        let (mut literals, mut captures, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        let mut stars = 0;
        for (index, (kind, literal)) in shape.iter().enumerate().skip(leading) {
            let position = match any_at {
                Some(any_at) if index > any_at => Position::FromEnd(shape.len() - index),
                _ => Position::FromStart(index),
            };
            match kind {
                Kind::Literal => literals.push((position, literal.clone())),
                Kind::Any => {}
                Kind::Name | Kind::One => {
                    captures.push(position);
                    if *kind == Kind::Name {
                        keys.push(parts[index][1..].into());
                    } else {
                        stars += 1;
                        keys.push(if stars == 1 { "*".into() } else { format!("*{stars}").into() });
                    }
                }
            }
        }
        keys.extend(any_at.map(|_| "**".into()));
        Some(Self {
            leading,
            length: shape.len() - usize::from(any_at.is_some()),
            keys: keys.into(),
            literals,
            captures,
            rest: any_at.map(|index| (index, shape.len() - index - 1)),
            shape,
        })
    }

    /// Whether it names one path only.
    pub const fn is_literal(&self) -> bool {
        self.leading == self.shape.len()
    }

    /// The leading literals, decoded.
    pub fn leading_literals(&self) -> impl Iterator<Item = &[u8]> {
        self.shape[..self.leading].iter().map(|(_, literal)| &**literal)
    }

    /// What the last segment is.
    pub fn last(&self) -> Kind {
        self.shape[self.shape.len() - 1].0
    }

    /// Whether paths of so many segments can match.
    pub const fn takes(&self, length: usize) -> bool {
        length == self.length || (self.rest.is_some() && length > self.length)
    }

    /// Compare a path whose leading segments are known to be equal, of a length the pattern takes.
    ///
    /// Args:
    ///     text: what the segments are pieces of; each follows the one before and a slash.
    ///     values: where the pieces go that the path has for `keys`; it is cleared first.
    pub fn take(&self, text: &[u8], segments: &[Span], values: &mut Vec<Span>) -> bool {
        values.clear();
        for (position, literal) in &self.literals {
            if segments[position.of(segments.len())].of(text) != &**literal {
                return false;
            }
        }
        for position in &self.captures {
            let value = segments[position.of(segments.len())];
            if value.start == value.end {
                return false;
            }
            values.push(value);
        }
        if let Some((start, following)) = self.rest {
            values.push(match &segments[start..segments.len() - following] {
                [] => Span::default(),
                [only] => *only,
                [first, .., last] => Span { start: first.start, end: last.end },
            });
        }
        true
    }

    /// Which segments `**` took of a path with so many.
    pub fn taken_by_rest(&self, length: usize) -> Option<std::ops::Range<usize>> {
        self.rest.map(|(start, following)| start..length - following)
    }
}

fn read_segment(part: &str, is_last: bool) -> Option<(Kind, Box<[u8]>)> {
    if part == "**" {
        return Some((Kind::Any, Box::default()));
    }
    if part == "*" {
        return Some((Kind::One, Box::default()));
    }
    if part.contains('*') || part == ":" || (part.is_empty() && !is_last) {
        return None;
    }
    if part.starts_with(':') {
        return Some((Kind::Name, Box::default()));
    }
    let path = ["/", part].concat();
    let (mut segments, mut decoded) = (Vec::new(), Vec::new());
    let is_decoded = percent::split(path.as_bytes(), &mut segments, &mut decoded)?;
    let text = if is_decoded { &decoded } else { path.as_bytes() };
    Some((Kind::Literal, segments[0].of(text).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_patterns_are_refused() {
        for text in [
            "", "a/b", "*", "/:", "/a*", "/***", "/:*", "/**/a/**", "/a//b", "//", "/a?b=1", "/a#b", "/100%",
            "/%FF",
        ] {
            let refused = Pattern::parse(text).unwrap_err();
            assert_eq!(format!("pattern {text:?} is not well formed"), refused.to_string());
        }
    }

    #[test]
    fn the_parts_of_a_pattern() {
        let pattern = Pattern::parse("/api/:v/x/**/%79/*").unwrap();

        assert_eq!(vec![b"api"], pattern.leading_literals().collect::<Vec<_>>());
        assert_eq!(5, pattern.length);
        assert_eq!(
            vec![(Position::FromStart(2), b"x"[..].into()), (Position::FromEnd(2), b"y"[..].into())],
            pattern.literals
        );
        assert_eq!(vec![Position::FromStart(1), Position::FromEnd(1)], pattern.captures);
        assert_eq!(Some((3, 2)), pattern.rest);
        assert_eq!(Kind::One, pattern.last());
        assert_eq!(["v", "*", "**"], pattern.keys.iter().map(|key| &**key).collect::<Vec<_>>()[..]);
        assert!(!pattern.is_literal());
        assert!(Pattern::parse("/a/").unwrap().is_literal());
        assert_eq!([false, true, true], [4, 5, 6].map(|length| pattern.takes(length)));
    }
}
