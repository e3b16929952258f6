#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| wardwatch_fuzz::dissector(&dissectors::dns::DISSECTOR, input));
