//! `docs/errors.md` as a page, where the `type` of a problem leads: a heading with an anchor for each code.
//!
//! Reads as much of Markdown as that page uses: headings, paragraphs, tables, code and links.

use super::query::NoQuery;
use actix_web::http::header;
use actix_web::{HttpResponse, get};
use std::sync::LazyLock;

const SOURCE: &str = include_str!("../../docs/errors.md");
const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Errors</title>\n<style>\
    body{max-width:48rem;margin:2rem auto;padding:0 1rem;font:1rem/1.5 system-ui,sans-serif}\
    td,th{padding:.25rem .5rem;vertical-align:top;text-align:left}:target{background:#fe9}</style></head><body>\n";

/// What every code of an error means and what to do
#[get("/docs/errors")]
pub(crate) async fn errors(_: NoQuery) -> HttpResponse {
    static PAGE: LazyLock<String> = LazyLock::new(|| page(SOURCE));
    HttpResponse::Ok().insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8")).body(PAGE.as_str())
}

fn page(markdown: &str) -> String {
    let mut page = HEAD.to_owned();
    let codes: Vec<&str> = markdown.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    for block in markdown.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
        page.push_str(&match block {
            _ if block.starts_with("# ") => format!("<h1>{}</h1>", inline(&block[2..], &codes)),
            _ if block.starts_with("## ") => format!("<h2 id=\"{0}\">{0}</h2>", &block[3..]),
            _ if block.starts_with('|') => table(block, &codes),
            _ => format!("<p>{}</p>", inline(block, &codes)),
        });
        page.push('\n');
    }
    page.push_str("</body></html>\n");
    page
}

fn table(block: &str, codes: &[&str]) -> String {
    let mut table = String::from("<table>");
    // The second line only says that the first is a head.
    for (position, line) in block.lines().enumerate().filter(|(position, _)| *position != 1) {
        let cell = if position == 0 { "th" } else { "td" };
        table.push_str("<tr>");
        for text in line.trim_matches('|').split('|') {
            table.push_str(&format!("<{cell}>{}</{cell}>", inline(text.trim(), codes)));
        }
        table.push_str("</tr>");
    }
    table + "</table>"
}

/// Code in backticks, which leads to its section where it is an error's; links by their words.
fn inline(text: &str, codes: &[&str]) -> String {
    let mut html = String::new();
    for (position, part) in text.split('`').enumerate() {
        let part_html = match position % 2 {
            0 => escaped(&without_targets(part)),
            _ if codes.contains(&part) => format!("<a href=\"#{part}\"><code>{part}</code></a>"),
            _ => format!("<code>{}</code>", escaped(part)),
        };
        html.push_str(&part_html);
    }
    html
}

/// `[words](target)` as `words`: the other pages are not served.
fn without_targets(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        let Some((words, (_, after))) =
            link.split_once("](").and_then(|(words, end)| Some((words, end.split_once(')')?)))
        else {
            break;
        };
        plain.push_str(before);
        plain.push_str(words);
        rest = after;
    }
    plain + rest
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_markdown_of_the_page_becomes_html() {
        let text = "# A\n\nSee [the page](a.md) of `x` & `<b>`.\n\n| h |\n|---|\n| `x` |\n\n## x\n\nWhy.\n";

        let html = page(text);

        let body = html.strip_prefix(HEAD).unwrap();
        let link = "<a href=\"#x\"><code>x</code></a>";
        assert_eq!(
            body,
            format!(
                "<h1>A</h1>\n<p>See the page of {link} &amp; <code>&lt;b&gt;</code>.</p>\n\
                 <table><tr><th>h</th></tr><tr><td>{link}</td></tr></table>\n<h2 id=\"x\">x</h2>\n<p>Why.</p>\n\
                 </body></html>\n"
            )
        );
    }
}
