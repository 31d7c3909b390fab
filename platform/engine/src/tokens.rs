//! Spark's literals that the parser does not know, written as it knows them: `1.5D`, `1e3` (a DOUBLE), `1S`, `r'\d'`;
//! and `exists(array, condition)`, which it takes for a subquery.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

/// The same statement in tokens that the parser knows.
pub fn spelled_out(sql: &str, tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut written: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let span = token.span;
        let mut push = |token: Token| written.push(TokenWithSpan { token, span });
        match &token.token {
            Token::Number(digits, false) => {
                let suffix = tokens.next_if(|next| {
                    matches!(&next.token, Token::Word(word) if word.quote_style.is_none()
                        && next.span.start == span.end && cast_of(&word.value).is_some())
                });
                let kind = match &suffix {
                    Some(TokenWithSpan { token: Token::Word(word), .. }) => cast_of(&word.value),
                    _ => digits.contains(['e', 'E']).then_some("double"),
                };
                match kind {
                    Some(kind) => {
                        push(Token::make_word(kind, None));
                        push(Token::LParen);
                        push(Token::SingleQuotedString(digits.clone()));
                        push(Token::RParen);
                    }
                    None => push(token.token),
                }
            }
            Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("r") => {
                let raw = tokens.next_if(|next| {
                    matches!(next.token, Token::SingleQuotedString(_) | Token::DoubleQuotedString(_))
                        && next.span.start == span.end
                });
                match raw.and_then(|raw| between(sql, raw.span.start, raw.span.end)) {
                    Some(text) => push(Token::SingleQuotedString(text)),
                    None => push(token.token),
                }
            }
            Token::Word(word) if word.keyword == Keyword::EXISTS => {
                push(token.token);
                let opened: Vec<TokenWithSpan> = std::iter::from_fn(|| {
                    tokens.next_if(|next| matches!(next.token, Token::Whitespace(_) | Token::LParen))
                })
                .collect();
                let queries = matches!(tokens.peek().map(|next| &next.token), Some(Token::Word(word))
                    if matches!(word.keyword, Keyword::SELECT | Keyword::WITH | Keyword::VALUES | Keyword::FROM | Keyword::TABLE));
                if !queries
                    && opened.iter().any(|token| token.token == Token::LParen)
                    && let Some(name) = written.last_mut()
                {
                    name.token = Token::make_word("array_exists", None);
                }
                written.extend(opened);
            }
            _ => push(token.token),
        }
    }
    written
}

/// The type that a number's suffix means.
fn cast_of(suffix: &str) -> Option<&'static str> {
    Some(match suffix.to_ascii_lowercase().as_str() {
        "d" => "double",
        "f" => "float",
        "bd" => "decimal_literal",
        "s" => "smallint",
        "y" => "tinyint",
        _ => return None,
    })
}

/// The text of a literal without its quotes, nothing in it being an escape.
fn between(sql: &str, start: Location, end: Location) -> Option<String> {
    if start.line != end.line {
        return None;
    }
    let line = sql.lines().nth(usize::try_from(start.line).ok()?.checked_sub(1)?)?;
    let (from, to) = (start.column as usize, end.column as usize);
    let text: String = line.chars().skip(from).take(to.checked_sub(from + 2)?).collect();
    Some(text)
}
