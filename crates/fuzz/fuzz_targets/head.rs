//! Tries `rocket_fuzz::head::check`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rocket_fuzz::head::check(input));
