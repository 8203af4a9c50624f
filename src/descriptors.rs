//! How many files this process may have open, sockets among them.

use crate::peers::Caps;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Below that it is said that there are few.
const FEW: u64 = 4_096;
/// What the store, the log and the workers need besides connections.
const RESERVED: u64 = 128;
/// The least number of connections, however few files there may be.
const LEAST_CONNECTIONS: u64 = 16;

/// Raises the limit as far as this process may, says so in the log, and returns it.
///
/// Many systems start processes with a soft limit of 1,024 and a hard one of hundreds of thousands.
fn raise_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if limit < FEW {
        tracing::warn!(
            limit,
            connections = connections(limit),
            "few files may be open at once, so there can be few connections: raise the hard limit (`ulimit -Hn`, \
             `LimitNOFILE=`)"
        );
    } else {
        tracing::info!(limit, was = current, "so many files may be open at once");
    }
    limit
}

/// Raises the limit, and lowers the connections to what goes with it: more would leave no files for the store.
pub fn within_limit(caps: Caps, workers: usize) -> Caps {
    // Each worker has four of its own.
    let possible = connections(raise_limit().saturating_sub(4 * workers as u64));
    Caps { connections: caps.connections.min(usize::try_from(possible).unwrap_or(usize::MAX)), ..caps }
}

/// How many connections there may be under a limit of open files.
fn connections(limit: u64) -> u64 {
    // A sixth of the others is for those that come while idle ones make room for them.
    let beside_bursts = limit.saturating_sub(RESERVED / 2) / 6 * 5;
    limit.saturating_sub(RESERVED).min(beside_bursts).max(LEAST_CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_the_hard_one_and_leaves_room_for_the_store() {
        let limit = raise_limit();

        assert_eq!(getrlimit(Resource::Nofile).current, getrlimit(Resource::Nofile).maximum);
        assert!(connections(limit) < limit);
        assert_eq!(connections(4_096), 3_360);
        assert_eq!(connections(256), 128);
        assert_eq!(connections(10), LEAST_CONNECTIONS);
    }
}
