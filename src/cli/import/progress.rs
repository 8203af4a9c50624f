//! What is shown while it runs: a bar on a terminal, else a line now and then.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Progress {
    bar: ProgressBar,
    bytes: u64,
    told: Instant,
    begun: Instant,
    first: u64,
}

impl Progress {
    /// Of a file of so many bytes, of which `lines` lines were dealt with before.
    pub fn of(bytes: u64, lines: u64) -> Self {
        let bar = if io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{bar:32} {percent:>3} %  {msg}  {eta} left")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr()).with_style(style)
        } else {
            ProgressBar::hidden()
        };
        let now = Instant::now();
        Self { bar, bytes, told: now, begun: now, first: lines }
    }

    pub fn tell(&mut self, bytes: u64, lines: u64, err: &mut dyn Write) -> io::Result<()> {
        let rate = rate(lines - self.first, self.begun.elapsed());
        self.bar.set_position(bytes);
        self.bar.set_message(format!("{} lines, {}/s", grouped(lines), grouped(rate)));
        if self.bar.is_hidden() && self.told.elapsed() >= LINE_EVERY {
            self.told = Instant::now();
            let percent = bytes.saturating_mul(100) / self.bytes.max(1);
            writeln!(err, "{} lines, {percent} %, {}/s", grouped(lines), grouped(rate))?;
        }
        Ok(())
    }

    /// A complaint, without tearing the bar.
    pub fn around<T>(&self, complain: impl FnOnce() -> T) -> T {
        self.bar.suspend(complain)
    }

    pub fn end(&self) -> Duration {
        self.bar.finish_and_clear();
        self.begun.elapsed()
    }
}

pub(super) fn rate(lines: u64, took: Duration) -> u64 {
    let ms = took.as_millis().max(1);
    u64::try_from(u128::from(lines) * 1_000 / ms).unwrap_or(u64::MAX)
}

/// `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_told_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
