//! Whose a task is.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::pattern::Pattern;
use super::tenant::Tenant;
use crate::pack::TaskId;

/// Owners by name of a task and by its beginning. No two owners have a name in common.
#[derive(Debug, Default)]
pub(super) struct Owners {
    names: HashMap<Box<str>, Arc<Tenant>>,
    begins: HashMap<Box<str>, Arc<Tenant>>,
    lengths: BTreeSet<usize>,
}

impl Owners {
    /// The owner of a task.
    pub(super) fn of(&self, task: &TaskId) -> Option<&Arc<Tenant>> {
        let name = task.as_str();
        let begin = || self.lengths.iter().find_map(|&length| self.begins.get(name.get(..length)?));
        self.names.get(name).or_else(begin)
    }
}

impl<'a> FromIterator<(Pattern, &'a Arc<Tenant>)> for Owners {
    fn from_iter<I: IntoIterator<Item = (Pattern, &'a Arc<Tenant>)>>(patterns: I) -> Self {
        let mut owners = Self::default();
        for (Pattern { text, is_open }, tenant) in patterns {
            if is_open {
                owners.lengths.insert(text.len());
                owners.begins.insert(text, Arc::clone(tenant));
            } else {
                owners.names.insert(text, Arc::clone(tenant));
            }
        }
        owners
    }
}
