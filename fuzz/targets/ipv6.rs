//! `./x fuzz ipv6`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::ipv6(input));
