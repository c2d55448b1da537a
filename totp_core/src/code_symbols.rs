//! Reads the characters of a typed code as phones show and copy them: digits of any script, and any
//! blanks, dashes and invisible marks between them.
//!
//! The tables are of Unicode 16.0. A test compares them with those of `regex-syntax`.

/// What one character of a typed code stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Symbol {
    /// A digit or a Latin letter, in ASCII.
    Text(u8),
    /// A blank, a dash or an invisible mark. It separates groups and means nothing.
    Separator,
    /// A point, a comma, a colon or an underscore. Recovery codes are copied with them. In a TOTP
    /// code they are refused: dates are passwords, too.
    Punctuation,
}

impl Symbol {
    /// Reads `c`; `None` for a character that no code has.
    pub(crate) fn of(c: char) -> Option<Self> {
        match c {
            '.' | ',' | ':' | '_' => Some(Self::Punctuation),
            _ if is_separator(c) => Some(Self::Separator),
            _ => ascii(c).filter(u8::is_ascii_alphanumeric).map(Self::Text),
        }
    }
}

/// Returns whether `c` is a blank, a dash or an invisible mark.
pub(crate) fn is_separator(c: char) -> bool {
    c.is_whitespace() || is_in(c, DASHES) || is_in(c, INVISIBLE)
}

/// Returns the digit or letter that `c` stands for. Input methods for Chinese and Japanese write
/// wide letters beside wide digits.
fn ascii(c: char) -> Option<u8> {
    match c {
        '\0'..='\x7f' => u8::try_from(c).ok(),
        'Ａ'..='Ｚ' | 'ａ'..='ｚ' => u8::try_from(u32::from(c) - u32::from('Ａ') + u32::from('A')).ok(),
        _ => digit(c).map(|value| b'0' + value),
    }
}

/// Returns the value of a decimal digit of any script (general category Nd).
fn digit(c: char) -> Option<u8> {
    let after = ZEROS.partition_point(|zero| *zero <= c);
    let zero = ZEROS.get(after.checked_sub(1)?)?;
    u8::try_from(u32::from(c) - u32::from(*zero)).ok().filter(|value| *value < 10)
}

fn is_in(c: char, ranges: &[(char, char)]) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= c);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, last)| c <= *last)
}

/// The digit zero of each run of ten. Unicode promises that they are contiguous and in order
/// (<https://www.unicode.org/policies/stability_policy.html>, "Property Value Stability").
const ZEROS: &[char] = &[
    '\u{30}',
    '\u{660}',
    '\u{6f0}',
    '\u{7c0}',
    '\u{966}',
    '\u{9e6}',
    '\u{a66}',
    '\u{ae6}',
    '\u{b66}',
    '\u{be6}',
    '\u{c66}',
    '\u{ce6}',
    '\u{d66}',
    '\u{de6}',
    '\u{e50}',
    '\u{ed0}',
    '\u{f20}',
    '\u{1040}',
    '\u{1090}',
    '\u{17e0}',
    '\u{1810}',
    '\u{1946}',
    '\u{19d0}',
    '\u{1a80}',
    '\u{1a90}',
    '\u{1b50}',
    '\u{1bb0}',
    '\u{1c40}',
    '\u{1c50}',
    '\u{a620}',
    '\u{a8d0}',
    '\u{a900}',
    '\u{a9d0}',
    '\u{a9f0}',
    '\u{aa50}',
    '\u{abf0}',
    '\u{ff10}',
    '\u{104a0}',
    '\u{10d30}',
    '\u{10d40}',
    '\u{11066}',
    '\u{110f0}',
    '\u{11136}',
    '\u{111d0}',
    '\u{112f0}',
    '\u{11450}',
    '\u{114d0}',
    '\u{11650}',
    '\u{116c0}',
    '\u{116d0}',
    '\u{116da}',
    '\u{11730}',
    '\u{118e0}',
    '\u{11950}',
    '\u{11bf0}',
    '\u{11c50}',
    '\u{11d50}',
    '\u{11da0}',
    '\u{11f50}',
    '\u{16130}',
    '\u{16a60}',
    '\u{16ac0}',
    '\u{16b50}',
    '\u{16d70}',
    '\u{1ccf0}',
    '\u{1d7ce}',
    '\u{1d7d8}',
    '\u{1d7e2}',
    '\u{1d7ec}',
    '\u{1d7f6}',
    '\u{1e140}',
    '\u{1e2f0}',
    '\u{1e4f0}',
    '\u{1e5f1}',
    '\u{1e950}',
    '\u{1fbf0}',
];

