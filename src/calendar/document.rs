//! Calendars as they are written: JSON, read strictly.

use super::Calendar;
use jiff::ToSpan;
use jiff::civil::{Date, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Days that one calendar covers at most: a century.
const MAX_DAYS: i32 = 36_525;
const FIRST_YEAR: i16 = 1970;
const LAST_YEAR: i16 = 9_998;

/// What is wrong with a calendar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    #[error("the calendar cannot be read: {0}")]
    Form(String),
    #[error("`{0}` is empty")]
    Empty(&'static str),
    #[error("time zone `{0}` does not exist")]
    Zone(String),
    #[error("it covers {from} to {to}: give a span forward of at most a century, from {FIRST_YEAR} on")]
    Span { from: Date, to: Date },
    #[error("{day} is not among the dates that are covered")]
    Outside { day: Date },
    #[error("the holiday from {from} to {to} ends before it begins")]
    Backward { from: Date, to: Date },
    #[error("{day} is an extra workday although it is worked anyway, or a holiday as well")]
    NotExtra { day: Date },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: String,
    source: String,
    timezone: String,
    weekend: Vec<Day>,
    covers: Span,
    holidays: Vec<Holiday>,
    extra_workdays: Vec<Date>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Span {
    from: Date,
    to: Date,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Holiday {
    /// For people.
    #[serde(rename = "name")]
    _name: String,
    from: Date,
    to: Date,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl From<Day> for Weekday {
    fn from(day: Day) -> Self {
        match day {
            Day::Monday => Self::Monday,
            Day::Tuesday => Self::Tuesday,
            Day::Wednesday => Self::Wednesday,
            Day::Thursday => Self::Thursday,
            Day::Friday => Self::Friday,
            Day::Saturday => Self::Saturday,
            Day::Sunday => Self::Sunday,
        }
    }
}

impl Calendar {
    /// Errors: the first thing that is wrong with the document.
    pub fn parse(text: &str) -> Result<Self, CalendarError> {
        let document: Document = serde_json::from_str(text).map_err(|error| CalendarError::Form(error.to_string()))?;
        for (name, text) in [("version", &document.version), ("source", &document.source)] {
            if text.trim().is_empty() {
                return Err(CalendarError::Empty(name));
            }
        }
        let Span { from, to } = document.covers;
        let days = from.until(to).map_or(MAX_DAYS, |span| span.get_days());
        if !(0..MAX_DAYS).contains(&days) || from.year() < FIRST_YEAR || to.year() > LAST_YEAR {
            return Err(CalendarError::Span { from, to });
        }
        let mut calendar = Self {
            timezone: zone(&document.timezone)?,
            version: document.version,
            source: document.source,
            weekend: document.weekend.into_iter().map(Weekday::from).collect(),
            holidays: BTreeSet::new(),
            extra_workdays: BTreeSet::new(),
            from,
            to,
        };
        for Holiday { from, to, .. } in document.holidays {
            calendar.close(from, to)?;
        }
        for day in document.extra_workdays {
            calendar.open(day)?;
        }
        Ok(calendar)
    }

    fn close(&mut self, from: Date, to: Date) -> Result<(), CalendarError> {
        if to < from {
            return Err(CalendarError::Backward { from, to });
        }
        for day in [from, to] {
            self.must_cover(day)?;
        }
        self.holidays.extend(from.series(1.day()).take_while(|day| *day <= to));
        Ok(())
    }

    fn open(&mut self, day: Date) -> Result<(), CalendarError> {
        self.must_cover(day)?;
        if self.holidays.contains(&day) || !self.weekend.contains(&day.weekday()) {
            return Err(CalendarError::NotExtra { day });
        }
        self.extra_workdays.insert(day);
        Ok(())
    }

    fn must_cover(&self, day: Date) -> Result<(), CalendarError> {
        match (self.from..=self.to).contains(&day) {
            true => Ok(()),
            false => Err(CalendarError::Outside { day }),
        }
    }
}

/// By the database that is compiled in, so that two machines never differ.
fn zone(name: &str) -> Result<TimeZone, CalendarError> {
    static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);
    DATABASE.get(name).map_err(|_| CalendarError::Zone(name.chars().take(80).flat_map(char::escape_debug).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(changed: (&str, &str)) -> CalendarError {
        let text = r#"{"version": "v", "source": "s", "timezone": "Asia/Shanghai", "weekend": ["saturday", "sunday"],
            "covers": {"from": "2026-01-01", "to": "2026-12-31"},
            "holidays": [{"name": "h", "from": "2026-05-01", "to": "2026-05-05"}], "extra_workdays": ["2026-05-09"]}"#;
        assert!(Calendar::parse(text).is_ok());
        assert!(text.contains(changed.0));
        Calendar::parse(&text.replacen(changed.0, changed.1, 1)).unwrap_err()
    }

    #[test]
    fn a_document_that_contradicts_itself_is_refused() {
        assert_eq!(refused(("\"v\"", "\" \"")), CalendarError::Empty("version"));
        assert_eq!(refused(("Asia/Shanghai", "Asia/Nowhere")), CalendarError::Zone("Asia/Nowhere".to_owned()));
        for other in ["2025-12-31", "2199-12-31", "9999-01-01"] {
            assert!(matches!(refused(("2026-12-31", other)), CalendarError::Span { .. }), "{other}");
        }
        assert!(matches!(refused(("2026-05-05", "2026-04-30")), CalendarError::Backward { .. }));
        assert!(matches!(refused(("2026-05-05", "2027-05-05")), CalendarError::Outside { .. }));
        for other in ["2026-05-02", "2026-05-11"] {
            assert!(matches!(refused(("2026-05-09", other)), CalendarError::NotExtra { .. }), "{other}");
        }
        for other in ["2026-05-32", "tomorrow"] {
            assert!(matches!(refused(("2026-05-09", other)), CalendarError::Form(_)), "{other}");
        }
        assert!(matches!(refused(("\"source\"", "\"sauce\"")), CalendarError::Form(_)));
        assert!(matches!(refused(("\"sunday\"", "\"funday\"")), CalendarError::Form(_)));
    }
}
