//! All accounts, in shards of their own lock each.

use super::minutes::{Cell, Minutes, Notes, Then};
use super::record::Record;
use crate::domain::ids::AccountId;
use foldhash::quality::RandomState;
use hashbrown::{HashMap, HashTable};
use parking_lot::Mutex;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(super) const SHARDS: usize = 256;
/// Records that are handed to the store under one lock: whoever decides meanwhile waits for no more.
const AT_ONCE: usize = 128;

pub(super) struct Shards {
    shards: Box<[Shard]>,
    hasher: RandomState,
    /// INVARIANT: how many ids there are in the tables and among the places that are held, each once.
    taken: AtomicUsize,
    most_accounts: usize,
}

/// Aligned so that two shards' locks never share a cache line.
#[repr(align(128))]
struct Shard(Mutex<ShardState>);

#[derive(Default)]
pub(super) struct ShardState {
    table: HashTable<Entry>,
    /// Accounts whose records changed since they were last handed to the store, each once.
    dirty: Vec<AccountId>,
    /// Ids that accounts are being created under, and how many hold each.
    places: HashMap<AccountId, u32, RandomState>,
    minutes: Minutes,
}

impl ShardState {
    fn find(&self, hash: u64, id: &str) -> Option<&Entry> {
        self.table.find(hash, |entry| entry.id() == id)
    }
}

enum Entry {
    Main(Box<Record>),
    Sub(Box<SubEntry>),
}

struct SubEntry {
    id: AccountId,
    main: AccountId,
}

impl Entry {
    fn id(&self) -> &str {
        match self {
            Self::Main(record) => record.id.as_str(),
            Self::Sub(sub) => sub.id.as_str(),
        }
    }
}

/// Whether a full table is a reason to refuse an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Needed,
    /// It was acknowledged: its place was held before that, or there were more places then.
    Given,
}

/// The table of accounts is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no room for another account")]
pub struct AccountsFull;

/// What an id stands for.
enum Found<R> {
    Main(R),
    SubOf { sub: AccountId, main: AccountId },
    Nothing,
}

impl Shards {
    pub fn new(most_accounts: usize, history: bool) -> Self {
        let shard = || ShardState { minutes: Minutes::switched(history), ..ShardState::default() };
        Self {
            shards: (0..SHARDS).map(|_| Shard(Mutex::new(shard()))).collect(),
            hasher: RandomState::default(),
            taken: AtomicUsize::new(0),
            most_accounts,
        }
    }

    /// Main and sub-accounts, and the places held for others.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Holds a place for the id, until [`Self::let_go`]; one that has a place already needs no other.
    pub fn hold(&self, id: &AccountId) -> Result<(), AccountsFull> {
        let hash = self.hash(id.as_str());
        let mut state = self.shard(hash).lock();
        if let Some(holders) = state.places.get_mut(id) {
            *holders += 1;
            return Ok(());
        }
        if state.find(hash, id.as_str()).is_none() {
            self.take_place(Room::Needed)?;
        }
        state.places.insert(id.clone(), 1);
        Ok(())
    }

