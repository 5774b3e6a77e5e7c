//! Tries `rocket_fuzz::chunked::check`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rocket_fuzz::chunked::check(input));
