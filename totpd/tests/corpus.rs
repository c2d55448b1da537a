//! Runs the fuzz targets of the daemon's code over their corpora, and over mutations for a few
//! seconds each. libFuzzer runs them for hours (`make fuzz`).
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a test that counts")]

#[expect(unreachable_pub, reason = "shared with a library")]
#[path = "../../fuzz/src/daemon.rs"]
mod daemon;

use std::path::Path;
use std::time::{Duration, Instant};

/// How long each corpus is mutated.
const TIME: Duration = Duration::from_secs(3);
/// Bytes with a meaning in JSON and TOML.
const BYTES: &[u8] = b"\"{}[]:,0-\\\n=#.\xc3\x00";

/// Marsaglia's xorshift64: the same inputs in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % bound.max(1)
    }
}

/// Changes a few bytes, as a fuzzer without a view of the code would.
fn mutate(data: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Random) {
    for _ in 0..=random.below(4) {
        let place = random.below(data.len() + 1);
        match random.below(5) {
            0 if place < data.len() => data[place] ^= 1 << random.below(8),
            1 => data.insert(place, BYTES[random.below(BYTES.len())]),
            2 => {
                let end = (place + random.below(8)).min(data.len());
                data.drain(place..end);
            }
            3 => {
                let other = &others[random.below(others.len())];
                let start = random.below(other.len());
                let end = (start + random.below(32)).min(other.len());
                data.splice(place..place, other[start..end].iter().copied());
            }
            _ => data.truncate(place),
        }
    }
}

fn play(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let files = std::fs::read_dir(folder).expect("it is committed");
    let read = |file: std::io::Result<std::fs::DirEntry>| std::fs::read(file.expect("a file").path());
    let corpus: Vec<Vec<u8>> = files.map(|file| read(file).expect("a file")).collect();
    for data in &corpus {
        target(data);
    }
    let (mut random, start, mut count) = (Random(0x7074_6f74), Instant::now(), 0_u64);
    while start.elapsed() < TIME {
        let mut data = corpus[random.below(corpus.len())].clone();
        mutate(&mut data, &corpus, &mut random);
        let held = std::panic::catch_unwind(|| target(&data)).is_ok();
        assert!(held, "{name} fails for {:?}", String::from_utf8_lossy(&data));
        count += 1;
    }
    println!("{name}: {count} inputs");
}

#[test]
fn configurations_are_read_or_refused() {
    play("config", daemon::config);
}

#[test]
fn bodies_are_read_or_refused_and_never_quoted() {
    play("http_body", daemon::http_body);
}

#[test]
fn files_of_other_tools_are_read_and_never_quoted() {
    play("import", daemon::import);
}

#[test]
fn nothing_opens_that_the_key_did_not_seal() {
    play("sealed_record", daemon::sealed_record);
}