    /// Lets go of a place that was held; it is free again unless an account has taken it.
    pub fn let_go(&self, id: &AccountId) {
        let hash = self.hash(id.as_str());
        let mut state = self.shard(hash).lock();
        let Some(holders) = state.places.get_mut(id) else { return };
        *holders -= 1;
        if *holders == 0 {
            state.places.remove(id);
            if state.find(hash, id.as_str()).is_none() {
                self.taken.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    fn take_place(&self, room: Room) -> Result<(), AccountsFull> {
        let most = match room {
            Room::Needed => self.most_accounts,
            Room::Given => usize::MAX,
        };
        let more = |taken: usize| (taken < most).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).map(drop).map_err(|_| AccountsFull)
    }

    /// Acts on the record of the account's main account, under its lock.
    ///
    /// None: there is no such account.
    pub fn with<R>(&self, account: &str, act: impl FnOnce(&mut Record, Option<&AccountId>) -> R) -> Option<R> {
        self.with_notes(account, |record, asker, _| act(record, asker))
    }

    /// The same with the history of its present minute.
    #[inline]
    pub fn with_notes<R>(
        &self,
        account: &str,
        act: impl FnOnce(&mut Record, Option<&AccountId>, Notes<'_>) -> R,
    ) -> Option<R> {
        let mut act = Some(act);
        match self.find(account, |record, notes| act.take().map(|act| act(record, None, notes))) {
            Found::Main(result) => result,
            Found::Nothing => None,
            Found::SubOf { sub, main } => {
                match self.find(main.as_str(), |record, notes| act.take().map(|act| act(record, Some(&sub), notes))) {
                    Found::Main(result) => result,
                    Found::SubOf { .. } | Found::Nothing => None,
                }
            }
        }
    }

    /// Acts on a record only if the id is a main account's.
    pub fn with_main<R>(&self, account: &str, act: impl FnOnce(&mut Record) -> R) -> Option<R> {
        self.with_main_notes(account, |record, _| act(record))
    }

    /// The same with the history of its present minute.
    pub fn with_main_notes<R>(&self, account: &str, act: impl FnOnce(&mut Record, Notes<'_>) -> R) -> Option<R> {
        match self.find(account, act) {
            Found::Main(result) => Some(result),
            Found::SubOf { .. } | Found::Nothing => None,
        }
    }

    /// The main account of a known account: itself, or the one it belongs to.
    pub fn main_of(&self, account: &str) -> Option<AccountId> {
        match self.find(account, |record, _| record.id.clone()) {
            Found::Main(id) => Some(id),
            Found::SubOf { main, .. } => Some(main),
            Found::Nothing => None,
        }
    }

    #[inline]
    fn find<R>(&self, account: &str, act: impl FnOnce(&mut Record, Notes<'_>) -> R) -> Found<R> {
        let hash = self.hash(account);
        let mut state = self.shard(hash).lock();
        let ShardState { table, dirty, minutes, .. } = &mut *state;
        match table.find_mut(hash, |entry| entry.id() == account) {
            None => Found::Nothing,
            Some(Entry::Sub(sub)) => Found::SubOf { sub: sub.id.clone(), main: sub.main.clone() },
            Some(Entry::Main(record)) => {
                let result = act(record, Notes::new(minutes, hash));
                queue_if_dirty(record, dirty);
                Found::Main(result)
            }
        }
    }

    /// Acts on the record of a main account, made first where the id is new.
    ///
    /// The record stays only if `act` says so or it was there before. None: the id is a sub-account's.
    pub fn with_made<R>(
        &self,
        id: &AccountId,
        room: Room,
        make: impl FnOnce() -> Record,
        act: impl FnOnce(&mut Record, Notes<'_>) -> (bool, R),
    ) -> Result<Option<R>, AccountsFull> {
        let hash = self.hash(id.as_str());
        let mut state = self.shard(hash).lock();
        let held = state.places.contains_key(id);
        let ShardState { table, dirty, minutes, .. } = &mut *state;
        match table.find_mut(hash, |entry| entry.id() == id.as_str()) {
            Some(Entry::Sub(_)) => Ok(None),
            Some(Entry::Main(record)) => {
                let (_, result) = act(record, Notes::new(minutes, hash));
                queue_if_dirty(record, dirty);
                Ok(Some(result))
            }
            None => {
                let mut record = Box::new(make());
                let (stays, result) = act(&mut record, Notes::new(minutes, hash));
                // ORDER: a record that finds no place is dropped with all that was charged to it.
                let place = if stays && !held { self.take_place(room) } else { Ok(()) };
                if !stays || place.is_err() {
                    Notes::new(minutes, hash).forget(&mut record);
                }
                place?;
                if stays {
                    queue_if_dirty(&mut record, dirty);
                    table.insert_unique(hash, Entry::Main(record), |entry| self.hash(entry.id()));
                }
                Ok(Some(result))
            }
        }
    }

    /// Makes the id lead to its main account. False: the id stands for something else.
    ///
    /// A record that the engine made by itself gives way: its usage was another's, and goes.
    pub fn add_sub(&self, id: &AccountId, main: &AccountId, room: Room) -> Result<bool, AccountsFull> {
        let hash = self.hash(id.as_str());
        let mut state = self.shard(hash).lock();
        let entry = Entry::Sub(Box::new(SubEntry { id: id.clone(), main: main.clone() }));
        let held = state.places.contains_key(id);
        let ShardState { table, dirty, minutes, .. } = &mut *state;
        match table.find_mut(hash, |entry| entry.id() == id.as_str()) {
            Some(Entry::Sub(sub)) => Ok(sub.main == *main),
            Some(Entry::Main(record)) if !record.is_stranger() => Ok(false),
            Some(stranger) => {
                if let Entry::Main(record) = stranger {
                    Notes::new(minutes, hash).forget(record);
                }
                *stranger = entry;
                dirty.retain(|dirty| dirty != id);
                Ok(true)
            }
            None => {
                if !held {
                    self.take_place(room)?;
                }
                table.insert_unique(hash, entry, |entry| self.hash(entry.id()));
                Ok(true)
            }
        }
    }

    /// Hands every record that changed since the last call to `take`, [`AT_ONCE`] of a shard under one lock at most.
    pub fn drain_dirty(&self, mut take: impl FnMut(&mut Record)) -> usize {
        let mut drained = 0;
        for shard in &self.shards {
            // What changes meanwhile is for the next call; what waits here stays queued, and is not queued again.
            let mut waiting = std::mem::take(&mut shard.0.lock().dirty);
            for ids in waiting.chunks(AT_ONCE) {
                let mut state = shard.0.lock();
                for id in ids {
                    let hash = self.hash(id.as_str());
                    if let Some(Entry::Main(record)) = state.table.find_mut(hash, |entry| entry.id() == id.as_str()) {
                        record.hand_over();
                        drained += 1;
                        take(record);
                    }
                }
            }
            waiting.clear();
            let mut state = shard.0.lock();
            if state.dirty.capacity() == 0 {
                state.dirty = waiting;
            }
        }
        drained
    }

    /// Acts on every record of a shard, which goes to the store if it is touched.
    pub fn with_shard(&self, shard: usize, mut act: impl FnMut(&mut Record)) {
        let mut state = self.shards[shard % SHARDS].0.lock();
        let ShardState { table, dirty, .. } = &mut *state;
        for entry in table.iter_mut() {
            if let Entry::Main(record) = entry {
                act(record);
                queue_if_dirty(record, dirty);
            }
        }
    }

    /// How many records wait to be handed to the store.
    pub fn dirty(&self) -> usize {
        self.shards.iter().map(|shard| shard.0.lock().dirty.len()).sum()
    }

    /// Hands the minutes of one shard that end at `until` or before to `take`, each with its end.
    pub fn drain_minutes(&self, shard: usize, until: i64, mut take: impl FnMut(&AccountId, i64, &[Cell])) {
        let mut state = self.shards[shard % SHARDS].0.lock();
        let ShardState { table, minutes, .. } = &mut *state;
        minutes.drain(until, |slot, hash, (ends, cells), then| {
            let its = |entry: &Entry| matches!(entry, Entry::Main(record) if record.slot == Some(slot));
            let Some(Entry::Main(record)) = table.find_mut(hash, its) else { return };
            if then == Then::Freed {
                record.slot = None;
            }
            take(&record.id, ends, cells);
        });
    }

    /// Hands the minutes of a main account that were not taken out yet to `see`.
    pub fn see_minutes(&self, main: &str, mut see: impl FnMut(i64, &Cell)) {
        let hash = self.hash(main);
        let state = self.shard(hash).lock();
        if let Some(Entry::Main(record)) = state.find(hash, main) {
            state.minutes.of(record).for_each(|(ends, cell)| see(ends, cell));
        }
    }

    /// What the history lacks because there was no room for it.
    pub fn minutes_dropped(&self) -> u64 {
        self.shards.iter().map(|shard| shard.0.lock().minutes.dropped()).sum()
    }

    #[inline]
    fn hash(&self, account: &str) -> u64 {
        self.hasher.hash_one(account)
    }

    /// The table uses the lowest and the highest bits of the hash, so the shard is chosen by bits between.
    #[inline]
    fn shard(&self, hash: u64) -> &Mutex<ShardState> {
        &self.shards[(hash >> 40) as usize % SHARDS].0
    }
}

#[inline]
fn queue_if_dirty(record: &mut Record, dirty: &mut Vec<AccountId>) {
    if record.queue() {
        dirty.push(record.id.clone());
    }
}
