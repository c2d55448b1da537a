#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| totpd_fuzz::daemon::import(data));
