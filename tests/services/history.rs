//! The history against a recount of every decision.

use crate::harness::{Plane, START, account, id, key};
use quotagate::domain::history::{Peak, Tally};
use quotagate::domain::quantity::Quota;
use quotagate::engine::{Amounts, Costs, Options, Request, Reserve};
use quotagate::services::evidence;
use quotagate::services::history::{self, Point, Range, Step, Summary, TopBy};
use quotagate::store::HistoryStore;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const INTERVAL: Duration = Duration::from_secs(5);

const POLICY: &str = r#"
schema: quotagate.policy/v1
name: history
tiers: [{id: free}]
default_tier: free
groups:
  - id: text
    resources: [m]
    limits:
      - {id: rpm, unit: requests, window: 1m, quotas: {free: 5}}
      - {id: tpm, unit: tokens, window: 1m, quotas: {free: 2000}}
  - id: own
    share: resource
    resources: [a, b]
    limits:
      - {id: rpm, unit: requests, window: 1m, algorithm: token_bucket, quotas: {free: 6}, burst: {free: 3}}
      - {id: rph, unit: requests, window: 1h, algorithm: fixed_window, quotas: {free: 100}}
"#;

const LIMITS: [(&str, &str, usize); 4] = [("text", "rpm", 0), ("text", "tpm", 1), ("own", "rpm", 0), ("own", "rph", 1)];

fn plane() -> Plane {
    let plane = Plane::bounded(Options { most_accounts: 1_000, history: true, ..Options::default() });
    plane.publish(POLICY).unwrap();
    plane.create("acme");
    plane
}

/// The minutes of every limit of every account, kept by the test: (account, group, limit), then minute.
type Recount = BTreeMap<(String, &'static str, &'static str), BTreeMap<i64, Tally>>;

struct Month {
    plane: Plane,
    random: StdRng,
    recount: Recount,
    /// With how many tokens each is open.
    open: Vec<(&'static str, quotagate::engine::Handle, u64)>,
}

impl Month {
    fn note(&mut self, account: &str, of: (&'static str, &'static str), add: &Tally) {
        let minutes = self.recount.entry((account.to_owned(), of.0, of.1)).or_default();
        minutes.entry(self.plane.now.div_euclid(MINUTE)).or_insert(Tally::NONE).add(add);
    }

    /// One decision, noted by what the answer says.
    fn decide(&mut self) {
        let account = ["acme", "beta", "gamma"][self.random.random_range(0..3)];
        let (resource, group) = [("m", "text"), ("a", "own"), ("b", "own")][self.random.random_range(0..3)];
        let tokens = self.random.random_range(1..900);
        let costs = Costs::new(1, tokens, []);
        let reserve = (group == "text" && self.random.random_range(0..3) == 0).then(Reserve::default);
        let request = Request { account, resource, costs: &costs, reserve, dry_run: false };
        let decided = self.plane.engine().decide(&request, self.plane.now).unwrap();
        for (group, limit, index) in LIMITS.into_iter().filter(|(of, ..)| *of == group) {
            let state = &decided.limits[index];
            let quota = state.burst.map_or(state.quota, |burst| Quota::Units(burst as u64));
            let cost = if limit == "tpm" { tokens as i64 } else { 1 };
            let add = Tally {
                admitted: if decided.allowed() { cost } else { 0 },
                denied: u64::from(state.refuses),
                peak: Peak { used: state.used as u64, quota },
            };
            self.note(account, (group, limit), &add);
        }
        self.open.extend(decided.reservation.map(|held| (account, held.handle, tokens)));
    }

    fn settle(&mut self) {
        let Some((account, handle, tokens)) = self.open.pop() else { return };
        let truth = self.random.random_range(0..1_500);
        let Ok(ended) = self.plane.engine().settle(&handle, &Amounts::new(None, Some(truth), []), self.plane.now)
        else {
            return;
        };
        if truth != tokens {
            let state = &ended.limits[1];
            let peak = Peak { used: state.used as u64, quota: state.quota };
            let add = Tally { admitted: truth as i64 - tokens as i64, denied: 0, peak };
            self.note(account, ("text", "tpm"), &add);
        }
    }

