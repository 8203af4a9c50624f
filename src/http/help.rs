//! `docs/errors.md` as a page, where the `type` of a problem leads: a heading with an anchor for each code.

use super::query::NoQuery;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, get};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd, html};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

const SOURCE: &str = include_str!("../../docs/errors.md");
const STYLE: &str = "body{max-width:48rem;margin:2rem auto;padding:0 1rem;font:1rem/1.5 system-ui,sans-serif}\
    td,th{padding:.25rem .5rem;vertical-align:top;text-align:left}:target{background:#fe9}";

/// What every code of an error means and what to do
#[get("/docs/errors")]
pub(crate) async fn errors(_: NoQuery) -> HttpResponse {
    static PAGE: LazyLock<(HeaderValue, String)> = LazyLock::new(|| (own_style_only(STYLE), page(SOURCE)));
    let (policy, page) = &*PAGE;
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((header::CONTENT_SECURITY_POLICY, policy.clone()))
        .body(page.as_str())
}

/// The content security policy of a page that has its own style, in one element, and nothing else.
pub(super) fn own_style_only(style: &str) -> HeaderValue {
    let style = BASE64_STANDARD.encode(Sha256::digest(style));
    let policy = format!("default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; frame-ancestors 'none'");
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"))
}

fn head() -> String {
    let meta = "<meta charset=\"utf-8\"><title>Errors</title>";
    format!("<!doctype html>\n<html lang=\"en\"><head>{meta}\n<style>{STYLE}</style></head><body>\n")
}

fn page(markdown: &str) -> String {
    let codes: Vec<&str> = markdown.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let mut page = head();
    let events = Parser::new_ext(markdown, Options::ENABLE_TABLES).map(|event| linked(event, &codes));
    html::push_html(&mut page, events);
    page.push_str("</body></html>\n");
    page
}

/// The heading of a code gets its anchor, a code that is named leads to it; other pages are not served.
fn linked<'a>(event: Event<'a>, codes: &[&'a str]) -> Event<'a> {
    match event {
        Event::Code(code) if codes.contains(&&*code) => {
            Event::InlineHtml(format!("<a href=\"#{code}\"><code>{code}</code></a>").into())
        }
        Event::Text(text) if codes.contains(&&*text) => {
            Event::InlineHtml(format!("<a id=\"{text}\">{text}</a>").into())
        }
        Event::Start(Tag::Link { .. }) | Event::End(TagEnd::Link) => Event::InlineHtml("".into()),
        event => event,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_markdown_of_the_page_becomes_html() {
        let text = "# A\n\nSee [the page](a.md) of `x` & `<b>`.\n\n| h |\n|---|\n| `x` |\n\n## x\n\nWhy.\n";

        let html = page(text);

        let body = html.strip_prefix(&head()).unwrap();
        let link = "<a href=\"#x\"><code>x</code></a>";
        assert!(body.contains(&format!("<p>See the page of {link} &amp; <code>&lt;b&gt;</code>.</p>")), "{body}");
        assert!(body.contains(&format!("<td>{link}</td>")), "{body}");
        assert!(body.contains("<h2><a id=\"x\">x</a></h2>"), "{body}");
    }
}
