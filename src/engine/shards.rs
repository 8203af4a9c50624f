//! All accounts, in shards of their own lock each.

use super::record::Record;
use crate::domain::ids::AccountId;
use foldhash::quality::RandomState;
use hashbrown::{HashMap, HashTable};
use parking_lot::Mutex;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};

const SHARDS: usize = 256;

pub(super) struct Shards {
    shards: Box<[Shard]>,
    hasher: RandomState,
    /// INVARIANT: how many ids there are in the tables and among the places that are held, each once.
    taken: AtomicUsize,
    most_accounts: usize,
}

/// Aligned so that two shards' locks never share a cache line.
#[repr(align(128))]
#[derive(Default)]
struct Shard(Mutex<ShardState>);

#[derive(Default)]
pub(super) struct ShardState {
    table: HashTable<Entry>,
    /// Accounts whose records changed since they were last handed to the store, each once.
    dirty: Vec<AccountId>,
    /// Ids that accounts are being created under, and how many hold each.
    places: HashMap<AccountId, u32, RandomState>,
}

impl ShardState {
    fn find(&self, hash: u64, id: &AccountId) -> Option<&Entry> {
        self.table.find(hash, |entry| entry.id() == id.as_str())
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
    pub fn new(most_accounts: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
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
        if state.find(hash, id).is_none() {
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
            if state.find(hash, id).is_none() {
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
    #[inline]
    pub fn with<R>(&self, account: &str, act: impl FnOnce(&mut Record, Option<&AccountId>) -> R) -> Option<R> {
        let mut act = Some(act);
        match self.find(account, |record| act.take().map(|act| act(record, None))) {
            Found::Main(result) => result,
            Found::Nothing => None,
            Found::SubOf { sub, main } => {
                match self.find(main.as_str(), |record| act.take().map(|act| act(record, Some(&sub)))) {
                    Found::Main(result) => result,
                    Found::SubOf { .. } | Found::Nothing => None,
                }
            }
        }
    }

    /// Acts on a record only if the id is a main account's.
    pub fn with_main<R>(&self, account: &str, act: impl FnOnce(&mut Record) -> R) -> Option<R> {
        match self.find(account, act) {
            Found::Main(result) => Some(result),
            Found::SubOf { .. } | Found::Nothing => None,
        }
    }

    /// The main account of a known account: itself, or the one it belongs to.
    pub fn main_of(&self, account: &str) -> Option<AccountId> {
        match self.find(account, |record| record.id.clone()) {
            Found::Main(id) => Some(id),
            Found::SubOf { main, .. } => Some(main),
            Found::Nothing => None,
        }
    }

    #[inline]
    fn find<R>(&self, account: &str, act: impl FnOnce(&mut Record) -> R) -> Found<R> {
        let hash = self.hash(account);
        let mut state = self.shard(hash).lock();
        let ShardState { table, dirty, .. } = &mut *state;
        match table.find_mut(hash, |entry| entry.id() == account) {
            None => Found::Nothing,
            Some(Entry::Sub(sub)) => Found::SubOf { sub: sub.id.clone(), main: sub.main.clone() },
            Some(Entry::Main(record)) => {
                let result = act(record);
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
        act: impl FnOnce(&mut Record) -> (bool, R),
    ) -> Result<Option<R>, AccountsFull> {
        let hash = self.hash(id.as_str());
        let mut state = self.shard(hash).lock();
        let held = state.places.contains_key(id);
        let ShardState { table, dirty, .. } = &mut *state;
        match table.find_mut(hash, |entry| entry.id() == id.as_str()) {
            Some(Entry::Sub(_)) => Ok(None),
            Some(Entry::Main(record)) => {
                let (_, result) = act(record);
                queue_if_dirty(record, dirty);
                Ok(Some(result))
            }
            None => {
                let mut record = Box::new(make());
                let (stays, result) = act(&mut record);
                if stays {
                    // ORDER: a record that finds no place is dropped with all that was charged to it.
                    if !held {
                        self.take_place(room)?;
                    }
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
        match state.table.find_mut(hash, |entry| entry.id() == id.as_str()) {
            Some(Entry::Sub(sub)) => Ok(sub.main == *main),
            Some(Entry::Main(record)) if !record.stranger => Ok(false),
            Some(stranger) => {
                *stranger = entry;
                state.dirty.retain(|dirty| dirty != id);
                Ok(true)
            }
            None => {
                if !held {
                    self.take_place(room)?;
                }
                state.table.insert_unique(hash, entry, |entry| self.hash(entry.id()));
                Ok(true)
            }
        }
    }

    /// Hands every record that changed since the last call to `take`, a shard's worth under one lock at a time.
    pub fn drain_dirty(&self, mut take: impl FnMut(&mut Record)) -> usize {
        let mut drained = 0;
        for shard in &self.shards {
            let mut state = shard.0.lock();
            let ShardState { table, dirty, .. } = &mut *state;
            for id in dirty.drain(..) {
                let hash = self.hash(id.as_str());
                if let Some(Entry::Main(record)) = table.find_mut(hash, |entry| entry.id() == id.as_str()) {
                    record.dirty = false;
                    record.queued = false;
                    drained += 1;
                    take(record);
                }
            }
        }
        drained
    }

    /// How many records wait to be handed to the store.
    pub fn dirty(&self) -> usize {
        self.shards.iter().map(|shard| shard.0.lock().dirty.len()).sum()
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
    if record.dirty && !record.queued {
        record.queued = true;
        dirty.push(record.id.clone());
    }
}
