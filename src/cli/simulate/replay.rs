//! Runs the lines of a trace one after the other.

use super::super::Failure;
use super::options::{self, Caller};
use super::sink::Sink;
use super::{Args, Trace};
use crate::simulate::azure::{HEADER, Rows};
use crate::simulate::trace::AccountOp;
use crate::simulate::{BadLine, Comparison, Event, LineError, Lines, Op, Runner, Series, Summary};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal, Write};

/// From here on a trace is long enough for a progress bar.
const LONG_TRACE_BYTES: u64 = 32 << 20;
/// Lines between two looks at the progress bar.
const LINES_A_TICK: u64 = 1 << 14;

/// What a trace came to.
pub(super) struct Ran {
    pub summary: Summary,
    pub comparison: Option<Comparison>,
    /// Only where there is to be a report.
    pub series: Option<Series>,
    /// Only of a CSV trace.
    pub caller: Option<Caller>,
    /// Name of the policy at the start.
    pub policy: String,
}

/// A run that has not started.
pub(super) struct Replay<'a> {
    args: &'a Args,
    runner: Runner,
    ran: Ran,
}

/// Why a run stopped before its end.
enum Stop {
    Bad(BadLine),
    Failed(Failure),
}

impl From<BadLine> for Stop {
    fn from(bad: BadLine) -> Self {
        Self::Bad(bad)
    }
}

impl From<LineError> for Stop {
    fn from(error: LineError) -> Self {
        match error {
            LineError::Bad(bad) => Self::Bad(bad),
            error @ LineError::Unreadable(_) => Self::Failed(Failure::Unreadable(error.to_string())),
        }
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Failed(Failure::Output(error))
    }
}

/// How a line becomes an event.
enum Reading {
    JsonLines,
    Azure(Box<Rows>),
}

impl<'a> Replay<'a> {
    pub(super) fn new(args: &'a Args, runner: Runner, other: Option<Runner>) -> Self {
        let policy = runner.engine().snapshot().policy.name.clone();
        let ran = Ran {
            summary: Summary::default(),
            comparison: other.map(Comparison::with),
            series: args.report.is_some().then(Series::default),
            caller: None,
            policy,
        };
        Self { args, runner, ran }
    }

    /// Runs all of a trace; a bad line's complaint goes to `err`.
    pub(super) fn run(mut self, trace: Trace, mut sink: Sink<'_>, err: &mut dyn Write) -> Result<Ran, Failure> {
        let progress = progress(trace.bytes);
        let mut lines = Lines::new(trace.source);
        let done = self.lines(&mut lines, &mut sink, &progress);
        progress.finish_and_clear();
        // What was answered before a bad line stays.
        let written = sink.finish().map_err(Stop::from);
        let done = done.and(written);
        match done {
            Ok(()) => Ok(self.ran),
            Err(Stop::Failed(failure)) => Err(failure),
            Err(Stop::Bad(bad)) => {
                writeln!(err, "{}:{}: {bad}", self.args.trace.display(), lines.read())?;
                let events = self.ran.summary.events;
                let plural = if events == 1 { "event was" } else { "events were" };
                Err(Failure::BadInput(format!("stopped at a bad line; {events} {plural} run")))
            }
        }
    }

    fn lines(
        &mut self,
        lines: &mut Lines<Box<dyn io::BufRead>>,
        sink: &mut Sink<'_>,
        progress: &ProgressBar,
    ) -> Result<(), Stop> {
        let mut reading = None;
        while let Some(line) = lines.next_line()? {
            let reading = match &mut reading {
                Some(reading) => reading,
                unknown if line.text == HEADER => {
                    *unknown = Some(self.read_csv().map_err(Stop::Failed)?);
                    continue;
                }
                unknown => {
                    options::no_caller(self.args).map_err(Stop::Failed)?;
                    unknown.insert(Reading::JsonLines)
                }
            };
            let event = match reading {
                Reading::JsonLines => Event::parse(line.text)?,
                Reading::Azure(rows) => {
                    let event = rows.event(line.text)?;
                    self.open_account(event.at_ms)?;
                    event
                }
            };
            self.event(line.number, event, sink)?;
            if line.number % LINES_A_TICK == 0 {
                progress.set_position(lines.bytes());
                progress.set_message(format!("{} events", self.ran.summary.events));
            }
        }
        Ok(())
    }

    fn read_csv(&mut self) -> Result<Reading, Failure> {
        let caller = options::caller(self.args, &self.runner.engine().snapshot().policy)?;
        let rows = Rows::new(caller.account.clone(), caller.resource.clone());
        self.ran.caller = Some(caller);
        Ok(Reading::Azure(Box::new(rows)))
    }

    /// The account of a CSV trace is made at the time of its first row.
    fn open_account(&mut self, at_ms: i64) -> Result<(), BadLine> {
        let Some(caller) = self.ran.caller.as_ref().filter(|_| self.ran.summary.events == 0) else { return Ok(()) };
        let event = Event {
            at_ms,
            op: Op::Account(AccountOp {
                account: caller.account.clone(),
                tier: caller.tier.clone(),
                parent: None,
                suspended: None,
                caps: None,
            }),
        };
        self.runner.event(0, event.clone())?;
        if let Some(comparison) = &mut self.ran.comparison {
            comparison.prepare(event, &self.runner);
        }
        Ok(())
    }

    fn event(&mut self, number: u64, event: Event<'_>, sink: &mut Sink<'_>) -> Result<(), Stop> {
        let again = self.ran.comparison.is_some().then(|| event.clone());
        let answer = self.runner.event(number, event)?;
        self.ran.summary.observe(&answer);
        if let Some(series) = &mut self.ran.series {
            series.observe(&answer);
        }
        if let Some(buffer) = sink.buffer() {
            answer.append_to(buffer);
            sink.write_full()?;
        }
        if let (Some(comparison), Some(event)) = (&mut self.ran.comparison, again) {
            comparison.observe(event, &self.runner, &answer);
        }
        Ok(())
    }
}

/// A bar on a terminal where the trace is long, else one that is not drawn.
fn progress(bytes: Option<u64>) -> ProgressBar {
    let Some(bytes) = bytes.filter(|bytes| *bytes >= LONG_TRACE_BYTES && io::stderr().is_terminal()) else {
        return ProgressBar::hidden();
    };
    let style = ProgressStyle::with_template("{bar:32} {percent:>3} %  {msg}  {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr()).with_style(style)
}
