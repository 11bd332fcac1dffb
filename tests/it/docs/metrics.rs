//! The metric families: name, kind, labels and help text, from a registry in which every family has a series.

use std::collections::BTreeMap;
use std::fmt::Write;

use mimi_server::metrics::Metrics;

use super::check_page;
use crate::support::repository;

const HEAD: &str = "# Metrics\n\n`GET /metrics` gives these families in Prometheus' text format. Units are seconds and \
                    bytes. Label values come from the catalog or from fixed lists, never from a request. A request that \
                    names no published task is counted under `task=\"none\"`.\n\n| name | kind | labels | meaning \
                    |\n|---|---|---|---|\n";

/// What the exposition says of a family.
#[derive(Default)]
struct Family {
    kind: String,
    labels: Vec<String>,
    help: String,
}

/// A registry's text in which every family with labels has one series.
fn exposition() -> String {
    let metrics = Metrics::new().unwrap();
    for vector in [
        &metrics.flops,
        &metrics.rows_dropped,
        &metrics.prefix_lookups,
        &metrics.connections_closed,
        &metrics.tls_reloads,
        &metrics.pack_reloads,
        &metrics.self_tests,
        &metrics.folder_errors,
        &metrics.tenants_reloads,
        &metrics.authentications,
        &metrics.tenant_images,
        &metrics.tenant_flops,
        &metrics.journal_lines,
        &metrics.journal_bytes,
        &metrics.journal_dropped,
        &metrics.journal_failures,
    ] {
        vector.with_label_values(&["x"]).inc();
    }
    metrics.set_tls_expiry(1);
    metrics.set_tls_revocations_due(Some(1));
    metrics.tenant_device_seconds.with_label_values(&["x"]).inc();
    metrics.journal_lag.with_label_values(&["x"]).set(1.0);
    for vector in [&metrics.requests, &metrics.tenant_requests, &metrics.tenant_bytes] {
        vector.with_label_values(&["x", "x"]).inc();
    }
    String::from_utf8(metrics.render().unwrap()).unwrap()
}

fn families(text: &str) -> BTreeMap<String, Family> {
    let mut found: BTreeMap<String, Family> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            found.entry(name.into()).or_default().help = help.into();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            found.entry(name.into()).or_default().kind = kind.into();
        } else if let Some((name, labels)) = line.split_once('{') {
            // A histogram's buckets have a name of their own, which no family has.
            let pairs = labels.split('}').next().unwrap_or_default().split(',');
            let names = pairs.filter_map(|pair| pair.split('=').next()).map(Into::into).collect();
            found.entry(name.into()).or_default().labels = names;
        }
    }
    found.retain(|_, family| !family.kind.is_empty());
    found
}

#[test]
fn the_metrics_are_those_there_are() {
    let families = families(&exposition());
    let source = std::fs::read_to_string(repository().join("src/metrics.rs")).unwrap();
    for (at, _) in source.match_indices("\"mimi_") {
        let name = source[at + 1..].split(['"', ' ']).next().unwrap();
        assert!(families.contains_key(name), "{name} has no series here: touch it in `exposition`");
    }
    let mut text = HEAD.to_owned();
    for (name, Family { kind, labels, help }) in &families {
        let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        writeln!(text, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
    check_page("reference/metrics.md", &text);
}
