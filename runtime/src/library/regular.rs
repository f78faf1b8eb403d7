//! Regular expressions as ONNX has them: the syntax of RE2, matched against a whole text.
//!
//! The syntaxes of RE2 and of the `regex` crate differ in a few places; a pattern is rewritten from the one to the other:
//! perl classes are of ASCII, `\Q..\E` quotes, and `[`, `&`, `~` and `-` have no meaning of their own inside a class.

use super::LibraryError;
use regex::{Regex, RegexBuilder};

/// Bytes that a compiled pattern may take.
const MAX_SIZE: usize = 8 << 20;

/// The pattern, anchored at both ends.
pub(super) fn compile(pattern: &str) -> Result<Regex, LibraryError> {
    let refuse = |e: regex::Error| LibraryError::Data(format!("pattern {pattern:?}: {e}"));
    RegexBuilder::new(&format!(r"\A(?:{})\z", translate(pattern)))
        .size_limit(MAX_SIZE)
        .dfa_size_limit(MAX_SIZE)
        .build()
        .map_err(refuse)
}

/// The ASCII form of a perl class; the brackets nest in a class of the `regex` crate.
fn perl(letter: char) -> Option<&'static str> {
    Some(match letter {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        's' => r"[\t\n\x0C\r ]",
        'S' => r"[^\t\n\x0C\r ]",
        _ => return None,
    })
}

fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern.chars().peekable();
    // Characters seen of the class that is open: a bracket that is the first one is literal.
    let mut class: Option<usize> = None;
    let mut dash = false;
    while let Some(c) = rest.next() {
        let was_dash = std::mem::take(&mut dash);
        match (c, class) {
            ('\\', _) => {
                escape(&mut rest, class.is_some(), &mut out);
                class = class.map(|n| n + 1);
            }
            ('[', None) => {
                out.push('[');
                if rest.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                class = Some(0);
            }
            (']', Some(0)) => {
                out.push_str(r"\]");
                class = Some(1);
            }
            (']', Some(_)) => {
                out.push(']');
                class = None;
            }
            ('[', Some(n)) if rest.peek() == Some(&':') => {
                named_class(&mut rest, &mut out);
                class = Some(n + 1);
            }
            ('[' | '&' | '~', Some(n)) => {
                out.extend(['\\', c]);
                class = Some(n + 1);
            }
            ('-', Some(n)) => {
                dash = !was_dash;
                out.push_str(if was_dash { r"\-" } else { "-" });
                class = Some(n + 1);
            }
            (_, Some(n)) => {
                out.push(c);
                class = Some(n + 1);
            }
            (_, None) => out.push(c),
        }
    }
    out
}

/// What follows a backslash.
fn escape(rest: &mut std::iter::Peekable<std::str::Chars>, in_class: bool, out: &mut String) {
    match rest.next() {
        None => out.push('\\'),
        Some('Q') => quote(rest, out),
        Some('b') if !in_class => out.push_str(r"(?-u:\b)"),
        Some(letter) => match perl(letter) {
            Some(class) => out.push_str(class),
            None => out.extend(['\\', letter]),
        },
    }
}

/// Literal text up to `\E`.
fn quote(rest: &mut std::iter::Peekable<std::str::Chars>, out: &mut String) {
    while let Some(c) = rest.next() {
        if c == '\\' && rest.next_if_eq(&'E').is_some() {
            return;
        }
        out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }
}

/// `[:alpha:]` and its kin, copied up to the closing bracket; without one, the bracket was a literal.
fn named_class(rest: &mut std::iter::Peekable<std::str::Chars>, out: &mut String) {
    let ahead: String = rest.clone().take(16).collect();
    let Some(end) = ahead.find(":]") else {
        out.push_str(r"\[");
        return;
    };
    out.push('[');
    for _ in 0..ahead.get(..end).map_or(0, |s| s.chars().count()) + 2 {
        out.extend(rest.next());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        compile(pattern).unwrap().is_match(text)
    }

    #[test]
    fn the_whole_text_must_match() {
        assert!(matches(r"www\.[\w.-]+\.\bcom\b", "www.google.com"));
        assert!(!matches(r"www\.[\w.-]+\.\bcom\b", "www.google.com/x"));
        assert!(matches("a|ab", "ab"));
        assert!(matches("", "") && !matches("", "a"));
        assert!(!matches("a", "a\n"));
    }

    #[test]
    fn classes_are_those_of_re2() {
        assert!(matches(r"\d\w\s", "1a ") && !matches(r"\d", "٣") && !matches(r"\w", "é"));
        assert!(matches(r"[^\d]", "٣") && matches(r"[[&&]+", "[&") && matches(r"[]a]+", "a]"));
        assert!(matches(r"[+--]+", "+,-") && matches("[[:alpha:]_]+", "ab_"));
        assert!(matches(r"\Qa.b\E+", "a.bb") && !matches(r"\Qa.b\E", "axb"));
        assert!(matches(r"(?i)straße", "STRAßE") && matches(".", "é"));
    }

    #[test]
    fn a_wrong_or_vast_pattern_is_refused() {
        assert!(compile("(").is_err());
        assert!(compile(r"a\").is_err());
        assert!(compile("(((a{1000}){1000}){1000})").is_err());
    }
}
