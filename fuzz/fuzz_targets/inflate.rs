#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| wstrand::fuzzing::inflate(input));
