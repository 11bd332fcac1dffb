//! Series by tenant: a bounded number, exact sums, none that goes back.

use std::collections::BTreeMap;

use mimi_server::usage::{Charge, Keeper};
use proptest::prelude::*;

use super::{billed, metrics};
use crate::journal::{at, ms};

/// Values of a family's series.
fn series(text: &str, family: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| line.starts_with(&format!("{family}{{")));
    let read = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    });
    read.collect()
}

const FAMILIES: [&str; 5] = ["requests", "images", "flops", "device_seconds", "bytes"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn series_are_few_exact_and_never_go_back(
        charges in proptest::collection::vec((0..12_u8, 1..1_000_000_u64, 0..90_000_i64), 1..60),
        most in 0..4_usize,
    ) {
        let (metrics, mut now) = (metrics(), at("2026-11-26T06:00:00Z"));
        let mut keeper = Keeper::open(None, most, &metrics, now).unwrap();
        let (mut all, mut before) = (0, BTreeMap::new());
        for (tenant, flops, after) in charges {
            let code = Some(if flops % 2 == 0 { "ok" } else { "overloaded" });
            let device = std::time::Duration::from_micros(flops);
            let charge = Charge { requests: 1, images: flops, flops, device, bytes_in: flops, code, ..Charge::default() };
            keeper.charge(&billed(&format!("tenant-{tenant}"), "t"), &charge);
            all += flops;
            now += ms(after);
            keeper.tick(now);
            let text = String::from_utf8(metrics.render().unwrap()).unwrap();
            for family in FAMILIES {
                let found = series(&text, &format!("mimi_tenant_{family}_total"));
                let tenants: std::collections::BTreeSet<_> =
                    found.keys().map(|name| name.split("tenant=\"").nth(1).unwrap().split('"').next().unwrap()).collect();
                prop_assert!(tenants.len() <= most + 1, "{:?}", tenants);
                for (name, value) in &found {
                    let last = before.get(name).copied().unwrap_or_default();
                    prop_assert!(*value >= last, "{} went from {} to {}", name, last, value);
                }
                before.extend(found);
            }
            let flops: f64 = series(&text, "mimi_tenant_flops_total").values().sum();
            prop_assert_eq!(flops, all as f64);
        }
    }
}

#[test]
fn the_tenants_with_the_most_use_come_to_have_labels() {
    let (metrics, mut now) = (metrics(), at("2026-11-26T06:00:00Z"));
    let mut keeper = Keeper::open(None, 2, &metrics, now).unwrap();
    for round in 0..20 {
        for (tenant, flops) in [("small", 1), ("tiny", 1), ("large", 100), ("huge", 1000)] {
            let charge = Charge { requests: 1, flops, code: Some("ok"), ..Charge::default() };
            keeper.charge(&billed(tenant, "t"), &charge);
        }
        now += ms(30_000);
        keeper.tick(now);
        let _ = round;
    }
    let text = String::from_utf8(metrics.render().unwrap()).unwrap();
    let found = series(&text, "mimi_tenant_flops_total");
    let value = |tenant: &str| found.get(&format!("mimi_tenant_flops_total{{tenant=\"{tenant}\"}}")).copied();
    assert!(value("huge").is_some() && value("large").is_some(), "{found:?}");
    assert_eq!(found.len(), 3);
    assert_eq!(found.values().sum::<f64>(), 20.0 * 1102.0);
}
