//! The Azure LLM inference traces: comma-separated rows of a time and two token counts.

use super::trace::{BadLine, DecideOp, Event, Op};
use crate::domain::ids::{AccountId, ResourceName};
use crate::domain::quantity::{Amount, MAX_TIME_MS};
use csv_core::ReadRecordResult;
use jiff::{Timestamp, civil, tz::Offset};
use std::borrow::Cow;

/// The first line by which such a trace is known.
pub const HEADER: &str = "TIMESTAMP,ContextTokens,GeneratedTokens";
const COLUMNS: usize = 3;
/// Three fields of the longest kind, with room to name a wrong one.
const MAX_ROW_BYTES: usize = 256;

/// Reads rows as requests of one account for one resource.
pub struct Rows {
    account: AccountId,
    resource: ResourceName,
    reader: csv_core::Reader,
}

impl Rows {
    #[must_use]
    pub fn new(account: AccountId, resource: ResourceName) -> Self {
        Self { account, resource, reader: csv_core::Reader::new() }
    }

    /// One row as an event.
    ///
    /// Errors: the row has other columns, or one of them is no time or no count.
    pub fn event(&mut self, row: &str) -> Result<Event<'_>, BadLine> {
        if row.trim().is_empty() {
            return Err(BadLine::new("the line is blank"));
        }
        let mut room = [0; MAX_ROW_BYTES];
        let [time, context, generated] = fields(&mut self.reader, row, &mut room)?;
        let tokens = count("ContextTokens", context)? + count("GeneratedTokens", generated)?;
        let tokens = Amount::new(tokens).map_err(|error| BadLine::new(format!("tokens: {error}")))?;
        Ok(Event {
            at_ms: at_ms(time)?,
            op: Op::Decide(DecideOp {
                account: Cow::Borrowed(self.account.as_str()),
                resource: Cow::Borrowed(self.resource.as_str()),
                requests: 1,
                tokens: tokens.get(),
                units: Vec::new(),
                dry_run: false,
                reserve: None,
            }),
        })
    }
}

/// The lines come one by one, bounded and counted, so the csv crate's own reader, which skips blank ones, is not used.
fn fields<'r>(
    reader: &mut csv_core::Reader,
    row: &str,
    room: &'r mut [u8; MAX_ROW_BYTES],
) -> Result<[&'r str; COLUMNS], BadLine> {
    // One more than there should be, so that a fourth column is noticed.
    let mut ends = [0; COLUMNS + 1];
    reader.reset();
    let (first, _, written, ended) = reader.read_record(row.as_bytes(), room, &mut ends);
    let (result, ended) = match first {
        // An empty input tells the reader that the row is over.
        ReadRecordResult::InputEmpty => {
            let (result, _, _, more) = reader.read_record(&[], &mut room[written..], &mut ends[ended..]);
            (result, ended + more)
        }
        other => (other, ended),
    };
    match result {
        ReadRecordResult::Record if ended == COLUMNS => {}
        ReadRecordResult::OutputFull => {
            return Err(BadLine::new(format!("the row is longer than {MAX_ROW_BYTES} bytes")));
        }
        _ => return Err(BadLine::new(format!("not a row of {COLUMNS} columns: {HEADER}"))),
    }
    let text =
        |from: usize, to: usize| std::str::from_utf8(&room[from..to]).map_err(|_| BadLine::new("the row is not UTF-8"));
    Ok([text(0, ends[0])?, text(ends[0], ends[1])?, text(ends[1], ends[2])?])
}

fn count(column: &str, text: &str) -> Result<u64, BadLine> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse::<u64>()
        .ok()
        .filter(|_| digits)
        .and_then(|count| Amount::new(count).ok())
        .map(Amount::get)
        .ok_or_else(|| BadLine::new(format!("{column}: `{}` is not an integer from 0 to 10^15", text.escape_debug())))
}

