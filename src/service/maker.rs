//! What made an answer, in the words of every door.

use super::handle::Service;
use crate::backbone::Precision;
use crate::reload::Pinned;

/// The program that answers, by name and version.
pub const BUILD: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

/// A fact about what made an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The task's version.
    Version,
    /// The digest of the version's pack.
    Pack,
    /// The frozen backbone.
    Backbone,
    /// What the backbone multiplies in.
    Precision,
    /// The program.
    Build,
}

impl Fact {
    /// Every fact, in the order told.
    pub const ALL: [Self; 5] = [Self::Version, Self::Pack, Self::Backbone, Self::Precision, Self::Build];

    /// The name among an answer's parameters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Pack => "pack_digest",
            Self::Backbone => "backbone",
            Self::Precision => "precision",
            Self::Build => "build",
        }
    }

    /// The name beside an answer, where a door tells facts so.
    pub fn key(self) -> &'static str {
        match self {
            Self::Version => "x-mimi-version",
            Self::Pack => "x-mimi-pack",
            Self::Backbone => "x-mimi-backbone",
            Self::Precision => "x-mimi-precision",
            Self::Build => "x-mimi-build",
        }
    }

    /// What it means, for people.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Version => "the task's version that answered; absent where several tasks or none did",
            Self::Pack => "SHA-256 of that version's pack: packs of one digest give the same answers",
            Self::Backbone => "the frozen backbone",
            Self::Precision => "what the backbone multiplies in",
            Self::Build => "the program's name and version",
        }
    }
}

/// What made an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maker {
    /// The version and its pack's digest, where one version answered.
    version: Option<(u64, String)>,
    backbone: String,
    precision: Precision,
}

impl Maker {
    /// The facts with their values; those that do not apply are left out.
    pub fn facts(&self) -> impl Iterator<Item = (Fact, String)> + '_ {
        Fact::ALL.into_iter().filter_map(|fact| Some((fact, self.value(fact)?)))
    }

    /// The digest of the version's pack.
    pub fn pack(&self) -> Option<&str> {
        self.version.as_ref().map(|(_, digest)| digest.as_str())
    }

    fn value(&self, fact: Fact) -> Option<String> {
        match fact {
            Fact::Version => self.version.as_ref().map(|(version, _)| version.to_string()),
            Fact::Pack => self.pack().map(str::to_owned),
            Fact::Backbone => Some(self.backbone.clone()),
            Fact::Precision => Some(self.precision.to_string()),
            Fact::Build => Some(BUILD.to_owned()),
        }
    }
}

impl Service {
    /// What makes answers under a task; under none where several tasks answer, or the frozen backbone does.
    pub(super) fn maker(&self, task: Option<&Pinned>) -> Maker {
        let task = task.filter(|task| !task.task.is_none());
        Maker {
            version: task.map(|task| (task.version, task.pack.digest.clone())),
            backbone: self.backbone().name.clone(),
            precision: self.precision(),
        }
    }
}
