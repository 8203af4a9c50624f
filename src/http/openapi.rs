//! The OpenAPI document: the routes' own words, and what they have in common added to each.

use super::access::{self, Access, Reach};
use super::problem::{Body, Code, PROBLEM_JSON, Problem};
use super::query::PageSize;
use super::routes;
use crate::domain::ids::{AccountId, OperatorName, PolicyId};
use crate::engine::Handle;
use crate::services::api_keys::Scope;
use crate::services::operators::Role;
use actix_web::App;
use actix_web::http::StatusCode;
use serde_json::json;
use std::collections::BTreeSet;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Required, ResponseBuilder};
use utoipa::{OpenApi, ToSchema};
use utoipa_actix_web::AppExt;

/// The name of the one way to send a credential.
const SCHEME: &str = "bearer";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Quotagate",
        description = include_str!("openapi.md"),
        contact(name = "The Quotagate authors"),
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "decisions", description = "May this request run? All limits at once, in memory."),
        (name = "reservations", description = "Hold a concurrency slot, and correct the cost when it is known."),
        (name = "accounts", description = "Main accounts and their sub-accounts: suspension, tier, caps."),
        (name = "money", description = "Top-ups, refunds and chargebacks, once each, sent or delivered signed; the ledger; what each tier takes."),
        (name = "usage", description = "What an account may use, why, and what it has used."),
        (name = "overrides", description = "Quotas for single accounts, for a time or for good."),
        (name = "approvals", description = "Four eyes: what one operator asked for and another has to approve."),
        (name = "clamps", description = "Emergency ceilings. They only lower."),
        (name = "raise requests", description = "A customer asks for more, a reviewer answers; an approval takes effect at once."),
        (name = "tiers", description = "Tiers of the active revision, with every quota; change one quota in one step."),
        (name = "policies", description = "Revisions of the policy: publish, read, activate."),
        (name = "keys", description = "API keys: what machines present, with scopes, perhaps bound to one account."),
        (name = "operators", description = "People with a name, a password and a role; login and logout."),
        (name = "audit", description = "Every change that was ever made, by whom and why."),
        (name = "server", description = "Health, metrics, and this document."),
    ),
    // Those that stand in parameters only are not collected from the routes.
    components(schemas(Body, Code, Handle, AccountId, PolicyId, OperatorName, PageSize)),
)]
struct Base;

/// The document of everything that is registered.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    let app = App::new().into_utoipa_app().openapi(Base::openapi());
    let mut document = app.configure(routes::hot).configure(routes::control).split_for_parts().1;
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            add_access(operation);
            may_leave_out_body(operation);
            add_common_responses(operation);
        }
    }
    let reads = document.paths.paths.iter_mut().filter(|(path, _)| path.starts_with("/v1/"));
    reads.filter_map(|(_, item)| item.get.as_mut()).for_each(make_conditional);
    add_scheme(&mut document);
    drop_unused(&mut document);
    document
}

/// Tags and schemas that no operation leads to would only be noise.
fn drop_unused(document: &mut utoipa::openapi::OpenApi) {
    let tags = document.paths.paths.values_mut().flat_map(operations);
    let used: BTreeSet<String> = tags.flat_map(|operation| operation.tags.clone().unwrap_or_default()).collect();
    if let Some(tags) = &mut document.tags {
        tags.retain(|tag| used.contains(&tag.name));
    }
    loop {
        let text = serde_json::to_string(document).unwrap_or_default();
        let Some(components) = &mut document.components else { return };
        let before = components.schemas.len();
        let named = text.split("\"#/components/schemas/").skip(1);
        let named: BTreeSet<&str> = named.filter_map(|rest| rest.split('"').next()).collect();
        components.schemas.retain(|name, _| named.contains(name.as_str()));
        if components.schemas.len() == before {
            return;
        }
    }
}

/// The document as it is served and committed: indented, with an end of line.
#[must_use]
pub fn json() -> String {
    let mut json = serde_json::to_string_pretty(&document()).unwrap_or_default();
    json.push('\n');
    json
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let methods = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
    methods.into_iter().filter_map(Option::as_mut)
}

