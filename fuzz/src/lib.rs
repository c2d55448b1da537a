//! What each target asserts. A target is a function of bytes, so that `cargo test` can replay a
//! corpus without libFuzzer (totpd/tests/corpus.rs).
#![forbid(unsafe_code)]

#[cfg(feature = "daemon")]
pub mod daemon;

use serde_json::Value;
use totp_core::contact::{MailAddress, PhoneNumber};
use totp_core::judge::Attempt;
use totp_core::judge_settings::JudgeSettings;
use totp_core::otpauth::OtpAuth;
use totp_core::policy::SshAuth;
use totp_core::{Account, Origin, Secrets, Time, Typed, UserName, external_id, judge};
use totp_wire::frame::{Framer, MAX_MESSAGE};
use totp_wire::login::{Accept, Prompt};
use totp_wire::message::{self, Call};
use totp_wire::{Method, admin, login, self_service, service, input_filter, text};

/// Whatever the pieces that a stream arrives in, it is cut into the same messages.
pub fn frames(data: &[u8]) {
    let Some((size, stream)) = data.split_first() else { return };
    let (mut framer, mut messages, mut ended) = (Framer::default(), Vec::new(), false);
    'stream: for piece in stream.chunks(usize::from(*size) * 4 + 64) {
        framer.push(piece);
        loop {
            match framer.next_message() {
                Ok(Some(message)) => messages.push(message.to_vec()),
                Ok(None) => break,
                Err(_) => {
                    ended = true;
                    break 'stream;
                }
            }
        }
    }
    let (mut rest, mut expected) = (stream, Vec::new());
    let too_long = loop {
        match rest.iter().position(|byte| *byte == 0) {
            Some(end) if end < MAX_MESSAGE => {
                expected.push(rest[..end].to_vec());
                rest = &rest[end + 1..];
            }
            Some(_) => break true,
            None => break rest.len() >= MAX_MESSAGE,
        }
    };
    assert_eq!((messages, ended), (expected, too_long));
}

/// What is read of a message is read again from what is written of it.
fn read_again<M: Method>(parameters: &[u8]) {
    let Ok(read) = message::read::<M>(parameters) else { return };
    let written = message::call_bytes(&read).expect("it was read");
    let (end, envelope) = written.split_last().expect("there is an envelope");
    assert_eq!(*end, 0);
    let call: Call<'_> = message::read(envelope).expect("it is a call");
    assert_eq!(call.method, M::NAME);
    let again: M =
        message::read(call.parameters.expect("it has parameters").get().as_bytes()).expect("it is the same");
    assert_eq!(*message::call_bytes(&again).expect("it was read"), *written);
}

fn read_reply<M: Method>(parameters: &[u8]) {
    if let Ok(read) = message::read::<M::Reply>(parameters) {
        let written = message::reply_bytes(&read).expect("it was read");
        assert!(written.ends_with(&[0]));
    }
}

macro_rules! methods {
    ($name:expr, $parameters:expr; $($method:ty,)*) => {
        $(if $name == <$method>::NAME {
            read_again::<$method>($parameters);
            read_reply::<$method>($parameters);
        })*
    };
}

/// One message, as a call of whatever method it names, and as that method's reply.
pub fn call(data: &[u8]) {
    let Ok(call) = message::read::<Call<'_>>(data) else { return };
    let parameters = call.parameters.map_or("{}", |raw| raw.get()).as_bytes();
    methods! { call.method, parameters;
        service::GetInfo, service::GetInterfaceDescription,
        login::Begin, login::Answer,
        self_service::Status, self_service::Enroll, self_service::Confirm, self_service::RecoveryCodes, self_service::Revoke, self_service::Cancel, self_service::Forget, self_service::History,
        admin::Daemon,
        admin::Accept,
        admin::Backup,
        admin::Cancel,
        admin::TrustClock, admin::Enroll, admin::Import, admin::Confirm, admin::Status, admin::List, admin::Revoke, admin::Unlock,
        admin::RecoveryCodes, admin::Ticket, admin::Forget, admin::History, admin::Explain, admin::AddClient,
        admin::ListClients, admin::RevokeClient,
    }
}

/// A whole conversation: a stream of calls, cut and read one after the other.
pub fn conversation(data: &[u8]) {
    let mut framer = Framer::default();
    for piece in data.chunks(1024) {
        framer.push(piece);
        while let Ok(Some(message)) = framer.next_message() {
            call(&message);
        }
    }
}

