//! How long one head takes to read, in nanoseconds: `cargo run --release -p rocket-core --example headtime`.

use std::hint::black_box;
use std::time::Instant;

use rocket_core::head::{find_field, parse_head};
use rocket_core::limits::Limits;

const LIMITS: Limits =
    Limits { request_line: 8192, head: 32768, headers: 128, chunk_extensions: 4096, trailers: 8192 };

const BROWSER: &[u8] = b"GET /api/items/42?page=3&sort=name HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://www.example.com/api/items?page=2\r\n\
    Connection: keep-alive\r\n\
    Cookie: session=3f9a1b2c4d5e6f708192a3b4c5d6e7f8; theme=dark; consent=1\r\n\
    Cache-Control: max-age=0\r\n\r\n";

const ROUNDS: u32 = 1000;
const RUNS: u32 = 400;

/// The best of many short runs: what disturbs a run only makes it longer.
fn measure(name: &str, data: &[u8], mut work: impl FnMut(&[u8])) {
    let best = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..ROUNDS {
                work(black_box(data));
            }
            start.elapsed()
        })
        .min()
        .unwrap_or_default();
    println!("{name}: {} bytes, {:.1} ns", data.len(), best.as_nanos() as f64 / f64::from(ROUNDS));
}

fn main() {
    let read = |data: &[u8]| {
        let _ = black_box(parse_head(data, black_box(&LIMITS), 0));
    };
    measure("one header", b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n", read);
    measure("nine headers", BROWSER, read);
    measure("nine headers, incomplete", &BROWSER[..BROWSER.len() - 1], read);
    let head = parse_head(BROWSER, &LIMITS, 0).ok().flatten().expect("a valid head");
    measure("find the eighth of nine fields", head.fields.of(BROWSER), |fields| {
        let _ = black_box(find_field(fields, black_box("cookie")));
    });
}
