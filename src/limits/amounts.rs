//! What the slots of a sliding window hold: a few amounts of up to 32 bits in place, more or wider ones elsewhere.

/// How many amounts of 32 bits need no allocation.
const FEW: usize = 8;

/// One amount for each set bit, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Amounts {
    /// Zeros behind the last.
    Few([u32; FEW]),
    Narrow(Box<NarrowAmounts>),
    Wide(Box<WideAmounts>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NarrowAmounts {
    list: Vec<u32>,
    total: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WideAmounts {
    list: Vec<u128>,
    total: u128,
}

impl Default for Amounts {
    fn default() -> Self {
        Self::Few([0; FEW])
    }
}

impl Amounts {
    /// None: they add up to more than there can be.
    pub fn of(amounts: &[u128]) -> Option<Self> {
        let total = amounts.iter().try_fold(0u128, |sum, &amount| sum.checked_add(amount))?;
        let narrow: Option<Vec<u32>> = amounts.iter().map(|&amount| u32::try_from(amount).ok()).collect();
        Some(match narrow {
            Some(list) if list.len() <= FEW => {
                let mut few = [0; FEW];
                few[..list.len()].copy_from_slice(&list);
                Self::Few(few)
            }
            Some(list) => Self::Narrow(Box::new(NarrowAmounts { list, total: u64::try_from(total).ok()? })),
            None => Self::Wide(Box::new(WideAmounts { list: amounts.to_vec(), total })),
        })
    }

    #[inline]
    pub fn total(&self) -> u128 {
        match self {
            Self::Few(list) => u128::from(list.iter().map(|&amount| u64::from(amount)).sum::<u64>()),
            Self::Narrow(narrow) => u128::from(narrow.total),
            Self::Wide(wide) => wide.total,
        }
    }

    #[inline]
    pub fn add_to_newest(&mut self, cost: u64, occupied: u64) {
        match self {
            Self::Few(list) => {
                // What is not occupied yet is 0 here.
                let position = occupied.count_ones() as usize - (occupied & 1) as usize;
                if let Some(newest) = list.get_mut(position)
                    && let Ok(sum) = u32::try_from(u64::from(*newest).saturating_add(cost))
                {
                    *newest = sum;
                    return;
                }
            }
            Self::Wide(wide) if occupied & 1 == 1 => {
                if let Some(newest) = wide.list.last_mut() {
                    wide.total += u128::from(cost);
                    *newest += u128::from(cost);
                    return;
                }
            }
            Self::Narrow(_) | Self::Wide(_) => {}
        }
        self.add_to_many(cost, occupied);
    }

    fn add_to_many(&mut self, cost: u64, occupied: u64) {
        let newest_is_occupied = occupied & 1 == 1;
        if let Self::Few(list) = self {
            let mut many = Vec::with_capacity(2 * FEW);
            many.extend_from_slice(&list[..occupied.count_ones() as usize]);
            let total = many.iter().copied().map(u64::from).sum();
            *self = Self::Narrow(Box::new(NarrowAmounts { list: many, total }));
        }
        if let Self::Narrow(narrow) = self {
            let NarrowAmounts { list, total } = &mut **narrow;
            let before = if newest_is_occupied { list.last().copied().unwrap_or(0) } else { 0 };
            if let Ok(sum) = u32::try_from(u64::from(before).saturating_add(cost)) {
                match list.last_mut() {
                    Some(last) if newest_is_occupied => *last = sum,
                    _ => list.push(sum),
                }
                *total += cost;
                return;
            }
        }
        let wide = self.widen();
        wide.total += u128::from(cost);
        match wide.list.last_mut() {
            Some(last) if newest_is_occupied => *last += u128::from(cost),
            _ => wide.list.push(u128::from(cost)),
        }
    }

    /// True: the slot is empty now and its amount is gone from the list.
    pub fn take_from(&mut self, position: usize, amount: u64) -> bool {
        match self {
            Self::Few(list) => {
                let left = u64::from(list[position]).saturating_sub(amount);
                // At most what it was.
                list[position] = left as u32;
                if left == 0 {
                    list.copy_within(position + 1.., position);
                    list[FEW - 1] = 0;
                }
                left == 0
            }
            Self::Narrow(narrow) => {
                let NarrowAmounts { list, total } = &mut **narrow;
                let taken = u64::from(list[position]).min(amount);
                *total -= taken;
                // `taken` is at most the amount, so it fits.
                list[position] -= taken as u32;
                let empty = list[position] == 0;
                if empty {
                    list.remove(position);
                }
                empty
            }
            Self::Wide(wide) => {
                let taken = wide.list[position].min(u128::from(amount));
                wide.total -= taken;
                wide.list[position] -= taken;
                let empty = wide.list[position] == 0;
                if empty {
                    wide.list.remove(position);
                }
                empty
            }
        }
    }

    pub fn drop_oldest(&mut self, count: usize) {
        match self {
            Self::Few(list) => {
                list.copy_within(count.., 0);
                list[FEW - count..].fill(0);
            }
            Self::Narrow(narrow) => {
                narrow.total -= narrow.list.drain(..count).map(u64::from).sum::<u64>();
            }
            Self::Wide(wide) => {
                wide.total -= wide.list.drain(..count).sum::<u128>();
            }
        }
    }

    pub fn get(&self, position: usize) -> u128 {
        match self {
            Self::Few(list) => u128::from(list[position]),
            Self::Narrow(narrow) => u128::from(narrow.list[position]),
            Self::Wide(wide) => wide.list[position],
        }
    }

    fn widen(&mut self) -> &mut WideAmounts {
        if let Self::Narrow(narrow) = self {
            let list = narrow.list.iter().map(|&a| u128::from(a)).collect();
            *self = Self::Wide(Box::new(WideAmounts { list, total: u128::from(narrow.total) }));
        }
        match self {
            Self::Wide(wide) => wide,
            Self::Few(_) | Self::Narrow(_) => unreachable!("widened just above"),
        }
    }
}
