//! `quotagate simulate`: a trace through the engine, with the answers, a summary and a report.

mod options;
mod replay;
mod report;
mod sink;
mod table;
mod text;

use super::{Failure, Streams, input, policy};
use crate::domain::policy::Policy;
use crate::policy::{Finding, parse};
use crate::simulate::Runner;
use replay::{Ran, Replay};
use sink::Sink;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write, stdin};
use std::path::{Path, PathBuf};

const READ_AHEAD_BYTES: usize = 1 << 18;

/// Run a trace through the engine with the trace's own clock
///
/// A trace is JSON Lines, one event a line with its time `at_ms` (accounts, top-ups, decides, settles and more), or CSV
/// with the columns TIMESTAMP,ContextTokens,GeneratedTokens, where each row is a request of one account for one
/// resource. It is streamed, so it may be as long as it likes.
///
/// Exit code 0: all events were run. 2: a bad line, told as `FILE:LINE: what is wrong` (answers written before it stay),
/// a bad policy, or a file that cannot be read or written.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quotagate simulate --policy policies/minimax.yaml --trace tests/data/AzureLLMInferenceTrace_code.csv \\
      --resource MiniMax-M2 --tier free --report out/free.html
    a free account's hour of real LLM requests, with plots

  quotagate simulate --policy now.yaml --compare planned.yaml --trace day.jsonl --decisions - > day.decisions.jsonl
    one answer a line, and who would newly be denied or allowed")]
pub(super) struct Args {
    /// The policy in force, YAML or JSON
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The trace, JSON Lines or CSV; `-` is standard input
    #[arg(long, value_name = "FILE")]
    trace: PathBuf,
    /// Write one answer a line; `-` is standard output (the summary then goes to standard error)
    #[arg(long, value_name = "OUT.jsonl")]
    decisions: Option<PathBuf>,
    /// Write one HTML file with plots
    #[arg(long, value_name = "OUT.html")]
    report: Option<PathBuf>,
    /// Run the trace under this policy too, and tell what would change; `policy` events do not reach that run
    #[arg(long, value_name = "OTHER_POLICY")]
    compare: Option<PathBuf>,
    /// CSV: the account that makes the requests [default: trace]
    #[arg(long, value_name = "A")]
    account: Option<String>,
    /// CSV: its tier [default: the policy's default tier]
    #[arg(long, value_name = "T")]
    tier: Option<String>,
    /// CSV: what is requested
    #[arg(long, value_name = "R")]
    resource: Option<String>,
    /// How to summarise: text for people, json for programs
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<(), Failure> {
    options::check_files(args)?;
    let base = match args.trace.parent() {
        Some(folder) if !is_standard(&args.trace) => folder.to_path_buf(),
        _ => PathBuf::new(),
    };
    let runner = Runner::new(valid(&args.policy, streams)?).with_base(base);
    let other = args.compare.as_deref().map(|file| valid(file, streams)).transpose()?.map(Runner::new);
    let trace = open(&args.trace)?;
    let replay = Replay::new(args, runner, other);
    let mut file = args.decisions.as_deref().filter(|file| !is_standard(file)).map(create).transpose()?;
    let to = match &mut file {
        Some(file) => Some(file as &mut dyn Write),
        None => args.decisions.as_ref().map(|_| &mut *streams.out as &mut dyn Write),
    };
    let ran = replay.run(trace, Sink::new(to), streams.err)?;
    if let Some(file) = &args.report {
        let page = report::page(args, &ran).map_err(|why| Failure::BadInput(format!("cannot draw a plot: {why}")))?;
        std::fs::write(file, page).map_err(|error| unwritable(file, &error))?;
    }
    summarise(args, &ran, streams)
}

fn summarise(args: &Args, ran: &Ran, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let to_stdout = !args.decisions.as_deref().is_some_and(is_standard);
    let to: &mut dyn Write = if to_stdout { streams.out } else { streams.err };
    let mut to = BufWriter::new(to);
    match args.format {
        Format::Text => table::print(args, ran, &mut to)?,
        Format::Json => writeln!(to, "{:#}", table::json(args, ran))?,
    }
    Ok(to.flush()?)
}

fn is_standard(file: &Path) -> bool {
    file == Path::new("-")
}

fn open(file: &Path) -> Result<Trace, Failure> {
    if is_standard(file) {
        return Ok(Trace { source: Box::new(stdin().lock()), bytes: None });
    }
    let unreadable = |error| Failure::Unreadable(format!("cannot read `{}`: {error}", file.display()));
    let opened = File::open(file).map_err(unreadable)?;
    let about = opened.metadata().map_err(unreadable)?;
    if about.is_dir() {
        return Err(Failure::Unreadable(format!("cannot read `{}`: it is a folder", file.display())));
    }
    let bytes = about.is_file().then_some(about.len());
    Ok(Trace { source: Box::new(BufReader::with_capacity(READ_AHEAD_BYTES, opened)), bytes })
}

/// A trace that can be read from its start.
struct Trace {
    source: Box<dyn BufRead>,
    /// None where it is not known how long it is.
    bytes: Option<u64>,
}

/// The policy in a file, with its errors printed where it has some.
fn valid(file: &Path, streams: &mut Streams<'_>) -> Result<Policy, Failure> {
    match parse(&input::read(file)?) {
        Ok(parsed) => Ok(parsed.policy),
        Err(errors) => Err(invalid(file, &errors, streams)?),
    }
}

fn invalid(file: &Path, errors: &[Finding], streams: &mut Streams<'_>) -> Result<Failure, Failure> {
    policy::print(file, errors, streams)?;
    Ok(Failure::BadInput(format!("`{}` is not a valid policy", file.display())))
}

fn create(file: &Path) -> Result<File, Failure> {
    File::create(file).map_err(|error| unwritable(file, &error))
}

fn unwritable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::BadInput(format!("cannot write `{}`: {error}", file.display()))
}
