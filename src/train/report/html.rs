//! The page around the figures: escaping, style, small parts.

use std::fmt::Display;

/// Light and dark. Curves come from a drawing library that knows no variables, so their inks are mapped here, by
/// the colours of `curves`.
const STYLE: &str = include_str!("style.css");

/// A whole page around a body.
pub(in crate::train) fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        escape(title)
    )
}

/// Escapes text for use between tags and in quoted attributes.
pub(in crate::train) fn escape(text: impl Display) -> String {
    let mut out = String::new();
    for letter in text.to_string().chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// A titled section; `lead` explains it. Both are HTML.
pub(in crate::train) fn section(title: &str, lead: &str, body: &str) -> String {
    format!("<section>\n<h2>{title}</h2>\n<p class=\"lead\">{lead}</p>\n{body}</section>\n")
}

/// A table of cells that are HTML; the first row of cells is its head, columns after the first are numbers.
pub(in crate::train) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: String = head.iter().map(|cell| format!("<th>{cell}</th>")).collect();
    let row = |cells: &Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let rows: String = rows.iter().map(row).collect();
    format!(
        "<div class=\"wide\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    )
}

/// Names and values, both plain text.
pub(in crate::train) fn list(pairs: &[(String, String)]) -> String {
    let pair =
        |(name, value): &(String, String)| format!("<dt>{}</dt><dd>{}</dd>\n", escape(name), escape(value));
    format!("<dl>\n{}</dl>\n", pairs.iter().map(pair).collect::<String>())
}

/// A part that opens on demand.
pub(super) fn details(title: &str, body: &str) -> String {
    format!("<details><summary>{title}</summary>\n{body}</details>\n")
}

/// 0.9312 as `93.1 %`.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
