//! Every route. Registering one documents it and makes its other methods answer 405.

use super::access_log::AccessLog;
use super::paths::{self, Paths};
use super::{decisions, docs, health, openapi, reservations};
use actix_web::web;
use tracing_actix_web::TracingLogger;
use utoipa_actix_web::service_config::ServiceConfig;

/// The routes on the decision path, which are counted and not logged.
pub(super) fn hot(routes: &mut ServiceConfig<'_>) {
    routes
        .service(decisions::decide)
        .service(decisions::decide_batch)
        .service(reservations::read)
        .service(reservations::settle)
        .service(reservations::cancel)
        .service(reservations::renew);
}

/// All other routes, each request of which is logged.
pub(super) fn control(routes: &mut ServiceConfig<'_>) {
    routes.service(docs::document).service(health::healthz).service(health::readyz).service(health::scrape);
}

/// Everything that the server answers.
pub(super) fn configure(app: &mut web::ServiceConfig) {
    let others = web::scope("")
        .wrap(TracingLogger::<AccessLog>::new())
        .configure(|scope| control(&mut ServiceConfig::new(scope)))
        .service(docs::to_ui)
        .service(docs::ui())
        .default_service(web::to(paths::fallback));
    #[cfg(feature = "manual-clock")]
    app.service(super::test_clock::advance);
    hot(&mut ServiceConfig::new(app));
    // ORDER: last, because it answers everything that no route before it took.
    app.app_data(web::Data::new(Paths::of(&openapi::document()))).service(others);
}
