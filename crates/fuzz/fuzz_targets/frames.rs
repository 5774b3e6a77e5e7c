//! Tries `rocket_fuzz::frames::check`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rocket_fuzz::frames::check(input));
