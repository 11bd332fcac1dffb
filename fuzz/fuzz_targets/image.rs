#![no_main]
//! Coverage-guided runs of [`mimi_fuzz::targets::image`].

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mimi_fuzz::targets::image(bytes));
