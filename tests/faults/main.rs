//! Faults put to the real server under load: power cuts, rot, and disks that fail. What it acknowledged is there
//! afterwards, and what is lost is said. `make faults` runs many rounds and prints the tally of docs/reliability.md.
//!
//! Kills are in `tests/crash`, whose server and clients are used here.

mod changers;
#[path = "../crash/deciders.rs"]
#[allow(dead_code, reason = "the crowd is for kills, pieces are for power cuts")]
mod deciders;
mod disk;
mod errors;
mod load;
mod power;
mod recording;
mod rot;
#[path = "../crash/server.rs"]
#[expect(dead_code, reason = "failpoints are for kills")]
mod server;
mod shim;
mod tally;
#[path = "../crash/views.rs"]
#[expect(dead_code, reason = "they are compared one by one here")]
mod views;