/// A time with or without an offset; without one it is UTC. What is finer than a millisecond is cut off.
fn at_ms(text: &str) -> Result<i64, BadLine> {
    let bad = || {
        BadLine::new(format!(
            "TIMESTAMP: `{}` is not a time from 1970 to 9999, such as `2023-11-16 18:17:03.9799600`",
            text.escape_debug()
        ))
    };
    // jiff takes more than a date with a time: a date alone, weeks, an annotation.
    let plain = |byte: u8| byte.is_ascii_digit() || b"-: .TtZz+".contains(&byte);
    if text.len() < "2023-11-16 18:17:03".len() || !text.bytes().all(plain) {
        return Err(bad());
    }
    let time = match text.parse::<civil::DateTime>() {
        Ok(time) if !has_offset(text) => Offset::UTC.to_timestamp(time).ok(),
        _ => text.parse::<Timestamp>().ok(),
    };
    let time = time.filter(|time| *time >= Timestamp::UNIX_EPOCH).ok_or_else(bad)?;
    Some(time.as_millisecond()).filter(|ms| *ms <= MAX_TIME_MS).ok_or_else(bad)
}

fn has_offset(text: &str) -> bool {
    text.bytes().skip("2023-11-16".len()).any(|byte| b"+-Zz".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        Rows::new(AccountId::parse("trace").unwrap(), ResourceName::parse("m").unwrap())
    }

    fn read(row: &str) -> Result<(i64, u64), String> {
        match rows().event(row).map_err(|error| error.to_string())? {
            Event { at_ms, op: Op::Decide(decide) } => Ok((at_ms, decide.tokens)),
            event => panic!("{event:?}"),
        }
    }

    #[test]
    fn a_row_is_a_request_with_both_counts_as_tokens() {
        let expected = Ok((1_700_158_623_979, 4_818));

        for row in [
            "2023-11-16 18:17:03.9799600,4808,10",
            "2023-11-16 18:17:03.9799600+00:00,4808,10",
            "2023-11-16T18:17:03.979Z,4808,10",
            "2023-11-17 02:17:03.9799999+08:00,4808,10",
            "\"2023-11-16 18:17:03.979\",\"4808\",10",
        ] {
            assert_eq!(read(row), expected, "{row}");
        }
        assert_eq!(read("1970-01-01 00:00:00,0,0"), Ok((0, 0)));
    }

    #[test]
    fn a_malformed_row_is_a_bad_line() {
        for (row, why) in [
            ("", "the line is blank"),
            ("2023-11-16 18:17:03,1", "not a row of 3 columns"),
            ("2023-11-16 18:17:03,1,2,3", "not a row of 3 columns"),
            ("2023-11-16 18:17:03,1,2,3,4", "not a row of 3 columns"),
            ("\"2023-11-16 18:17:03,1,2", "not a row of 3 columns"),
            ("2023-11-16 18:17:03,-1,2", "ContextTokens: `-1` is not"),
            ("2023-11-16 18:17:03,1,+2", "GeneratedTokens: `+2` is not"),
            ("2023-11-16 18:17:03,1,", "GeneratedTokens: `` is not"),
            ("2023-11-16 18:17:03,1000000000000000,1", "tokens: `1000000000000001` is not an amount"),
            ("2023-11-16 18:17:03,1,1.0", "GeneratedTokens: `1.0` is not"),
            ("2023-11-16,1,2", "TIMESTAMP: `2023-11-16` is not a time"),
            ("2023-13-16 18:17:03,1,2", "TIMESTAMP: `2023-13-16 18:17:03` is not"),
            ("1969-12-31 23:59:59.9999,1,2", "TIMESTAMP: `1969-12-31 23:59:59.9999` is not"),
            ("2023-11-16 18:17:03[UTC],1,2", "TIMESTAMP: `2023-11-16 18:17:03[UTC]` is not"),
            (&"9".repeat(300), "the row is longer than 256 bytes"),
        ] {
            let error = read(row).unwrap_err();
            assert!(error.starts_with(why), "{row}: {error}");
        }
    }
}
