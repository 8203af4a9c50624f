//! The limits page as Markdown.

use super::{Page, PageGroup, PageLimit, PageTier};
use std::fmt::Write;

impl Page {
    /// Headings, one table of tiers and one table a group. Texts of the policy cannot break out of their cells.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = format!("# {}\n", escaped(&self.title));
        for text in self.note.iter().chain(&self.remarks) {
            paragraph(&mut out, &escaped(text));
        }
        let tiers = self.tiers.iter().map(|tier| vec![title_and_id(&tier.title, &tier.id), escaped(&tier.reached_by)]);
        table(&mut out, &[self.labels.tier.to_owned(), self.labels.reached_by.to_owned()], tiers);
        for group in &self.groups {
            self.group(&mut out, group);
        }
        list(&mut out, self.labels.pools, self.pools.iter().map(|line| escaped(line)));
        let rules = self.raise_rules.iter().map(|(id, text)| format!("`{id}`: {}", escaped(text)));
        list(&mut out, self.labels.raise_rules, rules);
        if let Some(source) = &self.source {
            paragraph(&mut out, &format!("{}: {}", self.labels.source, escaped(source)));
        }
        out
    }

    fn group(&self, out: &mut String, group: &PageGroup) {
        paragraph(out, &format!("## {}", title_and_id(&group.title, &group.id)));
        let resources = group.resources.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let share = group.share.as_deref().map(|share| format!(" ({share})")).unwrap_or_default();
        paragraph(out, &format!("{}: {resources}{share}", self.labels.resources));
        if let Some(note) = &group.note {
            paragraph(out, &escaped(note));
        }
        if group.limits.is_empty() {
            return;
        }
        let row = |limit: &PageLimit| {
            let mut cells = vec![title_and_id(&limit.title, &limit.id), escaped(&limit.counts)];
            cells.extend(limit.quotas.iter().map(|quota| escaped(quota)));
            cells.push(escaped(&limit.algorithm));
            cells
        };
        let mut head = vec![self.labels.limit.to_owned(), self.labels.counts.to_owned()];
        head.extend(self.tiers.iter().map(|tier: &PageTier| escaped(&tier.title)));
        head.push(self.labels.algorithm.to_owned());
        table(out, &head, group.limits.iter().map(row));
        for limit in &group.limits {
            if let Some(note) = &limit.note {
                paragraph(out, &format!("`{}`: {}", limit.id, escaped(note)));
            }
        }
    }
}

fn paragraph(out: &mut String, text: &str) {
    _ = writeln!(out, "\n{}", text.trim_end());
}

/// A heading with a list, where there is anything in it.
fn list(out: &mut String, heading: &str, lines: impl ExactSizeIterator<Item = String>) {
    if lines.len() > 0 {
        _ = writeln!(out, "\n## {heading}\n");
        lines.for_each(|line| _ = writeln!(out, "- {line}"));
    }
}

fn table(out: &mut String, head: &[String], rows: impl Iterator<Item = Vec<String>>) {
    _ = writeln!(out, "\n| {} |\n|{}", head.join(" | "), " --- |".repeat(head.len()));
    for row in rows {
        _ = writeln!(out, "| {} |", row.join(" | "));
    }
}

/// ``Text (`text.m2`)``, or the id alone where there is no title.
fn title_and_id(title: &str, id: &str) -> String {
    if title == id { format!("`{id}`") } else { format!("{} (`{id}`)", escaped(title)) }
}

/// Text that Markdown shows as it is, on one line.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.trim_end().chars() {
        match c {
            '\n' | '\t' => out.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '~' | '&' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}
