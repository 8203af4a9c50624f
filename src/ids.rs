//! Random names: one seeded generator, typed ids.

use compact_str::CompactString;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Crockford's base 32: no letter that looks like a digit, sorts as the numbers do.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What an id names; its prefix says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdKind {
    Override,
    Clamp,
    ApiKey,
    Session,
    RaiseRequest,
    Approval,
    /// Of an operator's credentials.
    Generation,
}

impl IdKind {
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Override => "ov_",
            Self::Clamp => "cl_",
            Self::ApiKey => "key_",
            Self::Session => "ses_",
            Self::RaiseRequest => "rr_",
            Self::Approval => "ap_",
            Self::Generation => "gen_",
        }
    }
}

/// Draws ids; seeded from the system, or with a number so that a test draws the same ones again.
pub struct Ids(Mutex<State>);

struct State {
    rng: StdRng,
    /// The number of the last id.
    last: u128,
}

impl Ids {
    /// Panics: the system gives no randomness.
    #[must_use]
    pub fn from_system() -> Self {
        Self::with(rand::make_rng())
    }

    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self::with(StdRng::seed_from_u64(seed))
    }

    fn with(rng: StdRng) -> Self {
        Self(Mutex::new(State { rng, last: 0 }))
    }

    /// An id that sorts after those drawn before: 48 bits of milliseconds, then 80 random ones.
    #[must_use]
    pub fn draw(&self, kind: IdKind, now: i64) -> CompactString {
        written(kind, self.number(now))
    }

    /// Bytes that nobody can guess: for secrets and nonces.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.lock().rng.fill_bytes(&mut bytes);
        bytes
    }

    fn number(&self, now: i64) -> u128 {
        let mut state = self.0.lock();
        let time = time_of(now);
        let (high, low) = (state.rng.next_u32() & 0xFFFF, state.rng.next_u64());
        let drawn = time << 80 | u128::from(high) << 64 | u128::from(low);
        // Of the same millisecond, or of a clock behind: a random step on from the last.
        let number = if drawn > state.last { drawn } else { state.last + 1 + u128::from(low >> 32) };
        state.last = number;
        number
    }
}

/// Sorts before every id that is drawn from then on, and after those drawn earlier.
#[must_use]
pub fn first_of(kind: IdKind, at_ms: i64) -> CompactString {
    written(kind, time_of(at_ms) << 80)
}

/// When an id was drawn, in milliseconds since the Unix epoch. None: it is not written as one.
#[must_use]
pub fn drawn_ms(kind: IdKind, id: &str) -> Option<i64> {
    let digits = id.strip_prefix(kind.prefix())?;
    let number = digits.bytes().try_fold(0_u128, |number, byte| {
        let digit = ALPHABET.iter().position(|known| *known == byte)?;
        number.checked_mul(32)?.checked_add(digit as u128)
    })?;
    i64::try_from(number >> 80).ok()
}

fn time_of(at_ms: i64) -> u128 {
    u128::from(at_ms.max(0).unsigned_abs()) & ((1 << 48) - 1)
}

fn written(kind: IdKind, number: u128) -> CompactString {
    let mut id = CompactString::from(kind.prefix());
    for digit in (0..26).rev() {
        id.push(char::from(ALPHABET[(number >> (digit * 5)) as usize & 31]));
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_as_they_were_drawn_and_carry_their_kind() {
        let ids = Ids::seeded(7);

        let drawn: Vec<_> = [1, 2, 1_700_000_000_000, 1_700_000_000_001, 1_700_000_000_001, 9]
            .map(|at| ids.draw(IdKind::Clamp, at))
            .into();

        assert!(drawn.is_sorted());
        let first = first_of(IdKind::Clamp, 1_700_000_000_001);
        assert!(drawn[2] < first && first < drawn[3], "{first}");
        assert!(drawn.iter().all(|id| id.starts_with("cl_") && id.len() == 29));
        assert_eq!(drawn_ms(IdKind::Clamp, &drawn[2]), Some(1_700_000_000_000));
        assert_eq!((drawn_ms(IdKind::Clamp, "cl_!"), drawn_ms(IdKind::Override, &drawn[2])), (None, None));
    }

    #[test]
    fn a_seed_draws_the_same_ids_again_and_no_two_are_the_same() {
        let draw = || {
            let ids = Ids::seeded(1);
            (0..1_000).map(|_| ids.draw(IdKind::Override, 5)).collect::<std::collections::BTreeSet<_>>()
        };

        assert_eq!(draw(), draw());
        assert_eq!(draw().len(), 1_000);
    }
}
