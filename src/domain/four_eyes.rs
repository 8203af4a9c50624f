//! What takes two operators: one who asks and one who approves.

use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FourEyes {
    /// Whatever changes the active policy.
    pub publish: bool,
    /// Overrides and pins above a ceiling: one's own, or the usual one for those who have none.
    pub overrides: bool,
    /// Roles and ceilings of operators.
    pub roles: bool,
}

/// A text that does not say what takes two operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write `none`, or some of `publish`, `overrides`, `roles` with commas between")]
pub struct NotFourEyes;

impl FromStr for FourEyes {
    type Err = NotFourEyes;

    /// `none`, or words with commas between.
    fn from_str(text: &str) -> Result<Self, NotFourEyes> {
        let mut held = Self::default();
        if text == "none" {
            return Ok(held);
        }
        for word in text.split(',').map(str::trim) {
            match word {
                "publish" => held.publish = true,
                "overrides" => held.overrides = true,
                "roles" => held.roles = true,
                _ => return Err(NotFourEyes),
            }
        }
        Ok(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_list_of_words_or_none() {
        assert_eq!("none".parse(), Ok(FourEyes::default()));
        assert_eq!("roles, publish".parse(), Ok(FourEyes { publish: true, overrides: false, roles: true }));
        for wrong in ["", "publish,", "none,publish", "all"] {
            assert_eq!(wrong.parse::<FourEyes>(), Err(NotFourEyes), "{wrong}");
        }
    }
}
