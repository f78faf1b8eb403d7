//! Characters to tokens.

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// Letters, digits, `_`; also `laid-out`.
    Word(String),
    /// A number as it stands.
    Number(String),
    /// A quoted string, its escapes resolved.
    Text(String),
    /// `%`, `$` or `@` with its number.
    Id(char, u32),
    /// `->` is `>`.
    Mark(char),
    /// The end of a line.
    Newline,
}

/// Tokens with their line numbers, or a line and what is wrong with it. Comments are dropped but for the quoted name after
/// `;`, which stays as a mark and a text.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, (usize, String)> {
    let mut found = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(c) = rest.chars().next() {
            let (token, length) = one(rest, c).map_err(|e| (i + 1, e))?;
            if token == Token::Mark(';') && !rest[1..].trim_start().starts_with('"') {
                break;
            }
            found.push((i + 1, token));
            rest = rest[length..].trim_start();
        }
        found.push((i + 1, Token::Newline));
    }
    Ok(found)
}

fn one(rest: &str, c: char) -> Result<(Token, usize), String> {
    let run = |from: usize, ok: fn(char) -> bool| rest[from..].find(|c| !ok(c)).map_or(rest.len(), |n| n + from);
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let second = rest[c.len_utf8()..].chars().next();
    match c {
        '"' => string(rest),
        '%' | '$' | '@' if c != '%' || second.is_some_and(|c| c.is_ascii_digit()) => {
            let end = run(1, |c| c.is_ascii_digit());
            let id = rest[1..end].parse().map_err(|_| format!("{c} needs a number"))?;
            Ok((Token::Id(c, id), end))
        }
        '-' if second == Some('>') => Ok((Token::Mark('>'), 2)),
        '-' if rest[1..].starts_with("inf") => Ok((Token::Number("-inf".into()), 4)),
        _ if c.is_ascii_digit() || (c == '-' && second.is_some_and(|c| c.is_ascii_digit())) => {
            let mut end = run(1, |c| c.is_ascii_alphanumeric() || c == '.');
            // The sign of an exponent.
            let exponent = rest[..end].ends_with('e') && !rest.contains("0x");
            if exponent && rest[end..].starts_with(['-', '+']) {
                end = run(end + 1, |c| c.is_ascii_digit());
            }
            Ok((Token::Number(rest[..end].into()), end))
        }
        _ if c.is_ascii_alphabetic() || c == '_' => {
            let end = run(0, plain);
            if rest.starts_with("laid-out") {
                return Ok((Token::Word("laid-out".into()), 8));
            }
            match &rest[..end] {
                number @ ("inf" | "NaN") => Ok((Token::Number(number.into()), end)),
                word => Ok((Token::Word(word.into()), end)),
            }
        }
        '(' | ')' | '[' | ']' | '{' | '}' | ',' | ':' | '=' | ';' | '+' | '-' | '*' | '/' | '%' => {
            Ok((Token::Mark(c), 1))
        }
        _ => Err(format!("the character {c:?} has no meaning")),
    }
}

fn string(rest: &str) -> Result<(Token, usize), String> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((Token::Text(text), at + 1)),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some('t') => text.push('\t'),
                Some('0') => text.push('\0'),
                Some('u') => {
                    let hex: String =
                        chars.by_ref().map(|(_, c)| c).skip_while(|c| *c == '{').take_while(|c| *c != '}').collect();
                    let code = u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32);
                    text.push(code.ok_or_else(|| format!("\\u{{{hex}}} is no character"))?);
                }
                Some(c @ ('\\' | '"' | '\'')) => text.push(c),
                _ => return Err("a string has an unknown escape".into()),
            },
            c => text.push(c),
        }
    }
    Err("a string does not end on its line".into())
}
