//! Prometheus' text as OpenMetrics 1.0, for scrapers that ask for it.

use std::fmt::Write;

use axum::http::{HeaderMap, header};

/// Its content type.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether a scraper takes OpenMetrics 1 rather than Prometheus' own text.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let quality = |kind: &str| {
        let ranges = accepted.split(',').filter(|range| range.trim_start().starts_with(kind));
        let quality = |range: &str| {
            let given = range.split(';').find_map(|part| part.trim().strip_prefix("q="));
            given.map_or(Some(1.0), |text| text.trim().parse::<f32>().ok()).unwrap_or(0.0)
        };
        ranges.map(quality).fold(0.0, f32::max)
    };
    let open = quality("application/openmetrics-text");
    open > 0.0 && open >= quality("text/plain")
}

/// The same series: a counter's family is named without `_total`, quotation marks in help are escaped, and the end is
/// marked.
pub(super) fn of(text: &str) -> String {
    let mut open = String::with_capacity(text.len() + 64);
    let mut help = None;
    for line in text.lines() {
        match line.strip_prefix("# ").and_then(|rest| rest.split_once(' ')) {
            Some(("HELP", rest)) => help = rest.split_once(' '),
            Some(("TYPE", rest)) => {
                let (name, kind) = rest.split_once(' ').unwrap_or((rest, "unknown"));
                let family =
                    if kind == "counter" { name.strip_suffix("_total").unwrap_or(name) } else { name };
                // Writing to a text does not fail.
                let _ = writeln!(open, "# TYPE {family} {kind}");
                if let Some((_, told)) = help.take().filter(|(named, _)| *named == name) {
                    let _ = writeln!(open, "# HELP {family} {}", told.replace('"', "\\\""));
                }
            }
            _ => {
                open.push_str(line);
                open.push('\n');
            }
        }
    }
    open.push_str("# EOF\n");
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_lose_their_ending_and_the_end_is_marked() {
        let text = "# HELP a_total Said \"so\"\n# TYPE a_total counter\na_total{b=\"c\"} 1\n# HELP d Now\n# TYPE d gauge\nd 2\n";
        let open = "# TYPE a counter\n# HELP a Said \\\"so\\\"\na_total{b=\"c\"} 1\n# TYPE d gauge\n# HELP d Now\nd 2\n# EOF\n";
        assert_eq!(of(text), open);
    }

    #[test]
    fn who_prefers_which_gets_it() {
        let wanted =
            |accept: &str| is_wanted(&HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]));
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert!(wanted(prometheus) && wanted("application/openmetrics-text"));
        for accept in [
            "*/*",
            "text/plain",
            "text/plain,application/openmetrics-text;q=0.5",
            "application/openmetrics-text;q=0",
        ] {
            assert!(!wanted(accept), "{accept}");
        }
        assert!(!is_wanted(&HeaderMap::new()));
    }
}