/// Characters with the property `Dash`.
const DASHES: &[(char, char)] = &[
    ('\u{2d}', '\u{2d}'),
    ('\u{58a}', '\u{58a}'),
    ('\u{5be}', '\u{5be}'),
    ('\u{1400}', '\u{1400}'),
    ('\u{1806}', '\u{1806}'),
    ('\u{2010}', '\u{2015}'),
    ('\u{2053}', '\u{2053}'),
    ('\u{207b}', '\u{207b}'),
    ('\u{208b}', '\u{208b}'),
    ('\u{2212}', '\u{2212}'),
    ('\u{2e17}', '\u{2e17}'),
    ('\u{2e1a}', '\u{2e1a}'),
    ('\u{2e3a}', '\u{2e3b}'),
    ('\u{2e40}', '\u{2e40}'),
    ('\u{2e5d}', '\u{2e5d}'),
    ('\u{301c}', '\u{301c}'),
    ('\u{3030}', '\u{3030}'),
    ('\u{30a0}', '\u{30a0}'),
    ('\u{fe31}', '\u{fe32}'),
    ('\u{fe58}', '\u{fe58}'),
    ('\u{fe63}', '\u{fe63}'),
    ('\u{ff0d}', '\u{ff0d}'),
    ('\u{10d6e}', '\u{10d6e}'),
    ('\u{10ead}', '\u{10ead}'),
];

/// Characters with the property `Default_Ignorable_Code_Point`, but no letters (fillers of Hangul):
/// zero-width and bidirectional marks, soft hyphens, variation selectors, the byte order mark.
const INVISIBLE: &[(char, char)] = &[
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff0}', '\u{fff8}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

#[cfg(test)]
mod tests {
    use super::*;
    use regex_syntax::hir::{Class, HirKind};

    /// The characters of a class, by the tables of `regex-syntax`.
    fn class(pattern: &str) -> Vec<char> {
        let hir = regex_syntax::parse(pattern).unwrap();
        let HirKind::Class(Class::Unicode(class)) = hir.kind() else { panic!("{pattern}") };
        class.iter().flat_map(|range| range.start()..=range.end()).collect()
    }

    fn all(holds: impl Fn(char) -> bool) -> Vec<char> {
        ('\0'..=char::MAX).filter(|c| holds(*c)).collect()
    }

    #[test]
    fn every_decimal_digit_of_unicode_is_read() {
        assert_eq!(all(|c| c.is_ascii_digit() || digit(c).is_some()), class(r"\p{Nd}"));
        for (text, value) in [("٣۳३３", 3), ("𝟗𝟿𞥙", 9), ("０0".trim_start_matches('0'), 0)] {
            for c in text.chars().filter(|c| !c.is_ascii()) {
                assert_eq!(Symbol::of(c), Some(Symbol::Text(b'0' + value)), "{c}");
            }
        }
    }

    #[test]
    fn every_blank_dash_and_invisible_mark_separates() {
        let pattern = r"[\p{White_Space}\p{Dash}\p{Pd}\p{Zs}[\p{Default_Ignorable_Code_Point}--\p{L}]]";
        assert_eq!(all(is_separator), class(pattern));
    }

    #[test]
    fn letters_are_latin_and_may_be_wide() {
        assert_eq!(Symbol::of('ａ'), Some(Symbol::Text(b'a')));
        assert_eq!(Symbol::of('Ｚ'), Some(Symbol::Text(b'Z')));
        for c in ['é', 'А', '²', '½', '一', '\u{7f}', '\u{8}', '/', '+', '\u{3164}'] {
            assert_eq!(Symbol::of(c), None, "{c:?}");
        }
    }
}
