//! Every route. Registering one documents it and makes its other methods answer 405.

use super::access_log::AccessLog;
use super::paths;
use super::problem::{Place, Problem};
use super::{
    accounts, api_keys, approvals, audit, caps, clamps, decisions, docs, health, help, operators, overrides, policies,
    raise_requests, reservations, security_log, sessions,
};
use super::{audit_chain, billing_sources, eligibility, hooks, payments, reconcile};
use super::{history, sub_accounts, tier, tiers, usage};
use actix_web::error::PathError;
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
    routes
        .service(accounts::create)
        .service(accounts::list)
        .service(accounts::read)
        .service(accounts::update)
        .service(accounts::suspend)
        .service(accounts::resume)
        .service(sub_accounts::create)
        .service(sub_accounts::list)
        .service(caps::read)
        .service(caps::replace)
        .service(tier::read)
        .service(tier::pin)
        .service(tier::unpin)
        .service(usage::limits)
        .service(usage::read)
        .service(usage::reset)
        .service(history::read)
        .service(history::top);
    routes
        .service(payments::top_up)
        .service(payments::refund)
        .service(payments::ledger)
        .service(payments::entry)
        .service(eligibility::read)
        .service(reconcile::digest)
        .service(reconcile::reconcile)
        .service(hooks::deliver)
        .service(billing_sources::create)
        .service(billing_sources::list)
        .service(billing_sources::read)
        .service(billing_sources::add_secret)
        .service(billing_sources::remove_secret)
        .service(billing_sources::disable)
        .service(billing_sources::enable);
    routes
        .service(approvals::list)
        .service(approvals::read)
        .service(approvals::approve)
        .service(approvals::reject)
        .service(overrides::create)
        .service(overrides::list)
        .service(overrides::read)
        .service(overrides::revoke)
        .service(clamps::create)
        .service(clamps::list)
        .service(clamps::read)
        .service(clamps::remove);
    routes
        .service(raise_requests::submit)
        .service(raise_requests::list)
        .service(raise_requests::read)
        .service(raise_requests::read_evidence)
        .service(raise_requests::refresh)
        .service(raise_requests::assign)
        .service(raise_requests::request_info)
        .service(raise_requests::reply)
        .service(raise_requests::counter_offer)
        .service(raise_requests::accept)
        .service(raise_requests::decline)
        .service(raise_requests::approve)
        .service(raise_requests::deny)
        .service(raise_requests::withdraw)
        .service(raise_requests::note);
    routes
        .service(policies::publish)
        .service(policies::list)
        .service(policies::read)
        .service(policies::activate)
        .service(policies::active)
        .service(policies::activations)
        .service(tiers::list)
        .service(tiers::set_quota)
        .service(audit::list)
        .service(audit_chain::head)
        .service(audit_chain::verify);
    routes
        .service(api_keys::create)
        .service(api_keys::list)
        .service(api_keys::read)
        .service(api_keys::rotate)
        .service(api_keys::revoke)
        .service(sessions::login)
        .service(sessions::logout)
        .service(sessions::list)
        .service(sessions::end)
        .service(sessions::list_of)
        .service(sessions::end_of)
        .service(sessions::change_password)
        .service(operators::me)
        .service(operators::create)
        .service(operators::list)
        .service(operators::read)
        .service(operators::update)
        .service(operators::remove)
        .service(security_log::list);
}

/// Everything that the server answers.
pub(super) fn configure(app: &mut web::ServiceConfig) {
    let others = web::scope("")
        .wrap(TracingLogger::<AccessLog>::new())
        .configure(|scope| control(&mut ServiceConfig::new(scope)))
        .service(docs::to_ui)
        .service(help::errors)
        .service(docs::ui)
        .default_service(web::to(paths::fallback));
    #[cfg(feature = "manual-clock")]
    app.service(super::test_clock::advance);
    hot(&mut ServiceConfig::new(app));
    // ORDER: last, because it answers everything that no route before it took.
    app.app_data(paths::known()).app_data(path_config()).service(others);
    // What has no path at all: `OPTIONS *`.
    app.default_service(web::to(paths::fallback));
}

/// A path's part that does not follow the grammar of its kind.
fn path_config() -> web::PathConfig {
    web::PathConfig::default().error_handler(|error, request| {
        let pattern = request.match_pattern().unwrap_or_default();
        let names: Vec<&str> = pattern.split(['{', '}']).skip(1).step_by(2).collect();
        let pointer = if let [only] = names.as_slice() { format!("/{only}") } else { String::new() };
        let detail = match &error {
            PathError::Deserialize(why) => why.to_string(),
            other => other.to_string(),
        };
        Problem::field(Place::Path, pointer, "invalid_value", detail).into()
    })
}
