//! PSKC (RFC 6030): the XML in which vendors deliver the keys of hardware tokens. Keys in clear are
//! read; encrypted ones are refused by name.

use super::entry::{Entry, Factor, Note, Refusal, Used};
use super::secret_text::{Form, InvalidText};
use data_encoding::BASE64;
use roxmltree::{Document, Node, ParsingOptions};
use totp_core::{Algorithm, Digits, Params, Period, Secret};
use zeroize::Zeroizing;

/// The namespace of RFC 6030.
const NAMESPACE: &str = "urn:ietf:params:xml:ns:keyprov:pskc";
/// The algorithms, in `Key/@Algorithm`, and how drafts of the RFC spelled them.
const TOTP: [&str; 2] =
    ["urn:ietf:params:xml:ns:keyprov:pskc:totp", "urn:ietf:params:xml:ns:keyprov:pskc#totp"];
const HOTP: [&str; 2] =
    ["urn:ietf:params:xml:ns:keyprov:pskc:hotp", "urn:ietf:params:xml:ns:keyprov:pskc#hotp"];
/// The longest file, in bytes: some 20,000 tokens. The document takes up to 20 times as much.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// The most elements and texts of a file.
const MAX_NODES: u32 = 1_000_000;
/// The longest element without its content, and the longest text, in bytes. The parser compares
/// each attribute of an element with all the others.
const MAX_PIECE: usize = 8 * 1024;

/// Reads a file. Each key becomes an entry; the line is that of its element.
pub fn parse(content: &[u8]) -> Vec<Entry> {
    let refused = |line, refusal| vec![Entry { line, user: None, factor: Err(refusal) }];
    if content.len() > MAX_BYTES {
        return refused(1, Refusal::TooLarge("16 MiB"));
    }
    if content.split(|byte| *byte == b'<').any(|piece| piece.len() > MAX_PIECE) {
        return refused(1, Refusal::TooLarge("8 KiB in one element or text"));
    }
    let Ok(text) = str::from_utf8(content) else { return refused(1, Refusal::NotText) };
    // Without a DTD there are no entities that expand, and no files that are read.
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let document = match Document::parse_with_options(text.trim_start_matches('\u{feff}'), options) {
        Ok(document) => document,
        Err(roxmltree::Error::NodesLimitReached) => {
            return refused(1, Refusal::TooLarge("1,000,000 elements and texts"));
        }
        Err(error) => {
            let line = usize::try_from(error.pos().row).unwrap_or_default();
            return refused(line, Refusal::Malformed("XML"));
        }
    };
    let root = document.root_element();
    if !is(root, "KeyContainer") {
        return refused(1, Refusal::Missing("KeyContainer of RFC 6030 as its root"));
    }
    let packages = root.children().filter(|node| is(*node, "KeyPackage"));
    let mut lines = Lines { text: document.input_text(), read: 0, line: 1 };
    packages.map(|package| entry(lines.at(package.range().start), package)).collect()
}

/// Counts lines once for a whole file; the parser would count from the start for each key.
struct Lines<'a> {
    text: &'a str,
    read: usize,
    line: usize,
}

impl Lines<'_> {
    /// The line, from 1, of a place behind all before it.
    fn at(&mut self, place: usize) -> usize {
        let between = self.text.as_bytes().get(self.read..place).unwrap_or_default();
        self.line += between.split(|byte| *byte == b'\n').skip(1).count();
        self.read = place;
        self.line
    }
}

fn entry(line: usize, package: Node<'_, '_>) -> Entry {
    let key = child(package, "Key");
    let user = key.and_then(|key| child(key, "UserId"));
    let user = user
        .or_else(|| child(child(package, "DeviceInfo")?, "UserId"))
        .and_then(|user| login_name(text(user)));
    Entry { line, user, factor: key.ok_or(Refusal::Missing("Key")).and_then(factor) }
}

/// The login name in `UID=jsmith,DC=example,DC=net`, or the whole text where it is no such name.
fn login_name(text: &str) -> Option<String> {
    let name = if text.contains('=') {
        let mut parts = text.split(',').filter_map(|part| part.split_once('='));
        parts.find(|(kind, _)| kind.trim().eq_ignore_ascii_case("uid"))?.1.trim()
    } else {
        text
    };
    Some(name.to_owned()).filter(|name| !name.is_empty())
}

