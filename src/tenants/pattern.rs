//! Patterns of task names: one name, or every name that begins so.

use std::collections::HashSet;
use std::fmt;

use super::error::Error;
use crate::pack::TaskId;

/// One task's name, or the beginning of many: `shoes`, `acme.*`, `*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Pattern {
    /// The name, or its beginning.
    pub(super) text: Box<str>,
    /// Whether other names begin so.
    pub(super) is_open: bool,
}

impl Pattern {
    /// Reads a pattern: a task id, or the beginning of one before a `*`.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let wrong = || Error::pattern(text);
        match text.strip_suffix('*') {
            // `a` makes a name of any beginning, the empty one too.
            Some(begin) => {
                format!("{begin}a").parse::<TaskId>().map_err(|_| wrong())?;
                Ok(Self { text: begin.into(), is_open: true })
            }
            None => {
                text.parse::<TaskId>().map_err(|_| wrong())?;
                Ok(Self { text: text.into(), is_open: false })
            }
        }
    }

    /// Whether some name fits both.
    #[cfg(test)]
    fn overlaps(&self, other: &Self) -> bool {
        let covers = |a: &Self, b: &Self| if a.is_open { b.text.starts_with(&*a.text) } else { a == b };
        covers(self, other) || covers(other, self)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.text, if self.is_open { "*" } else { "" })
    }
}

/// Patterns of one tenant.
#[derive(Clone, Debug, Default)]
pub(super) struct Patterns {
    names: HashSet<Box<str>>,
    begins: Vec<Box<str>>,
}

impl Patterns {
    /// What every name that fits begins with: the patterns' texts.
    pub(super) fn beginnings(&self) -> impl Iterator<Item = &str> {
        self.names.iter().chain(&self.begins).map(|text| &**text)
    }

    /// Whether a name fits one of them.
    pub(super) fn fit(&self, name: &str) -> bool {
        self.names.contains(name) || self.begins.iter().any(|begin| name.starts_with(&**begin))
    }
}

impl FromIterator<Pattern> for Patterns {
    fn from_iter<I: IntoIterator<Item = Pattern>>(patterns: I) -> Self {
        let (open, closed): (Vec<_>, Vec<_>) = patterns.into_iter().partition(|pattern| pattern.is_open);
        let text = |pattern: Pattern| pattern.text;
        Self { names: closed.into_iter().map(text).collect(), begins: open.into_iter().map(text).collect() }
    }
}

/// Where the first two patterns of different owners stand that some name fits, once the patterns are sorted: those that an
/// open pattern covers follow it.
pub(super) fn overlap<T: Ord>(patterns: &mut [(Pattern, T)]) -> Option<[usize; 2]> {
    // An open pattern goes before the equal name.
    patterns.sort_by(|a, b| (&a.0.text, !a.0.is_open, &a.1).cmp(&(&b.0.text, !b.0.is_open, &b.1)));
    let mut covering: Vec<usize> = Vec::new();
    for (at, (pattern, owner)) in patterns.iter().enumerate() {
        let covers = |outer: &usize| pattern.text.starts_with(&*patterns[*outer].0.text);
        while covering.last().is_some_and(|outer| !covers(outer)) {
            covering.pop();
        }
        // All that cover it have one owner, or there would have been an answer before.
        let equal = at.checked_sub(1).filter(|before| patterns[*before].0 == *pattern);
        let other = covering.last().copied().or(equal);
        if let Some(other) = other.filter(|other| patterns[*other].1 != *owner) {
            return Some([other, at]);
        }
        if pattern.is_open {
            covering.push(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn patterns(texts: &[&str]) -> Patterns {
        texts.iter().map(|text| Pattern::parse(text).unwrap()).collect()
    }

    #[test]
    fn patterns_fit_names_and_beginnings() {
        let own = patterns(&["acme.*", "shoes"]);
        for (name, fits) in
            [("acme.x", true), ("acme.", true), ("acme", false), ("shoes", true), ("shoes2", false)]
        {
            assert_eq!(own.fit(name), fits, "{name}");
        }
        assert!(patterns(&["*"]).fit("anything"));
        assert!(!patterns(&[]).fit("anything"));
    }

    #[test]
    fn what_no_task_can_be_called_is_no_pattern() {
        for text in ["", "A", "a/b", "**", "a*b", ".a", ".*", "../*", &"a".repeat(65)] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_overlap_is_found_where_there_is_one(
            texts in proptest::collection::vec(("[ab]{0,3}", any::<bool>(), 0..3u8), 1..8)
        ) {
            let mut all: Vec<(Pattern, u8)> = Vec::new();
            for (text, is_open, owner) in texts {
                if is_open || !text.is_empty() {
                    all.push((Pattern { text: text.into(), is_open }, owner));
                }
            }
            let pairs = || all.iter().flat_map(|a| all.iter().map(move |b| (a, b)));
            let expected = pairs().any(|(a, b)| a.1 != b.1 && a.0.overlaps(&b.0));
            let mut sorted = all.clone();
            let found = overlap(&mut sorted);
            prop_assert_eq!(found.is_some(), expected);
            if let Some([a, b]) = found {
                let (a, b) = (&sorted[a], &sorted[b]);
                prop_assert!(a.1 != b.1 && a.0.overlaps(&b.0));
            }
        }
    }
}