    /// A month of bursts and quiet hours, flushed and tidied between, stopped and started now and then.
    fn live(mut self) -> Self {
        let end = START + 30 * DAY;
        while self.plane.now < end {
            for _ in 0..self.random.random_range(1..12) {
                self.decide();
                if self.random.random_range(0..4) == 0 {
                    self.settle();
                }
                self.plane.now += self.random.random_range(0..9_000);
            }
            self.plane.history.write(self.plane.now, INTERVAL).unwrap();
            while self.plane.history.tidy(self.plane.now).unwrap() {}
            let quiet = self.random.random_range(0..100);
            self.plane.now += match quiet {
                0..80 => self.random.random_range(0..90 * MINUTE),
                80..99 => self.random.random_range(0..8 * HOUR),
                _ => 2 * DAY,
            };
            if self.random.random_range(0..60) == 0 {
                self.plane.flush();
                self.plane.history.write_all().unwrap();
                self.plane = self.plane.restart();
            }
        }
        self
    }
}

fn read(plane: &Plane, account_id: &str, of: (&str, &str), range: (i64, i64), step: &str) -> Vec<Point> {
    let (from_ms, to_ms) = range;
    let range = Range { group: id(of.0), limit: id(of.1), from_ms, to_ms, step: Step::parse(step).unwrap() };
    history::read(&plane.services, &account(account_id), &range).unwrap().points
}

/// The points of a recount, by steps.
fn points(minutes: &BTreeMap<i64, Tally>, (from, to): (i64, i64), step: i64) -> Vec<Point> {
    let mut spans: BTreeMap<i64, Vec<(i64, Tally)>> = BTreeMap::new();
    for (minute, tally) in minutes.range(from / MINUTE..to / MINUTE) {
        spans.entry((minute * MINUTE).div_euclid(step) * step).or_default().push((*minute, *tally));
    }
    let at_least = |minutes: &[(i64, Tally)], tenths: u128| {
        let reached = |peak: Peak| {
            peak.quota.units().is_some_and(|quota| u128::from(peak.used) * 10 >= u128::from(quota) * tenths)
        };
        minutes.iter().filter(|(_, tally)| reached(tally.peak)).count() as u64
    };
    let point = |(from_ms, minutes): (i64, Vec<(i64, Tally)>)| {
        let mut best = (minutes[0].0, minutes[0].1.peak);
        for (minute, tally) in &minutes {
            if tally.peak > best.1 {
                best = (*minute, tally.peak);
            }
        }
        Point {
            from_ms,
            admitted: minutes.iter().map(|(_, tally)| tally.admitted).sum::<i64>().max(0) as u64,
            denied: minutes.iter().map(|(_, tally)| tally.denied).sum(),
            peak: best.1,
            peak_ms: best.0 * MINUTE,
            minutes_at_80: at_least(&minutes, 8),
            minutes_at_100: at_least(&minutes, 10),
        }
    };
    spans.into_iter().map(point).collect()
}

/// The value that so many percent of all are not above.
fn percentile(mut values: Vec<u64>, percent: usize) -> u64 {
    values.sort_unstable();
    values[(values.len() * percent).div_ceil(100).max(1) - 1]
}

#[test]
fn a_month_of_history_equals_a_recount_of_its_decisions() {
    let plane = plane();
    plane.create("beta");
    plane.create("gamma");
    let month = Month { plane, random: StdRng::seed_from_u64(11), recount: Recount::new(), open: Vec::new() }.live();
    let (plane, recount) = (&month.plane, &month.recount);
    let end = plane.now.div_euclid(DAY) * DAY + DAY;
    let (begin, recent) = (START.div_euclid(DAY) * DAY, plane.now.div_euclid(HOUR) * HOUR - 47 * HOUR);

    assert_eq!(recount.len(), 12);
    for ((id, group, limit), minutes) in recount {
        let of = (*group, *limit);
        assert!(minutes.len() > 150, "{}", minutes.len());
        for (range, step, ms) in [
            ((begin, end), "1h", HOUR),
            ((begin, end), "1d", DAY),
            ((begin, end), "30d", 30 * DAY),
            ((recent, recent + 48 * HOUR), "1m", MINUTE),
            ((recent, recent + 48 * HOUR), "15m", 15 * MINUTE),
        ] {
            let range = if ms > DAY { (begin.div_euclid(ms) * ms, end) } else { range };
            assert_eq!(read(plane, id, of, range, step), points(minutes, range, ms), "{id} {of:?} {step}");
        }
        let sum = history::summary(&plane.services, &account(id), &key(group, limit), (begin, end)).unwrap();
        compare(&sum, minutes, (begin, end));
    }
}

fn compare(sum: &Summary, minutes: &BTreeMap<i64, Tally>, range: (i64, i64)) {
    let whole = &points(minutes, range, 1 << 50)[0];
    assert_eq!((sum.admitted, sum.denied), (whole.admitted, whole.denied));
    assert_eq!(sum.peak, Some((whole.peak_ms, whole.peak)));
    assert_eq!((sum.minutes_at_80, sum.minutes_at_100), (whole.minutes_at_80, whole.minutes_at_100));
    assert_eq!(sum.active_minutes, minutes.len() as u64);
    let admitted: Vec<u64> = minutes.values().map(|tally| tally.admitted.max(0) as u64).collect();
    let utilisation: Vec<u64> = minutes.values().filter_map(|tally| tally.peak.utilisation()).map(u64::from).collect();
    let within = |said: u64, exact: u64| assert!(said <= exact && exact - said <= said / 8 + 1, "{said} for {exact}");
    within(sum.admitted_p95, percentile(admitted.clone(), 95));
    within(sum.admitted_p99, percentile(admitted, 99));
    within(sum.utilisation_p95.unwrap().into(), percentile(utilisation.clone(), 95));
    within(sum.utilisation_p99.unwrap().into(), percentile(utilisation, 99));
    let in_weeks = |of: &dyn Fn(&history::Week) -> u64| sum.weeks.iter().map(of).sum::<u64>();
    assert_eq!((in_weeks(&|week| week.admitted), in_weeks(&|week| week.denied)), (sum.admitted, sum.denied));
    assert!(sum.weeks.windows(2).all(|pair| pair[0].to_ms == pair[1].from_ms));
    assert_eq!((sum.weeks[0].from_ms, sum.weeks.last().unwrap().to_ms), range);
}

/// How many hours are stored, and of how many the minutes still are.
fn stored(plane: &Plane) -> (usize, usize) {
    let all = plane.store.scan_history(&[], &[0xFF], 1_000).unwrap();
    (all.len(), all.iter().filter(|(_, value)| value[0] == 1).count())
}

#[test]
fn minutes_are_kept_for_two_days_and_hours_for_ninety() {
    let mut plane = plane();
    plane.now = START.div_euclid(HOUR) * HOUR;
    let begun = plane.now;
    for _ in 0..60 {
        assert_eq!(plane.allowed("acme", "m", 1), 1);
        plane.now += HOUR;
    }
    plane.history.write_all().unwrap();

    while plane.history.tidy(plane.now).unwrap() {}
    assert_eq!(stored(&plane), (60, 48));
    plane.now = begun + 90 * DAY + 10 * HOUR;
    while plane.history.tidy(plane.now).unwrap() {}
    assert_eq!(stored(&plane), (50, 0));
    plane.now += 60 * DAY;
    while plane.history.tidy(plane.now).unwrap() {}
    assert_eq!(stored(&plane), (0, 0));
}

#[test]
fn a_minute_that_goes_on_after_a_stop_is_added_to_and_a_kill_loses_the_present_one_only() {
    let mut plane = plane();
    plane.now = START.div_euclid(HOUR) * HOUR;
    let range = (plane.now, plane.now + HOUR);
    let admitted = |plane: &Plane| {
        let points = read(plane, "acme", ("text", "rpm"), range, "1m");
        points.iter().map(|point| point.admitted).collect::<Vec<_>>()
    };
    assert_eq!(plane.allowed("acme", "m", 2), 2);
    plane.history.write_all().unwrap();
    let mut plane = plane.restart();
    assert_eq!(plane.allowed("acme", "m", 1), 1);
    assert_eq!(admitted(&plane), [3]);
    plane.now += MINUTE;
    assert_eq!(plane.allowed("acme", "m", 1), 1);
    plane.history.write(plane.now, INTERVAL).unwrap();
    assert_eq!(admitted(&plane), [3, 1]);

    let plane = plane.after_kill();

    assert_eq!(admitted(&plane), [3]);
}

#[test]
fn a_sub_accounts_requests_are_in_its_main_accounts_history() {
    let plane = plane();
    plane.create_sub("acme", "acme-eu");
    assert_eq!(plane.allowed("acme-eu", "m", 7), 5);

    let range = (plane.now - HOUR, plane.now + HOUR);
    let own = read(&plane, "acme", ("text", "rpm"), range, "1h");

    assert_eq!((own[0].admitted, own[0].denied, own[0].minutes_at_100), (5, 2, 1));
    assert_eq!(read(&plane, "acme-eu", ("text", "rpm"), range, "1h"), own);
}

#[test]
fn a_range_with_too_many_points_is_refused_and_so_is_an_empty_one() {
    let plane = plane();
    let ask = |from_ms, to_ms, step| {
        let range = Range { group: id("text"), limit: id("rpm"), from_ms, to_ms, step: Step::parse(step).unwrap() };
        crate::harness::refused(history::read(&plane.services, &account("acme"), &range))
    };

    assert_eq!(ask(START, START + 3 * DAY, "1m"), "/step invalid_value");
    assert_eq!(ask(START, START, "1h"), "/to invalid_value");
    let nobody = Range { group: id("text"), limit: id("rpm"), from_ms: 0, to_ms: 1, step: Step::parse("1h").unwrap() };
    assert_eq!(crate::harness::refused(history::read(&plane.services, &account("nobody"), &nobody)), "no account");
}

#[test]
fn the_busiest_limits_are_told_by_denials_and_by_utilisation() {
    let mut plane = plane();
    plane.create("beta");
    plane.now = START.div_euclid(HOUR) * HOUR;
    assert_eq!((plane.allowed("acme", "m", 8), plane.allowed("beta", "m", 4)), (5, 4));
    let top = |plane: &Plane, by| {
        let rows = history::top(&plane.services, by, plane.now).unwrap();
        rows.into_iter().map(|row| (row.account.to_string(), row.key.limit.to_string(), row.denied)).collect::<Vec<_>>()
    };
    assert_eq!(top(&plane, TopBy::Denied), []);

    plane.now += MINUTE;
    plane.history.write(plane.now, INTERVAL).unwrap();
    for _ in 0..60 {
        plane.history.write(plane.now, INTERVAL).unwrap();
    }

    let row = |account: &str, limit: &str, denied| (account.to_owned(), limit.to_owned(), denied);
    assert_eq!(top(&plane, TopBy::Denied), [row("acme", "rpm", 3)]);
    let busiest = top(&plane, TopBy::Utilisation);
    assert_eq!(busiest[..2], [row("acme", "rpm", 3), row("beta", "rpm", 0)]);
    plane.now += 2 * HOUR;
    assert_eq!(top(&plane, TopBy::Denied), []);
}

/// The disk that a month of busy accounts takes, and how long evidence takes then (`ACCOUNTS`, 10,000 for the page).
#[test]
#[ignore = "a measurement: it writes gigabytes"]
fn a_month_of_busy_accounts_on_disk() {
    let accounts: u64 = std::env::var("ACCOUNTS").ok().map_or(100, |n| n.parse().unwrap());
    let plane = plane();
    let ids: Vec<_> = (0..accounts).map(|n| account(&format!("{n:016x}"))).chain([account("acme")]).collect();
    let mut random = StdRng::seed_from_u64(3);
    let mut plane = plane;
    for hour in START / HOUR..START / HOUR + 30 * 24 {
        plane.now = (hour + 1) * HOUR;
        for id in &ids {
            // Each has a usual load of its own, which every minute strays from.
            let usual = 20 + id.as_str().bytes().map(u64::from).sum::<u64>() * 7 % 400;
            for minute in hour * 60..hour * 60 + 60 {
                let requests = random.random_range(usual / 2..usual * 3 / 2);
                let tokens = requests * random.random_range(800..1_600);
                for (limit, cost, quota) in [("rpm", requests, 500), ("tpm", tokens, 500_000)] {
                    let used = (cost * random.random_range(100..125) / 100).min(quota);
                    let denied = if used == quota { random.random_range(1..40) } else { 0 };
                    let peak = Peak { used, quota: Quota::Units(quota) };
                    plane.history.add(id, minute, key("text", limit), &Tally { admitted: cost as i64, denied, peak });
                }
            }
        }
        plane.history.write_all().unwrap();
        while plane.history.tidy(plane.now).unwrap() {}
    }
    quotagate::store::CounterStore::sync(&*plane.store).unwrap();
    let (mut records, mut bytes, mut from) = ([0, 0], [0, 0], Vec::new());
    loop {
        let page = plane.store.scan_history(&from, &[0xFF], 1_000).unwrap();
        let Some((last, _)) = page.last() else { break };
        from = [last.as_slice(), &[0]].concat();
        for (key, value) in page {
            let whole = usize::from(value[0] == 2);
            records[whole] += 1;
            bytes[whole] += key.len() + value.len() + 7;
        }
    }
    println!(
        "hours with minutes: {} of {} bytes; without: {} of {}",
        records[0],
        bytes[0] / records[0].max(1),
        records[1],
        bytes[1] / records[1].max(1)
    );
    println!(
        "{} MB of records, {} MB on disk",
        (bytes[0] + bytes[1]) / 1_000_000,
        plane.counters_on_disk() / 1_000_000
    );
    let begun = Instant::now();
    let range = (plane.now - 28 * DAY, plane.now);
    let sum = history::summary(&plane.services, &account("acme"), &key("text", "tpm"), range).unwrap();
    println!("evidence of 28 days: {:?}, {} minutes", begun.elapsed(), sum.active_minutes);
    let begun = Instant::now();
    let limits = [id("rpm"), id("tpm")];
    let taken = evidence::take(&plane.services, &account("acme"), (&id("text"), &limits), plane.now).unwrap();
    println!("all evidence, of two limits: {:?}, {} bytes", begun.elapsed(), taken.canonical_json().len());
}
