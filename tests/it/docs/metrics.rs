//! The metric families: name, kind, labels and help text, from a registry in which every family has a series.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use mimi_server::metrics::{Build, Metrics};

use super::check_page;
use crate::architecture::sources;
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
        &metrics.requests.answers,
        &metrics.requests.rejections,
        &metrics.engine.rows_dropped,
        &metrics.engine.prefix_lookups,
        &metrics.connections.connections_closed,
        &metrics.connections.tls_reloads,
        &metrics.packs.pack_reloads,
        &metrics.packs.self_tests,
        &metrics.packs.folder_errors,
        &metrics.tenants.tenants_reloads,
        &metrics.tenants.authentications,
        &metrics.tenants.tenant_images,
        &metrics.tenants.tenant_flops,
        &metrics.journal.journal_lines,
        &metrics.journal.journal_bytes,
        &metrics.journal.journal_dropped,
        &metrics.journal.journal_failures,
    ] {
        vector.with_label_values(&["x"]).inc();
    }
    metrics.process.tell(&Build { version: "1", backbone: "x", precision: "x", device: "cpu" });
    metrics.requests.times.observe("x", Duration::ZERO);
    metrics.requests.tasks.request("x", "ok");
    metrics.connections.set_tls_expiry(1);
    metrics.connections.set_tls_revocations_due(Some(1));
    metrics.tenants.tenant_device_seconds.with_label_values(&["x"]).inc();
    metrics.journal.journal_lag.with_label_values(&["x"]).set(1.0);
    for vector in [&metrics.tenants.tenant_requests, &metrics.tenants.tenant_bytes] {
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
            // A value may have commas, as a processor's features do.
            let pairs = labels.split('}').next().unwrap_or_default().split("\",");
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
    let files = sources(&repository().join("src/metrics"));
    let source: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
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
