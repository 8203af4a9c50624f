//! The evidence of a raise request, as JSON and as a page.

use super::Asker;
use super::answer;
use super::bodies::EvidenceQuery;
use super::views::EvidenceAnswer;
use crate::domain::ids::PolicyId;
use crate::domain::quantity::Quota;
use crate::http::help::own_style_only;
use crate::http::problem::Problem;
use crate::http::query::ReadWith;
use crate::http::tags;
use crate::services::evidence::{Page, Reader, STYLE, page};
use crate::services::raise_requests::{self as requests, EvidencePage, Sees};
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse, get};

/// Read the evidence of a raise request
///
/// What the server knew of the account when it was filed, or when it was taken anew; frozen, with its hash. With `Accept:
/// text/html` it is a page with plots, the snapshots before it at its end.
#[utoipa::path(
    operation_id = "getRaiseRequestEvidence",
    tag = "raise requests",
    params(
        ("id" = String, Path, description = "The raise request", example = "rr_01kg8y2v0031gwr3b99bwpg6k4"),
        EvidenceQuery,
    ),
    responses((
        status = 200, description = "The snapshot", headers(("ETag" = String)),
        content((EvidenceAnswer = "application/json"), (String = "text/html")),
    )),
)]
#[get("/v1/raise-requests/{id}/evidence")]
pub(crate) async fn read_evidence(
    asker: Asker,
    request: HttpRequest,
    ReadWith { query, read: reading }: ReadWith<EvidenceQuery>,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    if wants_page(request.headers()) {
        let reader = if asker.party.sees == Sees::Shared { Reader::Customer } else { Reader::Operator };
        let work = move |services: &_, now| requests::evidence_page(services, &asker.party, (&id, query.number), now);
        return Ok(html(&reading.run(work).await?, reader));
    }
    let work = move |services: &_, now| requests::evidence(services, &asker.party, (&id, query.number), now);
    let view = reading.run(work).await?;
    let mut response = answer::record(&EvidenceAnswer::from(view.value), view.revision)?;
    response.headers_mut().insert(header::VARY, header::HeaderValue::from_static("accept"));
    Ok(response)
}

/// Whether `text/html` is asked for, and JSON is not.
fn wants_page(headers: &HeaderMap) -> bool {
    let accepts = |kind: &str| {
        let given = headers.get_all(header::ACCEPT).filter_map(|value| value.to_str().ok());
        given.flat_map(|value| value.split(',')).any(|range| range.split(';').next().unwrap_or_default().trim() == kind)
    };
    accepts("text/html") && !accepts("application/json")
}

fn html(found: &EvidencePage, reader: Reader) -> HttpResponse {
    let record = &found.request.record;
    let wanted: Vec<(PolicyId, Quota)> = record.limits.iter().map(|asked| (asked.limit.clone(), asked.quota)).collect();
    let links = record.links.join("\n");
    let said = [
        ("Use case", Some(&record.use_case)),
        ("Expected peak", record.expected_peak.as_ref()),
        ("Links", Some(&links).filter(|links| !links.is_empty())),
    ];
    let words: Vec<(&str, &str)> = said.into_iter().filter_map(|(what, text)| Some((what, text?.as_str()))).collect();
    let (heading, snapshots) = (&*found.request.id, &*found.snapshots);
    let text = page(&Page { heading, snapshots, wanted: &wanted, reader, words: &words });
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((header::CONTENT_SECURITY_POLICY, own_style_only(STYLE)))
        .insert_header((header::VARY, "accept"))
        .insert_header((header::ETAG, tags::of_body(text.as_bytes())))
        .body(text)
}
