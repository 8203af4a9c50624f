//! The small grammars inside scalars: durations, UTC offsets, language tags.

/// Reads `<integer><ms|s|m|h|d>` as milliseconds. None: another spelling, or beyond 64 bits.
pub(crate) fn duration_ms(text: &str) -> Option<i64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(unit_at);
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    // A leading zero could be meant as octal.
    if digits.len() > 1 && digits.starts_with('0') {
        return None;
    }
    digits.parse::<i64>().ok()?.checked_mul(factor)
}

/// A duration as the document writes it, in the largest unit that gives a whole number.
#[must_use]
pub fn duration_text(ms: i64) -> String {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    match units.into_iter().find(|(_, factor)| ms != 0 && ms % factor == 0) {
        Some((unit, factor)) => format!("{}{unit}", ms / factor),
        None if ms == 0 => "0s".to_owned(),
        None => format!("{ms}ms"),
    }
}

/// A number for people: `20,000,000`.
#[must_use]
pub fn number_text(n: impl Into<u128>) -> String {
    let digits = n.into().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Reads `+HH:MM` or `-HH:MM`, within 14 hours, as milliseconds east of UTC.
pub(crate) fn utc_offset_ms(text: &str) -> Option<i64> {
    let (sign, clock) = match text.split_at_checked(1)? {
        ("+", clock) => (1, clock),
        ("-", clock) => (-1, clock),
        _ => return None,
    };
    let (hours, minutes) = clock.split_once(':')?;
    let two_digits =
        |t: &str| if t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit()) { t.parse::<i64>().ok() } else { None };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= 14 * 60).then_some(sign * total * 60_000)
}

/// An offset as the document writes it.
#[must_use]
pub fn utc_offset_text(ms: i64) -> String {
    let minutes = ms.unsigned_abs() / 60_000;
    format!("{}{:02}:{:02}", if ms < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
}

/// Whether a language tag is well formed.
///
/// Source: BCP 47 (RFC 5646), section 2.1, without the irregular grandfathered tags.
pub(crate) fn is_language_tag(tag: &str) -> bool {
    if tag.len() > 64 || !tag.is_ascii() {
        return false;
    }
    let subtags: Vec<&str> = tag.split('-').collect();
    if subtags.iter().any(|s| s.is_empty() || s.len() > 8 || !s.bytes().all(|b| b.is_ascii_alphanumeric())) {
        return false;
    }
    let mut rest = subtags.as_slice();
    if !is_private(rest) {
        let Some(after) = after_language(rest) else { return false };
        rest = after;
        rest = skip(rest, 1, |s| s.len() == 4 && is_alpha(s));
        rest = skip(rest, 1, |s| (s.len() == 2 && is_alpha(s)) || (s.len() == 3 && is_digits(s)));
        rest = skip(rest, usize::MAX, |s| s.len() >= 5 || (s.len() == 4 && s.as_bytes()[0].is_ascii_digit()));
        while let [singleton, value, tail @ ..] = rest
            && singleton.len() == 1
            && !singleton.eq_ignore_ascii_case("x")
            && value.len() >= 2
        {
            rest = skip(tail, usize::MAX, |s| s.len() >= 2);
        }
    }
    rest.is_empty() || is_private(rest)
}

/// The subtags after the language and its extended language, where there is one.
fn after_language<'t, 's>(subtags: &'s [&'t str]) -> Option<&'s [&'t str]> {
    let (language, rest) = subtags.split_first()?;
    match language.len() {
        2 | 3 if is_alpha(language) => Some(skip(rest, 3, |s| s.len() == 3 && is_alpha(s))),
        4..=8 if is_alpha(language) => Some(rest),
        _ => None,
    }
}

fn is_private(subtags: &[&str]) -> bool {
    matches!(subtags, [x, _, ..] if x.eq_ignore_ascii_case("x"))
}

fn skip<'t, 's>(subtags: &'s [&'t str], most: usize, is: impl Fn(&str) -> bool) -> &'s [&'t str] {
    let count = subtags.iter().take(most).take_while(|s| is(s)).count();
    &subtags[count..]
}

fn is_alpha(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphabetic())
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_an_integer_and_a_unit() {
        let cases =
            [("250ms", 250), ("1s", 1_000), ("1m", 60_000), ("24h", 86_400_000), ("31d", 31 * 86_400_000), ("0d", 0)];
        for (text, ms) in cases {
            assert_eq!(duration_ms(text), Some(ms), "{text}");
        }
        for bad in
            ["", "1", "m", "1 m", "1M", "1min", "-1m", "+1m", "1.5h", "01m", "1m30s", "1_0s", "99999999999999d", "１m"]
        {
            assert_eq!(duration_ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_duration_is_written_in_its_largest_unit() {
        for text in ["1500ms", "1s", "90s", "1m", "1h", "25h", "30d", "0s"] {
            assert_eq!(duration_text(duration_ms(text).unwrap()), text);
        }
        assert_eq!(duration_text(86_400_000), "1d");
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let cases = [(0_u64, "0"), (999, "999"), (1_000, "1,000"), (20_000_000, "20,000,000")];
        for (n, text) in cases {
            assert_eq!(number_text(n), text);
        }
    }

    #[test]
    fn offsets_are_within_fourteen_hours() {
        let cases =
            [("+08:00", 480), ("-03:30", -210), ("+14:00", 840), ("-14:00", -840), ("+00:00", 0), ("-00:00", 0)];
        for (text, minutes) in cases {
            assert_eq!(utc_offset_ms(text), Some(minutes * 60_000), "{text}");
        }
        for bad in ["", "08:00", "+8:00", "+14:01", "-15:00", "+08:60", "+0800", "Z", "+08:00 ", "é8:00", "++8:00"] {
            assert_eq!(utc_offset_ms(bad), None, "{bad}");
        }
        assert_eq!(utc_offset_text(-12_600_000), "-03:30");
    }

    #[test]
    fn language_tags_are_well_formed() {
        for tag in [
            "zh",
            "en",
            "zh-CN",
            "zh-Hans",
            "zh-Hant-TW",
            "es-419",
            "sl-rozaj",
            "de-1996",
            "zh-yue",
            "x-own",
            "en-u-ca-buddhist",
            "no",
            "en-x-twain",
        ] {
            assert!(is_language_tag(tag), "{tag}");
        }
        for bad in ["", "z", "zh_CN", "zh-", "-zh", "中文", "en-a", "x", "abcdefghi", "en-US-US", "12", "en-x"] {
            assert!(!is_language_tag(bad), "{bad}");
        }
    }
}
