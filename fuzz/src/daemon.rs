//! Targets in the daemon's own code. totpd/tests/corpus.rs includes this file, so that `make test`
//! needs no second build of it.

use std::path::Path;
use std::sync::LazyLock;
use totpd::config::Config;
use totpd::import::{csv, google_authenticator, otpauth, pam_oath, pskc, secret_text};
use totpd::key::StoreKey;
use totpd::seal::{SealedAccount, Sealer};

/// The key that the records of the corpus are sealed with. Nothing else was ever sealed with it.
const KEY: &str = r#"
id = "vbbwsopwib4gbx4k"
store = "an35lzddxg2fh6fd"
key = "MWOPC6UUUF4N37FP7QGEWAJNVH64KFFXMX5RKHK43IONCKT72UIA"
"#;

static SEALER: LazyLock<Sealer> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("totpd.key");
    std::fs::write(&path, KEY).expect("a file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o400);
    std::fs::set_permissions(&path, mode).expect("its owner");
    Sealer::new(&StoreKey::load(&path).expect("a key"))
});

/// The version that the records of the corpus are sealed for.
const VERSION: u64 = 1;

/// Records that the key sealed: nothing but they can be opened.
const ORIGINALS: [&str; 2] =
    [include_str!("../corpus/sealed_record/real_0"), include_str!("../corpus/sealed_record/real_1")];

/// A configuration is read or refused in one line, and what was read can be asked everything.
pub fn config(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match Config::parse(text, Path::new("/etc/totpd/totpd.toml")) {
        Ok(config) => {
            let _ = (config.findings(), config.issuer(), config.api().is_some());
            for place in 0..=config.policy.rules.len() {
                let _ = (config.rule_name(place), config.rule_word(Some(place)));
            }
        }
        Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
    }
    let _ = Config::sockets_of_broken(text);
}

/// A file of another tool is read or refused, entry by entry, and no reason quotes a secret.
pub fn import(data: &[u8]) {
    let mut entries = pam_oath::parse(data);
    entries.extend(otpauth::parse(data));
    entries.extend(csv::parse(data));
    entries.extend(pskc::parse(data));
    entries.push(google_authenticator::parse(data));
    for entry in entries {
        match entry.factor {
            Ok(factor) => assert!(!format!("{factor:?}").contains("GEZDGNBV")),
            Err(refusal) => assert!(!refusal.to_string().contains("GEZDGNBV"), "{refusal}"),
        }
    }
    if let Ok(text) = str::from_utf8(data)
        && let Err(invalid) = secret_text::parse(text)
    {
        assert!(!invalid.to_string().contains("GEZDGNBV"), "{invalid}");
    }
}

/// A body is read or refused by every route, and no error quotes a value.
pub fn http_body(data: &[u8]) {
    for read in totpd::fuzzing::read_bodies(data) {
        if let Err(error) = read {
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}

/// A record opens when the key sealed it for this user, this enrollment and this state, and in no
/// other form.
pub fn sealed_record(data: &[u8]) {
    let Ok(record) = serde_json::from_slice::<SealedAccount>(data) else { return };
    let (id, name, uid) = (record.id.clone(), record.name.clone(), record.uid);
    let has_factor = record.has_factor();
    let Ok(opened) = SEALER.open(record, VERSION) else { return };
    if !has_factor {
        return;
    }
    let original = ORIGINALS.iter().find_map(|text| {
        let original: SealedAccount = serde_json::from_str(text).expect("it is a record");
        (original.id == id).then_some(original)
    });
    let original = SEALER.open(original.expect("sealed for this user"), VERSION).expect("it opens");
    assert_eq!((&original.name, original.uid), (&name, uid));
    for (opened, original) in [(&opened.active, &original.active), (&opened.pending, &original.pending)] {
        if let Some(opened) = opened {
            assert_eq!(Some(&opened.secrets), original.as_ref().map(|factor| &factor.secrets));
        }
    }
}
