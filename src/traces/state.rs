//! What other tracers say of a trace, as W3C `tracestate` tells it. It is passed on as it came and never looked into.

use std::collections::BTreeSet;
use std::sync::Arc;

/// Most entries of a list.
const ENTRIES: usize = 32;
/// Most bytes that are passed on; entries at the end go first.
const BYTES: usize = 512;
/// Longest key or value of an entry, bytes.
const PART: usize = 256;

/// A list of entries, `key=value,...`; nothing where it is none, and then the whole list counts for nothing. A request may
/// tell it in several headers, which follow each other.
pub(super) fn parse<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Arc<str>> {
    let (mut kept, mut keys, mut is_full) = (String::new(), BTreeSet::new(), false);
    let entries = headers.flat_map(|header| header.split(',')).map(|entry| entry.trim_matches([' ', '\t']));
    for entry in entries.filter(|entry| !entry.is_empty()) {
        let (key, value) = entry.split_once('=')?;
        if !is_key(key) || !is_value(value) || !keys.insert(key) || keys.len() > ENTRIES {
            return None;
        }
        is_full |= kept.len() + 1 + entry.len() > BYTES;
        if !is_full {
            kept.extend((!kept.is_empty()).then_some(','));
            kept.push_str(entry);
        }
    }
    (!kept.is_empty()).then(|| kept.into())
}

fn is_key(key: &str) -> bool {
    let is_sign = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    let begins = key.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    begins && key.len() <= PART && key.bytes().all(is_sign) && key.matches('@').count() <= 1
}

fn is_value(value: &str) -> bool {
    let is_sign = |b: u8| matches!(b, b' '..=b'~') && b != b',' && b != b'=';
    !value.is_empty() && value.len() <= PART && !value.ends_with(' ') && value.bytes().all(is_sign)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(headers: &[&str]) -> Option<String> {
        parse(headers.iter().copied()).map(|state| state.to_string())
    }

    #[test]
    fn the_examples_of_the_standard() {
        for (given, expected) in [
            (vec!["rojo=00f067aa0ba902b7"], Some("rojo=00f067aa0ba902b7")),
            (vec!["rojo=1, congo=t61"], Some("rojo=1,congo=t61")),
            (vec!["rojo=1", "congo=t61,,"], Some("rojo=1,congo=t61")),
            (vec!["fw529a3039@dt=FfffffC4"], Some("fw529a3039@dt=FfffffC4")),
            (vec![""], None),
            (vec![], None),
            (vec!["rojo"], None),
            (vec!["rojo=1,rojo=2"], None),
            (vec!["Rojo=1"], None),
            (vec!["a@b@c=1"], None),
            (vec!["a=b=c"], None),
            (vec!["a="], None),
            (vec!["a=\u{e9}"], None),
        ] {
            assert_eq!(told(&given).as_deref(), expected, "{given:?}");
        }
    }

    #[test]
    fn long_lists_are_cut_and_endless_ones_dropped() {
        let list = |count: usize| (0..count).map(|i| format!("k{i}=v")).collect::<Vec<_>>().join(",");
        assert_eq!(told(&[&list(ENTRIES)]), Some(list(ENTRIES)));
        assert_eq!(told(&[&list(ENTRIES + 1)]), None);
        let long = "x".repeat(PART);
        let cut = told(&[&format!("a={long},b={long},c=1")]).unwrap();
        assert_eq!(cut, format!("a={long}"), "what is behind the bound goes");
        assert_eq!(told(&[&format!("a={long}x")]), None);
    }

    proptest! {
        #[test]
        fn what_is_passed_on_is_read_again(headers in prop::collection::vec("[a-c=, @é]{0,40}|k[0-9]=[a-z ]{1,9}", 0..9)) {
            let given: Vec<&str> = headers.iter().map(String::as_str).collect();
            if let Some(state) = told(&given) {
                prop_assert!(state.len() <= BYTES);
                prop_assert_eq!(told(&[&state]), Some(state.clone()));
            }
        }
    }
}
