//! What HTTP costs without a decision: the same body parsed, an answer of the same shape written. Port: first argument.

use actix_web::http::header::ContentType;
use actix_web::{App, HttpResponse, HttpServer, post, web};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request<'a> {
    account: &'a str,
    resource: &'a str,
    tokens: u64,
}

#[derive(Serialize)]
struct Decision<'a> {
    decision: &'a str,
    revision: u64,
    limits: [Limit<'a>; 2],
}

#[derive(Serialize)]
struct Limit<'a> {
    id: &'a str,
    scope: &'a str,
    quota: u64,
    used: u64,
    remaining: u64,
    reset_after_ms: i64,
}

#[post("/v1/decisions")]
async fn decide(body: web::Bytes) -> HttpResponse {
    let Ok(request) = serde_json::from_slice::<Request<'_>>(&body) else { return HttpResponse::BadRequest().finish() };
    let length = (request.account.len() + request.resource.len()) as u64;
    let limit = |id, used| Limit { id, scope: "account", quota: 1_000_000, used, remaining: 7, reset_after_ms: 59_000 };
    let limits = [limit("rpm", length), limit("tpm", request.tokens)];
    let mut answer = Vec::with_capacity(768);
    serde_json::to_writer(&mut answer, &Decision { decision: "allow", revision: 1, limits }).expect("to memory");
    HttpResponse::Ok().content_type(ContentType::json()).body(answer)
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    // `cargo bench` adds an argument of its own.
    let port = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(8079);
    HttpServer::new(|| App::new().service(decide)).workers(1).bind(("127.0.0.1", port))?.run().await
}
