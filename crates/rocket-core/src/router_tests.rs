//! Which route a path finds, and with which parameters. That every table and path agree with the portable
//! engine's router is tested from Python.

use super::*;

fn router(routes: &[(&str, &str)]) -> Router {
    let routes = routes.iter().enumerate();
    Router::new(
        routes.map(|(id, (method, text))| (method.to_string(), text.to_string(), id as u32)).collect(),
    )
    .unwrap()
}

/// The id found, and the parameters as `key=value`.
fn find(router: &Router, method: &str, path: &str) -> Option<(u32, Vec<String>)> {
    let mut params = Params::default();
    let id = router.find(method.as_bytes(), path.as_bytes(), &mut params)?;
    let keys = router.keys(&params);
    assert_eq!(keys.len(), params.len());
    assert_eq!(keys.is_empty(), params.is_empty());
    let pairs = keys.iter().enumerate().map(|(i, key)| format!("{key}={}", params.value(i, path.as_bytes())));
    Some((id, pairs.collect()))
}

fn params(pattern: &str, path: &str) -> Option<Vec<String>> {
    find(&router(&[("GET", pattern)]), "GET", path).map(|(_, params)| params)
}

#[test]
fn literal_then_leading_literals_then_kind_then_registration() {
    for (patterns, path, winner) in [
        (&["/users/:id", "/users/me"][..], "/users/me", 1),
        (&["/:a/b/c", "/a/:b/:c"], "/a/b/c", 1),
        (&["/a/**", "/a/*", "/a/:x"], "/a/b", 2),
        (&["/a/**", "/a/*"], "/a/b", 1),
        (&["/a/:x/**", "/a/:x/b"], "/a/1/b", 1),
        (&["/a/*/c", "/a/:x/c"], "/a/1/c", 0),
        (&["/a/:x/c", "/a/*/c"], "/a/1/c", 0),
        (&["/a/b/**", "/a/:x"], "/a/b", 0),
        (&["/a/b/:x/z", "/a/**"], "/a/b/c/d", 1),
    ] {
        let routes: Vec<_> = patterns.iter().map(|pattern| ("GET", *pattern)).collect();
        assert_eq!(Some(winner), find(&router(&routes), "GET", path).map(|found| found.0), "{patterns:?}");
    }
}

#[test]
fn what_a_pattern_takes() {
    for (pattern, path, expected) in [
        ("/a/b", "/a/b", Some(&[][..])),
        ("/a/b", "/a/b/", None),
        ("/:x", "/1", Some(&["x=1"])),
        ("/:x", "/", None),
        ("/:x/b", "//b", None),
        ("/:x", "/a%2Fb", Some(&["x=a/b"])),
        ("/*/b/*", "/1/b/2", Some(&["*=1", "*2=2"])),
        ("/*/*/*", "/1/2/3", Some(&["*=1", "*2=2", "*3=3"])),
        ("/s/**", "/s", Some(&["**="])),
        ("/s/**", "/s/", Some(&["**="])),
        ("/s/**", "/s/a/b/", Some(&["**=a/b/"])),
        ("/s/**", "/s/a%2Fb/c", Some(&["**=a%2Fb/c"])),
        ("/s/**", "/s/%2F", Some(&["**=%2F"])),
        ("/s/**", "/s/%41/b", Some(&["**=A/b"])),
        ("/s/**", "/s/%2525", Some(&["**=%25"])),
        ("/s/**/:x", "/s/%41", Some(&["x=A", "**="])),
        ("/a/**/z", "/a/z", Some(&["**="])),
        ("/a/**/z", "/a/b/c/z", Some(&["**=b/c"])),
        ("/a/**/z", "/a", None),
        ("/:first/**/:last", "/a/b", Some(&["first=a", "last=b", "**="])),
        ("/:first/**/:last", "/a", None),
        ("/caf%C3%A9", "/caf%c3%a9", Some(&[])),
        ("/café", "/caf%C3%A9", Some(&[])),
        ("/a%2Fb", "/a%2fb", Some(&[])),
        ("/a%2Fb", "/a/b", None),
        ("/:x", "/%FF", None),
        ("/**", "*", None),
    ] {
        let expected: Option<Vec<String>> =
            expected.map(|pairs: &[&str]| pairs.iter().map(ToString::to_string).collect());
        assert_eq!(expected, params(pattern, path), "{pattern} {path}");
    }
}

