#![no_main]
//! Coverage-guided runs of [`mimi_fuzz::targets::list`].

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mimi_fuzz::targets::list(bytes));
