//! How fast a body has to come: by a deadline, and at a least rate until then.

use super::port::{Connection, LEAST_RATE};
use super::problem::{Code, Problem};
use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use futures_util::StreamExt;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A body must be there this long after its request began.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long a body may come more slowly than the least rate.
const GRACE: Duration = Duration::from_secs(5);

/// A body as it comes. What is there already costs no timer.
pub(super) struct Paced<'a> {
    payload: &'a mut Payload,
    /// Told when more is wanted, because it reads no more than that. None: the request came by no connection of this server.
    connection: Option<&'a Connection>,
    /// Set once it had to be waited for.
    begun: Option<Instant>,
    bytes: u64,
}

impl<'a> Paced<'a> {
    pub(super) fn new(payload: &'a mut Payload, request: &'a HttpRequest) -> Self {
        let connection = request.conn_data::<Rc<Connection>>().map(|connection| &**connection);
        Self { payload, connection, begun: None, bytes: 0 }
    }

    /// The next piece; None: that was all.
    ///
    /// Errors: 408, it comes too slowly; 400, it does not come.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let next = match self.at_hand() {
            Some(next) => next,
            None => {
                let until = self.until();
                self.wants_body(true);
                let next = timeout_at(until, self.payload.next()).await;
                self.wants_body(false);
                next.map_err(|_| too_slow())?
            }
        };
        match next {
            Some(Ok(piece)) => {
                self.bytes += piece.len() as u64;
                Ok(Some(piece))
            }
            Some(Err(error)) => Err(broken(error)),
            None => Ok(None),
        }
    }

    /// The next piece, or the end, where it need not be waited for.
    fn at_hand(&mut self) -> Option<Option<Result<Bytes, PayloadError>>> {
        use futures_util::FutureExt;
        self.payload.next().now_or_never()
    }

    fn wants_body(&self, wanted: bool) {
        if let Some(connection) = self.connection {
            connection.wants_body(wanted);
        }
    }

    /// The moment by which another piece must come.
    fn until(&mut self) -> Instant {
        let begun = *self.begun.get_or_insert_with(Instant::now);
        let owed_for = GRACE + Duration::from_millis(self.bytes.saturating_mul(1_000) / LEAST_RATE);
        begun + owed_for.min(DEADLINE)
    }
}

fn too_slow() -> Problem {
    let detail = format!(
        "the body came too slowly: it must be there within {} s, at {LEAST_RATE} bytes a second or more after the first \
         {} s",
        DEADLINE.as_secs(),
        GRACE.as_secs()
    );
    Problem::new(Code::RequestTimeout, detail)
}

fn broken(error: PayloadError) -> Problem {
    Problem::new(Code::InvalidHttp, format!("the body could not be read: {error}"))
}
