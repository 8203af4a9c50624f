//! Faults that can be put into the engine, to see the tests turn red (feature `mutations`, for tests only).
//!
//! One is chosen by the variable `QUOTAGATE_MUTATION`. Without the feature every question is answered `false` at
//! compile time, and nothing of this is left.

/// A rule of the engine that is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "mutations"), allow(dead_code))]
pub enum Fault {
    /// Sliding windows are one slot too short.
    SlotTooFew,
    /// A token bucket gives back what has drained already.
    GiveBackUncapped,
    /// A refusal charges the limits that would have admitted.
    ChargeBeforeCheck,
    /// A settle may push a bucket into any debt.
    DebtUnbounded,
    /// A reservation expires one millisecond late.
    ExpiryLate,
    /// A clamp also raises.
    ClampRaises,
    /// A scaled burst may be 0.
    BurstZero,
    /// Grace lasts one millisecond longer.
    GraceLong,
    /// Usage comes back with a limit that was gone for a while.
    IdentityComesBack,
    /// Caps of sub-accounts are not looked at.
    CapIgnored,
    /// The second decision of a reservation is not compared with the first.
    ReplayUnchecked,
    /// The policy's offset moves windows that are not of whole hours.
    OffsetEverywhere,
    /// A late settle starts the memory of the ended anew.
    LateSettleRenewsMemory,
    /// A fixed window admits one unit too many.
    FixedOneMore,
}

impl Fault {
    #[cfg(feature = "mutations")]
    pub const ALL: &[Self] = &[
        Self::SlotTooFew,
        Self::GiveBackUncapped,
        Self::ChargeBeforeCheck,
        Self::DebtUnbounded,
        Self::ExpiryLate,
        Self::ClampRaises,
        Self::BurstZero,
        Self::GraceLong,
        Self::IdentityComesBack,
        Self::CapIgnored,
        Self::ReplayUnchecked,
        Self::OffsetEverywhere,
        Self::LateSettleRenewsMemory,
        Self::FixedOneMore,
    ];

    /// Whether this fault was chosen.
    #[cfg(feature = "mutations")]
    #[must_use]
    pub fn chosen(self) -> bool {
        static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
        let chosen = CHOSEN.get_or_init(|| std::env::var("QUOTAGATE_MUTATION").ok());
        chosen.as_deref() == Some(&format!("{self:?}"))
    }

    #[cfg(not(feature = "mutations"))]
    #[inline(always)]
    pub(crate) const fn chosen(self) -> bool {
        false
    }
}
