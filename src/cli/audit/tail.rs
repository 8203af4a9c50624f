//! `quotagate audit tail`: the last changes, a line each, for people at a terminal.

use crate::cli::data::DataFolder;
use crate::cli::{Failure, Streams};
use crate::store::StoreError;
use crate::store::embedded::{JournalEntry, JournalReader};
use jiff::Timestamp;
use std::time::Duration;

/// How often it is looked for more.
const EVERY: Duration = Duration::from_millis(250);
/// Subjects of one change that are named.
const MAX_SUBJECTS: usize = 4;

/// Print the last changes: when, which, by whom, what, to what, and the id of the request
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 20)]
    lines: u64,
    /// Go on with each change as it is made, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
}

pub(super) fn run(args: &Args, data: &DataFolder, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let failed = |error: StoreError| data.failed(&error, "");
    let mut reader = JournalReader::before_last(&data.path, args.lines).map_err(failed)?;
    loop {
        let mut output = None;
        let read = reader.read(&mut |entry| {
            writeln!(streams.out, "{}", line(entry)).map_err(|error| {
                output = Some(error);
                StoreError::Closed
            })
        });
        match output {
            Some(error) => return Err(Failure::Output(error)),
            None => read.map_err(failed)?,
        }
        streams.out.flush()?;
        if !args.follow {
            return Ok(());
        }
        std::thread::sleep(EVERY);
    }
}

fn line(entry: &JournalEntry<'_>) -> String {
    let Some((at_ms, audit)) = entry.audit() else {
        return format!("{:>6}  (a change that this version does not read)", entry.seq);
    };
    let at = Timestamp::from_millisecond(at_ms)
        .map_or_else(|_| format!("{at_ms} ms"), |at| at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string());
    let actor = format!("{}:{}", audit.actor_kind.as_str(), audit.actor);
    let mut subject = audit.subject.iter().take(MAX_SUBJECTS).cloned().collect::<Vec<_>>().join(" ");
    if let Some(more @ 1..) = audit.subject.len().checked_sub(MAX_SUBJECTS) {
        subject.push_str(&format!(" and {more} more"));
    }
    let request = audit.origin.request_id.unwrap_or_else(|| "-".to_owned());
    shown(&format!("{at}  {:>6}  {actor:<24}  {:<22}  {subject}  {request}", entry.seq, audit.action))
}

/// What others have chosen cannot move the cursor or colour the terminal.
fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_mark_of_direction(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    shown
}

fn is_mark_of_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_line_is_an_order_to_the_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb\u{202e}c\n"), "a\\u{1b}[2Jb\\u{202e}c\\u{a}");
        assert_eq!(shown("账户:acme"), "账户:acme");
    }
}
