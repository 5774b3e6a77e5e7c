//! Tries `rocket_fuzz::split::check`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rocket_fuzz::split::check(input));