/// How credentials are sent.
fn add_scheme(document: &mut utoipa::openapi::OpenApi) {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("qg_… or qs_…")
        .description(Some("An API key, or the token that `POST /v1/sessions` gave. The first operator or key is made with the setup token that the server prints at its start."))
        .build();
    let schemes = &mut document.components.get_or_insert_default().security_schemes;
    schemes.insert(SCHEME.to_owned(), RefOr::T(SecurityScheme::Http(scheme)));
    document.security = Some(Vec::new());
}

/// Who may call it: the security scheme, `x-required` and a sentence.
fn add_access(operation: &mut Operation) {
    let Access::Needs(scopes, reach, action) =
        access::of_operation(operation.operation_id.as_deref().unwrap_or_default())
    else {
        return;
    };
    let none: [&str; 0] = [];
    operation.security = Some(vec![SecurityRequirement::new(SCHEME, none)]);
    let named: Vec<String> = scopes.iter().map(|scope| format!("`{}`", scope.as_str())).collect();
    let bound = match reach {
        Reach::All => "; not for keys bound to an account",
        Reach::Record => " (by `raise` only one that is bound to an account)",
        Reach::Account | Reach::Reservation | Reach::Body | Reach::Common => "",
    };
    let roles = action.roles();
    let of_roles: Vec<String> = roles.iter().map(|role| format!("`{}`", role.as_str())).collect();
    let role = if roles.len() == Role::ALL.len() {
        "any role".to_owned()
    } else {
        format!("the role {}", of_roles.join(" or "))
    };
    let scope = if scopes.len() == Scope::ALL.len() {
        "any scope".to_owned()
    } else {
        format!("the scope {}", named.join(" or "))
    };
    let sentence = match scopes {
        [] => format!("Needs {role} of an operator; not for keys."),
        _ => format!("Needs {scope} of a key{bound}, or {role} of an operator."),
    };
    let description = operation.description.take().filter(|text| !text.is_empty());
    operation.description =
        Some(description.map_or_else(|| sentence.clone(), |text| format!("{}\n\n{sentence}", text.trim_end())));
    let required: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
    // One only: they are written in no order of their own.
    let roles: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    let value = json!({"scopes": required, "bound_keys": reach != Reach::All, "roles": roles});
    operation.extensions.get_or_insert_default().insert("x-required".to_owned(), value);
}

/// A body that is not required is left out, not sent as null.
fn may_leave_out_body(operation: &mut Operation) {
    let Some(RefOr::T(body)) = &mut operation.request_body else { return };
    let is_required = matches!(body.required, Some(Required::True));
    for content in body.content.values_mut() {
        let RefOr::T(content) = content else { continue };
        let Some(RefOr::T(Schema::OneOf(either))) = &content.schema else { continue };
        let named = either.items.iter().find(|item| matches!(item, RefOr::Ref(_)));
        if let ([_, _], Some(named), false) = (either.items.as_slice(), named, is_required) {
            content.schema = Some(named.clone());
        }
    }
}

/// Error answers that follow from what an operation takes, and the form of those that it declares itself.
fn add_common_responses(operation: &mut Operation) {
    let responses = &mut operation.responses.responses;
    if let Some(RefOr::T(made)) = responses.get("201") {
        let mut checked = made.clone();
        "In order; nothing was made (`validate_only`)".clone_into(&mut checked.description);
        checked.headers.clear();
        responses.entry("200".to_owned()).or_insert(RefOr::T(checked));
    }
    for (status, response) in &mut operation.responses.responses {
        let is_error = status.starts_with(['4', '5']);
        if let RefOr::T(response) = response
            && is_error
            && response.content.is_empty()
        {
            let content = problem_content(status, &response.description);
            response.content.insert(PROBLEM_JSON.to_owned(), content.into());
        }
    }
    for (status, description) in common(operation) {
        let content = problem_content(status.as_str(), description);
        let response = ResponseBuilder::new().description(description).content(PROBLEM_JSON, content);
        let responses = &mut operation.responses.responses;
        responses.entry(status.as_str().to_owned()).or_insert_with(|| RefOr::T(response.build()));
    }
}

