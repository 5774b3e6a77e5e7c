//! The table of an application's routes: which handler answers a method and a path.
//!
//! Built once, when the routes are known and were found free of conflicts. A request costs one lookup when its
//! path is literal, and otherwise a walk down a tree of leading literals, deepest candidate first. The
//! precedence is static (exact literal; longest run of leading literals; kind of the last segment; first
//! registered), so candidates are sorted once, and the first that matches is the answer. Methods have tables
//! of their own; HEAD has the routes of GET, but for those of its own.

use std::collections::HashMap;

use crate::fold::Fold;
use crate::head::Span;
use crate::pattern::{Malformed, Pattern};
use crate::percent;

/// Finds the route of a request.
#[derive(Debug)]
pub struct Router {
    tables: Vec<Table>,
    routes: Vec<Route>,
}

#[derive(Debug)]
struct Route {
    pattern: Pattern,
    id: u32,
}

/// The routes of one method. Routes are named by their index in the router.
#[derive(Debug)]
struct Table {
    method: Box<[u8]>,
    /// By the path as the application wrote it: what most requests ask for.
    literals: HashMap<Box<[u8]>, u32, Fold>,
    /// The tree of leading literals; the first is the root.
    nodes: Vec<Node>,
}

/// Where the leading literals of some patterns end.
///
/// Its candidates are sorted by precedence and grouped by how many segments a path has, so that patterns of
/// another length are never tried. Lengths beyond the longest can only match a `**`: these are in `endless`.
#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<[u8]>, usize, Fold>,
    literal: Option<u32>,
    candidates: Vec<u32>,
    groups: Vec<Vec<u32>>,
    endless: Vec<u32>,
    /// The next node towards the root that has candidates.
    outer: Option<usize>,
}

/// What a path had for the parameters of its route; used again for each request.
///
/// Values are kept as places in the path, or in memory of its own when the path had escapes. A path that was
/// moved elsewhere meanwhile serves as well.
#[derive(Debug, Default)]
pub struct Params {
    route: u32,
    values: Vec<Span>,
    is_decoded: bool,
    decoded: Vec<u8>,
    segments: Vec<Span>,
}

impl Params {
    /// Parameters; as many as the route has keys.
    pub const fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether the route has none.
    pub const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// One value, decoded.
    ///
    /// Args:
    ///     path: what `Router::find` was given; of another path the values mean nothing.
    ///
    /// # Panics
    /// When there are not so many parameters.
    pub fn value<'a>(&'a self, index: usize, path: &'a [u8]) -> &'a str {
        let text = if self.is_decoded { &self.decoded } else { path };
        let span = self.values[index];
        let value = text.get(span.start as usize..span.end as usize).unwrap_or_default();
        std::str::from_utf8(value).unwrap_or_default() // of the right path it is UTF-8
    }
}

impl Router {
    /// Build the tables.
    ///
    /// Args:
    ///     routes: method, pattern and what `find` is to return, in the order of registration; of equal
    ///         patterns of one method the first counts.
    ///
    /// # Errors
    /// A pattern is not well formed.
    pub fn new(routes: Vec<(String, String, u32)>) -> Result<Self, Malformed> {
        let mut by_method: Vec<(String, Vec<u32>)> = Vec::new();
        let mut literals = Vec::with_capacity(routes.len());
        let mut parsed: Vec<Route> = Vec::with_capacity(routes.len());
        for (method, text, id) in routes {
            let pattern = Pattern::parse(&text)?;
            literals.push(text);
            let place = by_method.iter().position(|(name, _)| *name == method).unwrap_or_else(|| {
                by_method.push((method, Vec::new()));
                by_method.len() - 1
            });
            let known = &mut by_method[place].1;
            if !known.iter().any(|&other| parsed[other as usize].pattern.shape == pattern.shape) {
                known.push(parsed.len() as u32);
            }
            parsed.push(Route { pattern, id });
        }
        with_head(&mut by_method, &parsed);
        let tables = by_method
            .into_iter()
            .map(|(method, routes)| Table::new(method.into_bytes(), &routes, &parsed, &literals))
            .collect();
        Ok(Self { tables, routes: parsed })
    }

    /// Find the route of a request.
    ///
    /// Args:
    ///     method: as sent.
    ///     path: as sent, without the query.
    ///     params: is filled with what the path has for the route's parameters.
    ///
    /// Returns: the route's id; None when no pattern of this method matches.
    pub fn find(&self, method: &[u8], path: &[u8], params: &mut Params) -> Option<u32> {
        let table = self.tables.iter().find(|table| *table.method == *method)?;
        let route = match table.literals.get(path) {
            Some(&route) => {
                params.values.clear();
                route
            }
            None => table.find(path, &self.routes, params)?,
        };
        params.route = route;
        Some(self.routes[route as usize].id)
    }

    /// The names of the parameters that `find` found, in the order of their values.
    pub fn keys(&self, params: &Params) -> &[Box<str>] {
        self.routes.get(params.route as usize).map_or(&[], |route| &route.pattern.keys)
    }
}

