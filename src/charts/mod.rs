//! Pages with plots: one HTML text with its style inside, nothing loaded from elsewhere, no scripts.
//!
//! Owns the plots as SVG with their axes and colours, the style sheet, the head of a page, escaping. Deliberately absent:
//! what is shown (`cli` and `services`).

mod axis;
mod plot;

pub(crate) use axis::{Axis, moment};
pub(crate) use plot::{ALLOWED, DENIED, Failed, Frame, QUOTA, USE, WANTED, bar, draw, line};

/// What stands in the `style` element of a page.
pub(crate) const STYLE: &str = include_str!("style.css");

/// A page up to its content, which [`END`] closes.
pub(crate) fn begin(title: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<main>\n",
        escape(title)
    )
}

pub(crate) const END: &str = "</main>\n</body>\n</html>\n";

/// A section with a plot; `title` and `legend` are HTML.
pub(crate) fn figure(kind: &str, title: &str, legend: &str, svg: &str) -> String {
    let svg = svg.trim_start();
    format!(
        "<section>\n<h2>{title}</h2>\n<figure class=\"plot {kind}\">\n<figcaption>{legend}</figcaption>\n{svg}</figure>\n\
         </section>\n"
    )
}

/// Text for use in HTML, in attributes too.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_text_is_escaped() {
        assert_eq!(escape("<b a=\"1\" c='2'>&"), "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;");
    }

    #[test]
    fn every_colour_of_the_plots_has_another_on_a_dark_page() {
        for colour in [plot::INK, plot::GRID, ALLOWED, DENIED, USE, QUOTA, WANTED] {
            let written = format!("\"#{:02X}{:02X}{:02X}\"", colour.0, colour.1, colour.2);
            assert!(STYLE.contains(&written), "{written}");
        }
    }
}
