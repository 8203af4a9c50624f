//! Plain scalars by the YAML 1.2 core schema, but only plain decimal integers count as integers.

use super::document::Value;

/// Reads a scalar that was written without quotes.
///
/// Octal (`0o17`), hexadecimal (`0x1f`), floats (`1e3`, `20.0`, `.inf`) and leading zeros (`0777`, which YAML 1.1
/// reads as octal) are numbers, but not ones that a policy takes. `yes`, `1_000` and `1:30` are text, as in YAML 1.2.
pub(crate) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if is_number(text) => match decimal(text) {
            Some(n) => Value::Integer(n),
            None => Value::OtherNumber(text.into()),
        },
        _ => Value::Text(text.to_owned()),
    }
}

fn decimal(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let canonical = digits == "0" || !digits.starts_with('0');
    if canonical && is_digits(digits) { text.parse().ok() } else { None }
}

fn is_number(text: &str) -> bool {
    if let Some(octal) = text.strip_prefix("0o") {
        return !octal.is_empty() && octal.bytes().all(|b| (b'0'..=b'7').contains(&b));
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
    }
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF") || is_float(unsigned)
}

/// `(\.[0-9]+ | [0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, integers among them.
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let exponent_ok = exponent.is_none_or(|e| is_digits(e.strip_prefix(['-', '+']).unwrap_or(e)));
    let mantissa_ok = match mantissa.split_once('.') {
        None => is_digits(mantissa),
        Some(("", fraction)) => is_digits(fraction),
        Some((whole, fraction)) => is_digits(whole) && (fraction.is_empty() || is_digits(fraction)),
    };
    exponent_ok && mantissa_ok
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_decimal_integers_are_integers() {
        for (text, n) in [("0", 0), ("20", 20), ("-5", -5), ("+5", 5), ("1000000000000000", 1_000_000_000_000_000)] {
            assert_eq!(plain(text), Value::Integer(n), "{text}");
        }
    }

    #[test]
    fn other_numbers_keep_their_spelling() {
        for text in [
            "0777",
            "0o17",
            "0x1F",
            "20.0",
            "1e3",
            "1E+3",
            ".5",
            "5.",
            "-.inf",
            ".NaN",
            "00",
            "-01",
            "99999999999999999999",
        ] {
            assert_eq!(plain(text), Value::OtherNumber(text.into()), "{text}");
        }
    }

    #[test]
    fn what_yaml_1_1_read_as_numbers_and_booleans_is_text() {
        for text in [
            "1_000", "1:30", "yes", "no", "on", "off", "y", "N", "0b11", "0o", "0o8", "+08:00", "1,000", "e3", ".", "-",
        ] {
            assert_eq!(plain(text), Value::Text(text.to_owned()), "{text}");
        }
    }

    #[test]
    fn null_and_booleans_are_those_of_the_core_schema() {
        for text in ["", "~", "null", "Null", "NULL"] {
            assert_eq!(plain(text), Value::Null, "{text}");
        }
        assert_eq!(plain("True"), Value::Bool(true));
        assert_eq!(plain("FALSE"), Value::Bool(false));
        assert_eq!(plain("tRUE"), Value::Text("tRUE".to_owned()));
    }
}