#[test]
fn methods_compete_only_with_themselves() {
    let router = router(&[("POST", "/users/new"), ("GET", "/users/:id")]);

    assert_eq!(Some((1, vec!["id=new".to_owned()])), find(&router, "GET", "/users/new"));
    assert_eq!(Some((0, vec![])), find(&router, "POST", "/users/new"));
    assert_eq!(None, find(&router, "POST", "/users/1"));
    assert_eq!(None, find(&router, "get", "/users/1"));
}

#[test]
fn head_comes_from_get_unless_it_has_its_own() {
    let both = router(&[("HEAD", "/*"), ("GET", "/a"), ("GET", "/:x"), ("HEAD", "/:y")]);

    assert_eq!(Some((1, vec![])), find(&both, "HEAD", "/a"));
    assert_eq!(Some((3, vec!["y=b".to_owned()])), find(&both, "HEAD", "/b"));
    assert_eq!(Some((2, vec!["x=b".to_owned()])), find(&both, "GET", "/b"));
    let only = router(&[("HEAD", "/a")]);
    assert_eq!(None, find(&only, "GET", "/a"));
    assert_eq!(Some((0, vec![])), find(&only, "HEAD", "/a"));
}

#[test]
fn params_are_used_again() {
    let router = router(&[("GET", "/:x/:y"), ("GET", "/a"), ("GET", "/s/**")]);
    let mut params = Params::default();

    assert_eq!(Some(0), router.find(b"GET", b"/%41/b", &mut params));
    assert_eq!(["A", "b"], [0, 1].map(|index| params.value(index, b"/%41/b")));
    assert_eq!(Some(1), router.find(b"GET", b"/a", &mut params));
    assert!(params.is_empty());
    assert_eq!(Some(0), router.find(b"GET", b"/1/2", &mut params));
    let moved = b"/1/2".to_vec();
    assert_eq!(["1", "2"], [0, 1].map(|index| params.value(index, &moved)));
    assert_eq!("", params.value(0, b""), "a wrong path is an error of ours, and no reason to fall");
    assert_eq!(None, router.find(b"GET", b"/", &mut params));
}

#[test]
fn malformed_patterns_build_no_router() {
    let routes = vec![("GET".to_owned(), "/a//b".to_owned(), 0)];

    assert_eq!("/a//b", Router::new(routes).unwrap_err().pattern);
}

/// Run with `cargo test --release -p rocket-core -- --ignored --nocapture lookups_cost`.
#[test]
#[ignore = "a measurement"]
fn lookups_cost_little() {
    let mut routes: Vec<(String, String, u32)> =
        (0..40).map(|n| ("GET".to_owned(), format!("/api/things{n}/list"), n)).collect();
    routes.push(("GET".to_owned(), "/".to_owned(), 40));
    routes.push(("GET".to_owned(), "/health".to_owned(), 41));
    routes.push(("GET".to_owned(), "/api/users/:id".to_owned(), 42));
    routes.push(("GET".to_owned(), "/files/**".to_owned(), 43));
    routes.push(("POST".to_owned(), "/api/users".to_owned(), 44));
    let router = Router::new(routes).unwrap();
    let mut params = Params::default();
    for path in [
        "/",
        "/health",
        "/api/things7/list",
        "/api/users/4711",
        "/api/users/caf%C3%A9",
        "/files/a/b/c/d",
        "/nothing/here",
    ] {
        let mut best = f64::INFINITY;
        for _ in 0..50 {
            let began = std::time::Instant::now();
            for _ in 0..10_000 {
                let path = std::hint::black_box(path.as_bytes());
                std::hint::black_box(router.find(std::hint::black_box(b"GET"), path, &mut params));
            }
            best = best.min(began.elapsed().as_nanos() as f64 / 10_000.0);
        }
        println!("{path}: {best:.1} ns");
    }
}
