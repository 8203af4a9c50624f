//! The data folder that a command works on.

use super::Failure;
use super::server::Server;
use crate::clock;
use crate::services::{ActorKind, CONSOLE, Context, Error, MAX_PAGE, Page, Paging};
use crate::store::StoreError;
use crate::store::embedded::{self, EmbeddedStore};
use std::path::PathBuf;
use std::sync::Arc;

/// Why a folder that is in use cannot be worked on.
pub(super) const NOT_LISTENING: &str = "nothing answers at its `control.sock`: a server is just starting or stopping (try \
    again), has no socket (its log says why) or one whose path is too long, or another command runs";

#[derive(Debug, clap::Args)]
pub(super) struct DataFolder {
    /// Folder that everything is kept in
    #[arg(long = "data", value_name = "FOLDER", env = "QUOTAGATE_DATA", default_value = "./data", global = true)]
    pub(super) path: PathBuf,
}

/// What a command works on.
pub(super) enum Reached<'a> {
    /// The server that holds the folder.
    Server(&'a Server),
    /// The folder, which no server holds.
    Folder(&'a Arc<EmbeddedStore>, &'a Context),
}

impl DataFolder {
    /// A store that could not be worked on; `in_use` says what can be done while a server holds the folder.
    pub(super) fn failed(&self, error: &StoreError, in_use: &str) -> Failure {
        match error {
            StoreError::InUse { .. } => Failure::Unreadable(format!("{error}: {in_use}")),
            StoreError::NoStore(_) => {
                Failure::Unreadable(format!("{error}: name the folder that the server was given as `--data`"))
            }
            other => Failure::Unreadable(other.to_string()),
        }
    }

    /// Reaches the server that holds the folder, else opens the folder, which must be one, and closes it in order: for
    /// changes by whoever owns the machine.
    ///
    /// `in_use` says what else can be done while a server holds it and does not listen.
    pub(super) fn change(
        &self,
        in_use: &str,
        act: impl FnOnce(Reached<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if let Some(server) = Server::of(&self.path)? {
            return act(Reached::Server(&server));
        }
        let failed = |error| self.failed(&error, &format!("{NOT_LISTENING}; {in_use}"));
        // ORDER: before opening, which would make a store in whatever folder was named.
        embedded::must_hold_store(&self.path).map_err(failed)?;
        let (store, _) = EmbeddedStore::open(&self.path, embedded::Options::default()).map_err(failed)?;
        let store = Arc::new(store);
        let started = clock::start_ms(clock::wall_ms(), store.health().last_at_ms);
        let done = started.map_err(|error| Failure::Unreadable(error.to_string()));
        let done = done.and_then(|now| act(Reached::Folder(&store, &by_console(now))));
        store.close().map_err(failed)?;
        done
    }
}

/// What a command does, it does in the name of whoever owns the machine.
pub(super) fn by_console(now: i64) -> Context {
    Context { actor: CONSOLE.to_owned(), actor_kind: ActorKind::Console, ..Context::system(now) }
}

/// What a use case refuses is an answer; what it could not do is not.
pub(super) fn refused(error: &Error) -> Failure {
    match error {
        Error::Internal(_) | Error::ReadOnly { .. } | Error::Uncertain { .. } | Error::Busy => {
            Failure::Unreadable(error.to_string())
        }
        _ => Failure::Refused(error.to_string()),
    }
}

/// Everything on a list, page by page.
pub(super) fn each<T>(
    list: impl Fn(&Paging) -> Result<Page<T>, Error>,
    mut visit: impl FnMut(T),
) -> Result<(), Failure> {
    let mut paging = Paging { after: None, size: MAX_PAGE };
    loop {
        let page = list(&paging).map_err(|error| refused(&error))?;
        page.items.into_iter().for_each(&mut visit);
        match page.next {
            Some(next) => paging.after = Some(next),
            None => return Ok(()),
        }
    }
}
