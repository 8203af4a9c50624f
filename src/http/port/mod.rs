//! What stands between a stranger's connection and the handlers: how many connections there may be, how slow one may be,
//! and how one ends.
//!
//! Owns accepting ([`admission`], [`accept`]), what a worker knows of each connection ([`connection`]), the pace that it
//! has to keep ([`patrol`]), and the stream that enforces both ([`stream`]). The HTTP library has a deadline for the first
//! head of a connection and for idle ones; later heads, bodies that nobody reads, answers that nobody takes and closed
//! connections that are not let go of are bounded here. Bodies that a handler reads have their pace in
//! [`super::body`], which can still answer. Deliberately absent: HTTP itself, and who may do what.

mod accept;
mod admission;
mod connection;
mod linger;
mod patrol;
mod stream;

pub(super) use accept::{Doors, control, port};
pub(super) use admission::{Admission, ClientPermit};
pub(super) use connection::{Answering, Connection, LEAST_RATE};
pub(super) use patrol::now_ms;
pub(super) use stream::{Socket, Stream};