fn factor(key: Node<'_, '_>) -> Result<Factor, Refusal> {
    match key.attribute("Algorithm") {
        Some(name) if TOTP.contains(&name) => {}
        Some(name) if HOTP.contains(&name) => return Err(Refusal::Hotp),
        _ => return Err(Refusal::OtherKind),
    }
    let data = child(key, "Data").ok_or(Refusal::Missing("Data"))?;
    let secret = child(data, "Secret").ok_or(Refusal::Missing("Secret"))?;
    let secret = match (child(secret, "PlainValue"), child(secret, "EncryptedValue")) {
        (Some(plain), None) => secret_of(text(plain)).map_err(Refusal::Secret)?,
        (None, Some(_)) => return Err(Refusal::Encrypted),
        _ => return Err(Refusal::Missing("PlainValue")),
    };
    let (mut params, mut notes) = (Params::default(), Vec::new());
    if let Some(parameters) = child(key, "AlgorithmParameters") {
        (params.algorithm, params.digits) = response(parameters)?;
    }
    if let Some(interval) = plain_value(data, "TimeInterval") {
        let seconds = interval.parse::<u64>().map_err(|_| Refusal::Malformed("TimeInterval"))?;
        params.period = Period::try_from(seconds).map_err(Refusal::Params)?;
    }
    if let Some(drift) = plain_value(data, "TimeDrift") {
        let steps = drift.parse::<i64>().map_err(|_| Refusal::Malformed("TimeDrift"))?;
        notes.extend((steps != 0).then_some(Note::ClockOffset(steps)));
    }
    if let Some(time) = plain_value(data, "Time") {
        let offset = time.parse::<i64>().map_err(|_| Refusal::Malformed("Time"))?;
        notes.extend((offset != 0).then_some(Note::TimeOffset));
    }
    if let Some(policy) = child(key, "Policy") {
        // A token that asks for the PIN itself (`Local`) gives no code without it.
        if child(policy, "PINPolicy").is_some_and(|pin| pin.attribute("PINUsageMode") != Some("Local")) {
            return Err(Refusal::ServerPin);
        }
        let dated = ["StartDate", "ExpiryDate"].iter().any(|name| child(policy, name).is_some());
        notes.extend(dated.then_some(Note::Dates));
    }
    Ok(Factor { secret, params, used: Used::Unknown, scratch_codes: 0, notes })
}

/// The hash and the digits of `AlgorithmParameters`.
fn response(parameters: Node<'_, '_>) -> Result<(Algorithm, Digits), Refusal> {
    let algorithm = match child(parameters, "Suite").map(text) {
        None => Algorithm::Sha1,
        Some(suite) => {
            let name = suite.to_ascii_uppercase().replace("HMAC-", "").replace('-', "");
            name.parse().map_err(Refusal::Params)?
        }
    };
    let Some(format) = child(parameters, "ResponseFormat") else { return Ok((algorithm, Digits::default())) };
    if format.attribute("Encoding") != Some("DECIMAL") || format.attribute("CheckDigits") == Some("true") {
        return Err(Refusal::Malformed("ResponseFormat, which is not that of plain decimal codes,"));
    }
    let length = format.attribute("Length").and_then(|length| length.parse::<u8>().ok());
    let digits = Digits::try_from(length.ok_or(Refusal::Malformed("ResponseFormat"))?);
    Ok((algorithm, digits.map_err(Refusal::Params)?))
}

fn secret_of(base64: &str) -> Result<Secret, InvalidText> {
    let mut symbols = Zeroizing::new(Vec::with_capacity(base64.len()));
    symbols.extend(base64.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let bytes = BASE64.decode(&symbols).map(Zeroizing::new);
    let bytes = bytes.map_err(|error| InvalidText::Foreign(Form::Base64, error.position + 1))?;
    Secret::from_bytes(&bytes).map_err(|_| InvalidText::Size(Form::Base64, bytes.len()))
}

fn is(node: Node<'_, '_>, name: &str) -> bool {
    node.tag_name().name() == name && node.tag_name().namespace() == Some(NAMESPACE)
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|node| is(*node, name))
}

