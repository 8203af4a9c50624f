//! Every route. Registering one documents it and makes its other methods answer 405.

use super::paths::{self, Paths};
use super::{decisions, openapi, reservations};
use actix_web::web;
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
pub(super) fn control(_routes: &mut ServiceConfig<'_>) {}

/// Everything that the server answers.
pub fn configure(app: &mut web::ServiceConfig) {
    hot(&mut ServiceConfig::new(app));
    control(&mut ServiceConfig::new(app));
    app.app_data(web::Data::new(Paths::of(&openapi::document()))).default_service(web::to(paths::fallback));
}
