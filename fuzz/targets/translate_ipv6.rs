//! `./x fuzz translate_ipv6`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::translate_ipv6(input));