/// Give HEAD the routes of GET, in their order, each replaced by HEAD's own of an equal pattern; then what only
/// HEAD has.
fn with_head(by_method: &mut Vec<(String, Vec<u32>)>, routes: &[Route]) {
    let shape = |route: u32| &routes[route as usize].pattern.shape;
    let Some((_, get)) = by_method.iter().find(|(method, _)| method == "GET") else { return };
    let mut both = get.clone();
    let head = by_method.iter().position(|(method, _)| method == "HEAD");
    for &own in head.map_or(&[][..], |head| &by_method[head].1) {
        match both.iter_mut().find(|route| shape(**route) == shape(own)) {
            Some(route) => *route = own,
            None => both.push(own),
        }
    }
    match head {
        Some(head) => by_method[head].1 = both,
        None => by_method.push(("HEAD".to_owned(), both)),
    }
}

impl Table {
    fn new(method: Vec<u8>, own: &[u32], routes: &[Route], texts: &[String]) -> Self {
        let mut table =
            Self { method: method.into(), literals: HashMap::default(), nodes: vec![Node::default()] };
        for &route in own {
            let pattern = &routes[route as usize].pattern;
            let node = table.node_of(pattern);
            if pattern.is_literal() {
                table.nodes[node].literal = Some(route);
                table.literals.insert(texts[route as usize].as_bytes().into(), route);
            } else {
                table.nodes[node].candidates.push(route);
            }
        }
        for node in &mut table.nodes {
            node.sort(routes);
        }
        table.link(0, None);
        table
    }

    /// The node where a pattern's leading literals end, made when it is not there.
    fn node_of(&mut self, pattern: &Pattern) -> usize {
        let mut node = 0;
        for literal in pattern.leading_literals() {
            let next = self.nodes.len();
            let child = *self.nodes[node].children.entry(literal.into()).or_insert(next);
            if child == next {
                self.nodes.push(Node::default());
            }
            node = child;
        }
        node
    }

    fn link(&mut self, node: usize, outer: Option<usize>) {
        self.nodes[node].outer = outer;
        let outer = if self.nodes[node].candidates.is_empty() { outer } else { Some(node) };
        let children: Vec<usize> = self.nodes[node].children.values().copied().collect();
        for child in children {
            self.link(child, outer);
        }
    }

    fn find(&self, path: &[u8], routes: &[Route], params: &mut Params) -> Option<u32> {
        let Params { values, is_decoded, decoded, segments, .. } = params;
        *is_decoded = percent::split(path, segments, decoded)?;
        let text = if *is_decoded { &decoded[..] } else { path };
        let mut node = &self.nodes[0];
        let mut steps = segments.iter();
        let is_whole = loop {
            let Some(segment) = steps.next() else { break true };
            if node.children.is_empty() {
                break false;
            }
            let Some(&child) = node.children.get(segment.of(text)) else { break false };
            node = &self.nodes[child];
        };
        if let (true, Some(literal)) = (is_whole, node.literal) {
            values.clear();
            return Some(literal);
        }
        let mut level = Some(node);
        while let Some(node) = level {
            for &route in node.groups.get(segments.len()).unwrap_or(&node.endless) {
                let pattern = &routes[route as usize].pattern;
                if pattern.take(text, segments, values) {
                    if *is_decoded {
                        mark_slashes(pattern, decoded, segments, values);
                    }
                    return Some(route);
                }
            }
            level = node.outer.map(|outer| &self.nodes[outer]);
        }
        None
    }
}

/// In the value of `**` a slash separates segments and nothing else: write one inside a segment as `%2F`.
fn mark_slashes(pattern: &Pattern, decoded: &mut Vec<u8>, segments: &[Span], values: &mut [Span]) {
    let Some(taken) = pattern.taken_by_rest(segments.len()) else { return };
    let (Some(value), segments) = (values.last_mut(), &segments[taken]) else { return };
    let slashes = value.of(decoded).iter().filter(|&&byte| byte == b'/').count();
    if slashes < segments.len().max(1) {
        return;
    }
    let start = decoded.len() as u32;
    for (index, segment) in segments.iter().enumerate() {
        if index > 0 {
            decoded.push(b'/');
        }
        for at in segment.start..segment.end {
            match decoded[at as usize] {
                b'/' => decoded.extend_from_slice(b"%2F"),
                byte => decoded.push(byte),
            }
        }
    }
    *value = Span { start, end: decoded.len() as u32 };
}

impl Node {
    /// Order the candidates; the sort is stable, so that registration decides what is left.
    fn sort(&mut self, routes: &[Route]) {
        let pattern = |route: u32| &routes[route as usize].pattern;
        self.candidates.sort_by_key(|&route| pattern(route).last());
        let taking = |length: usize| {
            self.candidates.iter().copied().filter(|&route| pattern(route).takes(length)).collect()
        };
        let lengths = self.candidates.iter().map(|&route| pattern(route).length + 1).max().unwrap_or(0);
        self.groups = (0..lengths).map(taking).collect();
        self.endless = taking(lengths);
    }
}

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
