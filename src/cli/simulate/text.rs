//! Shares, times and waits for people.

use jiff::Timestamp;
use std::path::Path;

/// A file by its name alone.
pub(super) fn file(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).display().to_string()
}

/// A share in percent with one decimal, rounded; empty where there is no whole.
pub(super) fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return String::new();
    }
    let whole = u128::from(whole);
    let tenths = (u128::from(part) * 2_000 + whole) / (whole * 2);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// `2023-11-16 18:17:03Z`, with milliseconds where they are not 0.
pub(super) fn time(ms: i64) -> String {
    let Ok(time) = Timestamp::from_millisecond(ms) else { return format!("{ms} ms") };
    let format = if ms % 1_000 == 0 { "%Y-%m-%d %H:%M:%SZ" } else { "%Y-%m-%d %H:%M:%S%.3fZ" };
    time.strftime(format).to_string()
}

/// `20 ms`, `3.500 s`, `2 min 5 s`, `3 h 4 min`, `2 d 3 h`.
pub(super) fn wait(ms: i64) -> String {
    let of = |large: i64, small: i64, names: (&str, &str)| match ms % large / small {
        0 => format!("{} {}", ms / large, names.0),
        rest => format!("{} {} {rest} {}", ms / large, names.0, names.1),
    };
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..60_000 if ms % 1_000 == 0 => format!("{} s", ms / 1_000),
        1_000..60_000 => format!("{}.{:03} s", ms / 1_000, ms % 1_000),
        60_000..3_600_000 => of(60_000, 1_000, ("min", "s")),
        3_600_000..86_400_000 => of(3_600_000, 60_000, ("h", "min")),
        _ => of(86_400_000, 3_600_000, ("d", "h")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_to_a_decimal() {
        assert_eq!(share(1, 3), "33.3 %");
        assert_eq!(share(2, 3), "66.7 %");
        assert_eq!(share(3, 3), "100.0 %");
        assert_eq!(share(0, 0), "");
    }

    #[test]
    fn times_and_waits_read_as_people_write_them() {
        assert_eq!(time(1_700_158_623_979), "2023-11-16 18:17:03.979Z");
        assert_eq!(time(0), "1970-01-01 00:00:00Z");
        for (ms, text) in [
            (1, "1 ms"),
            (3_000, "3 s"),
            (59_980, "59.980 s"),
            (60_000, "1 min"),
            (125_000, "2 min 5 s"),
            (11_040_000, "3 h 4 min"),
            (183_600_000, "2 d 3 h"),
        ] {
            assert_eq!(wait(ms), text);
        }
    }
}
