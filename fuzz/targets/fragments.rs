//! `./x fuzz fragments`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::fragments(input));