/// Every read has an entity tag, and may be asked for only where that has changed.
fn make_conditional(operation: &mut Operation) {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let tag = HeaderBuilder::new().schema(Some(text().examples([json!("\"12-9f86d081884c7d65\"")])));
    let tag = tag.description(Some("Of the body; what a change names in `If-Match`, where there is one.")).build();
    let unchanged = ResponseBuilder::new().description("Unchanged: `If-None-Match` names the present `ETag`");
    let condition = ParameterBuilder::new()
        .name("If-None-Match")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("Entity tags that were read before: where the present one is among them, the answer is 304."))
        .schema(Some(text()));
    if let Some(RefOr::T(found)) = operation.responses.responses.get_mut("200") {
        found.headers.insert("ETag".to_owned(), tag.clone().into());
    }
    operation.responses.responses.insert("304".to_owned(), unchanged.header("ETag", tag).build().into());
    operation.parameters.get_or_insert_default().push(condition.build().into());
}

fn common(operation: &Operation) -> Vec<(StatusCode, &'static str)> {
    let parameters = operation.parameters.as_deref().unwrap_or_default();
    let parameters: Vec<&Parameter> = parameters
        .iter()
        .filter_map(|parameter| match parameter {
            RefOr::T(parameter) => Some(parameter),
            RefOr::Ref(_) => None,
        })
        .collect();
    let takes = |place: &ParameterIn| parameters.iter().any(|parameter| parameter.parameter_in == *place);
    let takes_header = |name: &str| parameters.iter().any(|parameter| parameter.name == name);
    let has_body = operation.request_body.is_some();
    let in_path = takes(&ParameterIn::Path);
    let is_change = parameters.iter().any(|parameter| parameter.name == "validate_only");
    let is_kept = takes_header("If-Match") || takes_header("Idempotency-Key");
    let needs_credential = operation.security.is_some();
    let is_plain = !has_body && parameters.is_empty();
    let add = [
        (true, StatusCode::BAD_REQUEST, "The request is not well formed, or its body is not JSON"),
        (needs_credential, StatusCode::UNAUTHORIZED, "`unauthorized`: there is no valid credential"),
        (needs_credential, StatusCode::FORBIDDEN, "`forbidden`: the credential does not allow this"),
        (in_path || is_change, StatusCode::NOT_FOUND, "What the path or the body names does not exist"),
        (is_change, StatusCode::CONFLICT, "Does not fit the present state; `code` says why"),
        (takes_header("If-Match"), StatusCode::PRECONDITION_FAILED, "It has moved on; `current_etag` is its tag now"),
        (has_body, StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than this server takes"),
        (in_path || takes(&ParameterIn::Query), StatusCode::URI_TOO_LONG, "Path and query are longer than 8 KiB"),
        (has_body, StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is not `application/json`"),
        (true, StatusCode::UNPROCESSABLE_ENTITY, "Something is not valid; `errors` lists every value"),
        (takes_header("If-Match"), StatusCode::PRECONDITION_REQUIRED, "`If-Match` is missing"),
        (!is_plain, StatusCode::INTERNAL_SERVER_ERROR, "Something broke in the server"),
        (is_kept, StatusCode::SERVICE_UNAVAILABLE, "Changes cannot be taken for now; `Retry-After` says when"),
    ];
    add.into_iter().filter(|(applies, ..)| *applies).map(|(_, status, description)| (status, description)).collect()
}

/// A problem, with an example of each code that the description names, or of the usual one of the status.
fn problem_content(status: &str, description: &str) -> utoipa::openapi::Content {
    let of_status = || Code::ALL.iter().copied().filter(|code| code.status().as_str() == status);
    let is_named = |code: &Code| description.contains(&format!("`{}`", code.as_value()));
    let named: Vec<Code> = of_status().filter(is_named).collect();
    let codes = if named.is_empty() { of_status().filter(|code| is_usual(*code)).collect() } else { named };
    let example = |code: Code| {
        let body = serde_json::to_value(Problem::example(code).body()).unwrap_or_default();
        (code.as_value(), RefOr::T(ExampleBuilder::new().value(Some(body)).build()))
    };
    ContentBuilder::new()
        .schema(Some(RefOr::<Schema>::Ref(Ref::from_schema_name(Body::name()))))
        .examples_from_iter(codes.into_iter().map(example))
        .build()
}

/// Of the codes that share a status, the one that is met most often.
fn is_usual(code: Code) -> bool {
    match code {
        Code::InvalidJson
        | Code::NotFound
        | Code::MethodNotAllowed
        | Code::Conflict
        | Code::Stale
        | Code::BodyTooLarge
        | Code::UriTooLong
        | Code::UnsupportedMediaType
        | Code::InvalidRequest
        | Code::InvalidSignature
        | Code::Unauthorized
        | Code::Forbidden
        | Code::PreconditionRequired
        | Code::TooManyAttempts
        | Code::RequestTimeout
        | Code::Internal
        | Code::Busy => true,
        Code::InvalidHttp
        | Code::AboveCeiling
        | Code::OwnRequest
        | Code::RaiseRequestOpen
        | Code::WrongState
        | Code::OfferOver
        | Code::AlreadySatisfied
        | Code::AboveMaximum
        | Code::NotAdjustable
        | Code::ForeignOrigin
        | Code::ForeignHost
        | Code::HeadersTooLarge
        | Code::TooManyRequests
        | Code::NoSuchPath
        | Code::UnknownReservation
        | Code::ReservationConflict
        | Code::ReservationEnded
        | Code::AccountExists
        | Code::NotAMainAccount
        | Code::NotASubAccount
        | Code::ApprovalClosed
        | Code::OverrideEnded
        | Code::OverrideOverlaps
        | Code::EventConflict
        | Code::PaymentConflict
        | Code::SourceDisabled
        | Code::SourceExists
        | Code::OperatorExists
        | Code::LastOwner
        | Code::TooManySecrets
        | Code::LastSecret
        | Code::AlreadyActive
        | Code::Unchanged
        | Code::IdempotencyInFlight
        | Code::ReservationRequired
        | Code::IdempotencyMismatch
        | Code::Uncertain
        | Code::Capacity
        | Code::ReadOnly => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use utoipa::PartialSchema;

    #[test]
    fn every_operation_has_what_a_reader_needs() {
        let mut document = document();
        let mut ids = BTreeSet::new();
        for (path, item) in &mut document.paths.paths {
            for operation in operations(item) {
                let id = operation.operation_id.clone().unwrap_or_default();
                assert!(!id.is_empty() && ids.insert(id), "{path}: an operation id of its own");
                assert!(operation.summary.is_some(), "{path}: a title");
                assert_eq!(operation.tags.as_ref().map(Vec::len), Some(1), "{path}: one tag");
                for parameter in operation.parameters.iter().flatten() {
                    let RefOr::T(parameter) = parameter else { continue };
                    let (name, described) = (&parameter.name, parameter.description.is_some());
                    assert!(described, "{path}: what `{name}` is");
                }
                for (status, response) in &operation.responses.responses {
                    let RefOr::T(response) = response else { continue };
                    let is_error = status.starts_with(['4', '5']);
                    assert!(!is_error || !response.content.is_empty(), "{path} {status}: a form");
                }
            }
        }
    }

    #[test]
    fn every_tag_that_is_used_is_described() {
        let mut document = document();
        let described: BTreeSet<String> = document.tags.iter().flatten().map(|tag| tag.name.clone()).collect();

        let operations = document.paths.paths.values_mut().flat_map(operations);
        let used: BTreeSet<String> =
            operations.flat_map(|operation| operation.tags.clone().unwrap_or_default()).collect();

        assert_eq!(used, described);
    }

    #[test]
    fn the_document_names_every_code() {
        let schema = serde_json::to_value(Code::schema()).unwrap();

        assert!(schema["enum"].as_array().is_some_and(|codes| codes.len() > 20));
    }
}