/// A URI that is read is written so that it reads the same.
pub fn otpauth(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(read) = OtpAuth::parse(text) else { return };
    let again = OtpAuth::parse(&read.to_uri()).expect("what is written can be read");
    assert_eq!((&again.secret, again.params, &again.issuer), (&read.secret, read.params, &read.issuer));
}

/// What the daemon takes for a code may leave the host, and nothing shows what was typed.
pub fn typed(data: &[u8]) {
    if let Some((password, code)) = input_filter::split_combined(data, 6) {
        assert!(data.starts_with(password) && data.len() >= password.len() + code.len());
    }
    let Ok(text) = str::from_utf8(data) else { return };
    let read = Typed::parse(text);
    let prompt = Prompt { text: String::new(), echo: false, accept: Accept::Code, max_len: 512, digits: 6 };
    if read.is_ok() && text.len() <= 512 {
        assert_eq!(input_filter::check_input(text, &prompt), Ok(()), "the module keeps back what the daemon would take");
    }
    let shown = format!("{read:?}");
    let known =
        ["Ok(Code(Code(…)))", "Ok(Recovery(RecoveryCode(…)))", "Err(Empty)", "Err(Shape)", "Err(HostJunk)"];
    assert!(known.contains(&shown.as_str()), "{shown}");
    let plain = text::printable(text, 64);
    assert!(plain.len() <= 64 + "…".len() && !plain.chars().any(char::is_control), "{plain:?}");
}

/// A line of `SSH_AUTH_INFO_0` claims no more than it shows.
pub fn ssh_auth_info(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    for line in text.lines() {
        let auth = SshAuth::parse(line);
        assert!(line.starts_with(&auth.method) && !auth.method.contains([' ', '/']));
        assert!(auth.key_type.is_none() || auth.fingerprint.is_some());
        assert!(auth.fingerprint.is_none() || auth.method == "publickey");
    }
}

/// Names and addresses have one spelling.
pub fn names(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Some(name) = external_id::to_name(text) {
        assert_eq!(external_id::of_name(&name), text);
    }
    if let Ok(name) = UserName::parse(text)
        && name.as_str().len() <= external_id::MAX_BYTES
    {
        assert_eq!(external_id::to_name(&external_id::of_name(&name)), Some(name));
    }
    if let Ok(address) = MailAddress::parse(text) {
        assert!(address.as_str().is_ascii());
        assert_eq!(MailAddress::parse(&text.to_uppercase()), Ok(address));
    }
    if let Ok(number) = PhoneNumber::parse(text) {
        assert_eq!(number.as_str(), text);
    }
}

/// The sealed half of an enrollment.
pub fn secrets(data: &[u8]) {
    let Some(read) = Secrets::from_bytes(data) else { return };
    assert_eq!(*read.to_bytes(), data);
    assert_eq!(Secrets::from_bytes(&read.to_bytes()), Some(read));
}

/// A record that can be read can be judged, whatever stands in it, and written so that it reads the
/// same.
pub fn record(data: &[u8]) {
    let Some((now, data)) = data.split_first_chunk::<8>() else { return };
    let Ok(read) = serde_json::from_slice::<Account<Value>>(data) else { return };
    let now = Time::from_unix(u64::from_le_bytes(*now));
    let _ = read.lock_state.locked(now);
    let half: Vec<u8> = [&[1, 20][..], &[7; 20], &[9; 32]].concat();
    let secrets = Secrets::from_bytes(&half).expect("a secret without recovery codes");
    let Ok(mut account) = read.try_map(|_, _| Ok::<_, std::convert::Infallible>(secrets.clone()));
    let origins = [
        Origin::Local,
        Origin::OwnProcess,
        Origin::Unproven,
        Origin::ThisHost,
        Origin::Console,
        Origin::LocalStranger(7102),
        Origin::Client("shop".to_owned()),
    ];
    for origin in origins {
        for text in ["123456", "0123-4567-89AB-CDEF"] {
            let attempt = Attempt::plain(origin.clone(), Typed::parse(text));
            let _ = judge(
                &mut account,
                &attempt,
                now,
                &JudgeSettings { skew: 1, not_before: Time::from_unix(1_700_000_000), latest_grant: Time::default() },
            );
        }
    }
    let Ok(account) = account.try_map(|_, _| Ok::<_, std::convert::Infallible>(Value::Null));
    let written = serde_json::to_string(&account).expect("it is written");
    let again: Account<Value> = serde_json::from_str(&written).expect("what is written can be read");
    assert_eq!(serde_json::to_string(&again).expect("it is written"), written);
}
