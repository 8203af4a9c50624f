//! What runs beside the server until it stops.

use super::AppError;
use crate::clock;
use crate::http::state::State;
use crate::tls::Tls;
use actix_web::web::Data;
use std::io;
use std::sync::Arc;
use tokio::signal::unix::Signal;

/// What has to be looked at every second.
pub(super) async fn keep_up(state: Data<State>) {
    loop {
        actix_web::rt::time::sleep(clock::OBSERVE_EVERY).await;
        state.tick();
    }
}

/// Once a second, what has changed by time alone goes to the audit log.
pub(super) async fn notice(state: Data<State>) {
    let mut troubled = false;
    loop {
        actix_web::rt::time::sleep(clock::OBSERVE_EVERY).await;
        let state = state.clone();
        let noticed = actix_web::rt::task::spawn_blocking(move || state.notice().map_err(|error| error.to_string()));
        let trouble = noticed.await.map_err(|error| error.to_string()).and_then(|noticed| noticed).err();
        if let Some(error) = trouble.as_ref().filter(|_| !troubled) {
            tracing::error!(%error, "what changes by time alone, or when keys were last used, cannot be written for now");
        }
        troubled = trouble.is_some();
    }
}

/// Reads the certificate again as often as that is asked for. What cannot be read leaves the present one.
pub(super) async fn reload(tls: Arc<Tls>, mut hangups: Signal) {
    while hangups.recv().await.is_some() {
        let tls = Arc::clone(&tls);
        let read = actix_web::rt::task::spawn_blocking(move || tls.reload(clock::wall_ms()));
        match read.await.map_err(io::Error::other).map_err(AppError::Server) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the present certificate stays"),
            Err(error) => tracing::error!(%error, "the present certificate stays"),
        }
    }
}