fn text<'a>(node: Node<'a, '_>) -> &'a str {
    node.text().unwrap_or_default().trim()
}

fn plain_value<'a>(data: Node<'a, '_>, name: &str) -> Option<&'a str> {
    child(child(data, name)?, "PlainValue").map(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A container of one key package.
    fn container(package: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<KeyContainer Version=\"1.0\" Id=\"exampleID1\" \
             xmlns=\"{NAMESPACE}\" xmlns:xenc=\"http://www.w3.org/2001/04/xmlenc#\">\n{package}\n</KeyContainer>\n"
        )
    }

    /// The key of RFC 6030, figure 3, with another algorithm, data and policy.
    fn key(algorithm: &str, parameters: &str, data: &str, policy: &str) -> String {
        container(&format!(
            "<KeyPackage>\n<DeviceInfo><Manufacturer>Manufacturer</Manufacturer><SerialNo>987654321</SerialNo>\
             <UserId>DC=example-bank,DC=net</UserId></DeviceInfo>\n\
             <CryptoModuleInfo><Id>CM_ID_001</Id></CryptoModuleInfo>\n\
             <Key Id=\"12345678\" Algorithm=\"{NAMESPACE}:{algorithm}\">\n<Issuer>Issuer</Issuer>\n\
             <AlgorithmParameters>{parameters}</AlgorithmParameters>\n<Data>{data}</Data>\n\
             <UserId>UID=jsmith,DC=example-bank,DC=net</UserId>\n{policy}</Key>\n</KeyPackage>"
        ))
    }

    const EIGHT: &str = "<ResponseFormat Length=\"8\" Encoding=\"DECIMAL\"/>";
    const SECRET: &str = "<Secret><PlainValue>MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=\n</PlainValue></Secret>";

    fn only(file: &str) -> Entry {
        let mut entries = parse(file.as_bytes());
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries.remove(0)
    }

    #[test]
    fn a_time_based_key_is_read_with_its_parameters() {
        let interval = "<TimeInterval><PlainValue>60</PlainValue></TimeInterval>";
        let drift = "<TimeDrift><PlainValue>2</PlainValue></TimeDrift>";
        let data = format!("{SECRET}<Time><PlainValue>5</PlainValue></Time>{interval}{drift}");
        let policy = "<Policy><ExpiryDate>2027-01-01T00:00:00Z</ExpiryDate></Policy>";
        let suite = format!("<Suite>HMAC-SHA256</Suite>{EIGHT}");
        let entry = only(&key("totp", &suite, &data, policy));
        assert_eq!((entry.line, entry.user.as_deref()), (3, Some("jsmith")));
        let factor = entry.factor.unwrap();
        assert_eq!(factor.secret.as_bytes(), b"12345678901234567890");
        let Params { algorithm, digits, period } = factor.params;
        assert_eq!((algorithm, digits.get(), period.seconds()), (Algorithm::Sha256, 8, 60));
        assert_eq!(factor.notes, [Note::ClockOffset(2), Note::TimeOffset, Note::Dates]);
    }

    #[test]
    fn the_examples_of_the_rfc_are_refused_by_name() {
        // Figure 2, and figure 3.
        let figure_2 = "<KeyPackage><Key Id=\"12345678\" Algorithm=\"urn:ietf:params:xml:ns:keyprov:pskc:hotp\">\
                        <Issuer>Issuer-A</Issuer><Data><Secret><PlainValue>MTIzNA==</PlainValue></Secret></Data>\
                        </Key></KeyPackage>";
        assert_eq!(only(&container(figure_2)).factor, Err(Refusal::Hotp));
        let counter = format!("{SECRET}<Counter><PlainValue>0</PlainValue></Counter>");
        assert_eq!(only(&key("hotp", EIGHT, &counter, "")).factor, Err(Refusal::Hotp));
        // The encrypted secret of figure 6, and the PIN of figure 5, of time-based keys.
        let encrypted = "<Secret><EncryptedValue><xenc:CipherData><xenc:CipherValue>AAEC</xenc:CipherValue>\
                         </xenc:CipherData></EncryptedValue><ValueMAC>Su+N</ValueMAC></Secret>";
        assert_eq!(only(&key("totp", EIGHT, encrypted, "")).factor, Err(Refusal::Encrypted));
        let pin = "<Policy><PINPolicy MinLength=\"4\" MaxLength=\"4\" PINKeyId=\"123456781\" \
                   PINEncoding=\"DECIMAL\" PINUsageMode=\"Prepend\"/></Policy>";
        assert_eq!(only(&key("totp", EIGHT, SECRET, pin)).factor, Err(Refusal::ServerPin));
        assert!(only(&key("totp", EIGHT, SECRET, &pin.replace("Prepend", "Local"))).factor.is_ok());
        assert_eq!(only(&key("ocra", EIGHT, SECRET, "")).factor, Err(Refusal::OtherKind));
    }

    #[test]
    fn what_cannot_be_read_is_refused_by_name() {
        let refusal = |file: &str| only(file).factor.unwrap_err();
        assert_eq!(refusal("<KeyContainer>"), Refusal::Malformed("XML"));
        assert!(matches!(refusal("<a/>"), Refusal::Missing(_)));
        let draft = container("<KeyPackage/>").replace(NAMESPACE, "urn:ietf:params:xml:ns:keyprov:pskc:1.0");
        assert!(matches!(refusal(&draft), Refusal::Missing(_)));
        assert_eq!(refusal(&container("<KeyPackage/>")), Refusal::Missing("Key"));
        assert_eq!(refusal(&key("totp", EIGHT, "", "")), Refusal::Missing("Secret"));
        let nine = EIGHT.replace('8', "9");
        assert!(matches!(refusal(&key("totp", &nine, SECRET, "")), Refusal::Params(_)));
        let letters = EIGHT.replace("DECIMAL", "ALPHANUMERIC");
        assert!(matches!(refusal(&key("totp", &letters, SECRET, "")), Refusal::Malformed(_)));
        let bad = SECRET.replace("MTI", "M!I");
        let foreign = Refusal::Secret(InvalidText::Foreign(Form::Base64, 2));
        assert_eq!(refusal(&key("totp", EIGHT, &bad, "")), foreign);
        assert_eq!(only("\u{feff}<a").line, 1);
        assert_eq!(parse(b"\xff")[0].factor, Err(Refusal::NotText));
    }

    #[test]
    fn a_file_that_would_fill_memory_or_time_is_refused() {
        let refusal = |file: &str| only(file).factor.unwrap_err();
        assert_eq!(refusal(&" ".repeat(MAX_BYTES + 1)), Refusal::TooLarge("16 MiB"));
        let attributes: String = (0..2_000).map(|n| format!(" a{n}=''")).collect();
        assert!(matches!(refusal(&container(&format!("<a{attributes}/>"))), Refusal::TooLarge(_)));
        assert!(matches!(refusal(&container(&"<a/>".repeat(1_000_001))), Refusal::TooLarge(_)));
        // Deep nesting takes no stack.
        let deep = format!("{}{}", "<a>".repeat(400_000), "</a>".repeat(400_000));
        assert_eq!(parse(container(&deep).as_bytes()), []);
    }

    #[test]
    fn each_key_has_its_line() {
        let package = "<KeyPackage/>\n\n";
        let lines: Vec<usize> =
            parse(container(&package.repeat(3)).as_bytes()).iter().map(|e| e.line).collect();
        assert_eq!(lines, [3, 5, 7]);
    }

    #[test]
    fn no_entity_expands_and_no_file_is_read() {
        let laughs =
            "<!DOCTYPE a [<!ENTITY a \"ha\"><!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&a;&b;</a>";
        assert_eq!(only(laughs).factor, Err(Refusal::Malformed("XML")));
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(content in "[<>/=\" a-z&!?-]{0,80}", cut in 0_usize..900) {
            let _ = parse(content.as_bytes());
            let whole = key("totp", EIGHT, SECRET, "");
            let mut file = whole[..cut.min(whole.len())].to_owned();
            file.push_str(&content);
            for entry in parse(file.as_bytes()) {
                let _ = entry.factor.map_err(|refusal| refusal.to_string());
            }
        }
    }
}
