//! The nearest known word, by edit distance.

/// Longer words are not compared: no known word is longer.
const WORD_CHARS_MAX: usize = 64;

/// The known word nearest to a misspelt one, if it is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower: Vec<char> = word.chars().take(WORD_CHARS_MAX + 1).flat_map(char::to_lowercase).collect();
    if lower.is_empty() || lower.len() > WORD_CHARS_MAX {
        return None;
    }
    known
        .into_iter()
        .filter(|candidate| *candidate != word)
        .filter_map(|candidate| {
            let letters: Vec<char> = candidate.to_lowercase().chars().collect();
            let far = distance(&lower, &letters);
            (far <= lower.len().max(letters.len()).div_ceil(3).min(4)).then_some((far, candidate))
        })
        .filter(|(far, candidate)| *far < candidate.chars().count())
        .min_by_key(|(far, _)| *far)
        .map(|(_, candidate)| candidate)
}

/// `did you mean …?` for the nearest known word.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|near| format!("did you mean `{near}`?"))
}

/// Optimal string alignment: insertions, deletions, changes and swaps of neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut cost = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                cost = cost.min(before[j - 1] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let known = ["format", "schema", "watermark", "on_bad_record"];
        for (word, near) in [
            ("formt", Some("format")),
            ("fromat", Some("format")),
            ("Schema", Some("schema")),
            ("water_mark", Some("watermark")),
            ("onBadRecord", Some("on_bad_record")),
            ("zzz", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), near, "{word}");
        }
    }

    #[test]
    fn short_words_do_not_match_everything() {
        assert_eq!(nearest("b", ["a"]), None);
        assert_eq!(nearest("ny", ["by"]), Some("by"));
        assert_eq!(nearest(&"x".repeat(1_000_000), ["format"]), None);
    }
}
