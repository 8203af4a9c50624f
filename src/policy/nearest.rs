//! The known name that a misspelt one most likely means.

/// The first of `known` with the fewest edits, if they are few for the length of the name.
pub(crate) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    const LONGEST: usize = 64;
    if name.len() > LONGEST {
        return None;
    }
    known
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| (edits(&name.to_lowercase(), candidate), candidate))
        .filter(|(edits, candidate)| {
            let length = candidate.chars().count();
            *edits < length && *edits <= 1 + length / 4
        })
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
fn edits(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if swapped {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_name() {
        let known = ["id", "unit", "window", "algorithm", "quotas"];

        assert_eq!(nearest("windw", known), Some("window"));
        assert_eq!(nearest("qoutas", known), Some("quotas"));
        assert_eq!(nearest("Window", known), Some("window"));
        assert_eq!(nearest("algoritm", known), Some("algorithm"));
    }

    #[test]
    fn what_is_far_from_every_name_finds_none() {
        assert_eq!(nearest("pool", ["id", "unit", "window"]), None);
        assert_eq!(nearest("", ["window"]), None);
        assert_eq!(nearest("b", ["a"]), None);
        assert_eq!(nearest(&"x".repeat(1_000_000), ["window"]), None);
    }
}
