#![no_main]
//! Coverage-guided runs of [`mimi_fuzz::targets::body`].

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mimi_fuzz::targets::body(bytes));
