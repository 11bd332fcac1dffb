//! What models there are.

use bytes::Bytes;

use super::{Parameters, Protocol};
use crate::catalog::TaskStatus;
use crate::pack::{self, CONFIG_FILE, TaskId, Upload, WEIGHTS_FILE};
use crate::service::Error;
use crate::tenants::Caller;
use crate::text::brief;

/// What the name of a load's parameter begins with that is a file.
pub const FILE: &str = "file:";

/// Most models in an index.
pub(super) const MAX_INDEX: usize = 100_000;

/// Whether a model answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelState {
    /// It answers.
    Ready,
    /// It does not.
    Unavailable,
}

impl ModelState {
    /// The protocol's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "READY",
            Self::Unavailable => "UNAVAILABLE",
        }
    }
}

/// A model in an index.
#[derive(Clone, Debug)]
pub struct IndexEntry {
    /// The task.
    pub name: String,
    /// The live version, or the newest that failed.
    pub version: Option<String>,
    /// Whether it answers.
    pub state: ModelState,
    /// Why it does not.
    pub reason: String,
}

/// A file of a version that comes with a load.
#[derive(Clone, Debug)]
pub struct UploadedFile {
    /// `VERSION/NAME`.
    pub name: String,
    /// What is in it.
    pub content: Bytes,
}

impl Protocol {
    /// Models that the caller may know of, by name; only those that answer where `ready`. Nothing is read from the disk.
    pub fn index(&self, caller: &Caller, ready: bool) -> Vec<IndexEntry> {
        let all = self.service.page(caller, None, MAX_INDEX).tasks.into_iter().map(entry);
        all.filter(|entry| !ready || entry.state == ModelState::Ready).collect()
    }

    /// Names of models that the caller may know of.
    pub fn models(&self, caller: &Caller) -> Vec<String> {
        self.service
            .page(caller, None, MAX_INDEX)
            .tasks
            .iter()
            .map(|status| status.task.to_string())
            .collect()
    }
}

impl Protocol {
    /// Publishes the newest version of a model, or the one whose files are given, and has it answer. Doors give what came as
    /// `file:VERSION/NAME` as files, and other parameters as they are.
    ///
    /// # Errors
    /// As [`Service::reload`](crate::service::Service::reload), which leaves what was live as it was, and when files are
    /// not those of one version.
    pub async fn load(
        &self,
        caller: &Caller,
        model: &str,
        (parameters, files): (&Parameters, Vec<UploadedFile>),
    ) -> Result<(), Error> {
        let task: TaskId = model.parse().map_err(Error::TaskId)?;
        if let Some((name, _)) = parameters.iter().next() {
            let told = brief(name);
            let reason = "its pack says all; known are file:VERSION/adapter_config.json and its weights";
            return Err(Error::Invalid(format!("parameter {told:?} is not taken: {reason}")));
        }
        if files.is_empty() {
            return self.service.reload(caller, &task).await.map(|_| ());
        }
        let Received { version, upload } = received(files)?;
        self.service.receive(caller, &task, version, upload).await.map(|_| ())
    }

    /// Has a model answer nothing until it is loaded, whatever appears in the folder of packs.
    ///
    /// # Errors
    /// When there is no such model, or the caller may not change it.
    pub async fn unload(&self, caller: &Caller, model: &str) -> Result<(), Error> {
        let task: TaskId = model.parse().map_err(Error::TaskId)?;
        self.service.unload(caller, &task).await
    }
}

fn entry(status: TaskStatus) -> IndexEntry {
    let TaskStatus { task, live, failure, is_unloaded, .. } = status;
    let (name, failed) = (task.to_string(), failure.as_ref().map(|failure| failure.version));
    let version = live.or(failed).map(|version| version.to_string());
    if is_unloaded {
        return IndexEntry { name, version, state: ModelState::Unavailable, reason: "unloaded".into() };
    }
    match live {
        Some(_) => IndexEntry { name, version, state: ModelState::Ready, reason: String::new() },
        None => {
            let reason = failure.map(|failure| failure.reason).unwrap_or_default();
            IndexEntry { name, version, state: ModelState::Unavailable, reason }
        }
    }
}

/// A version that came.
struct Received {
    version: u64,
    upload: Upload,
}

/// Puts the files of one version together.
fn received(files: Vec<UploadedFile>) -> Result<Received, Error> {
    let (mut config, mut weights, mut version) = (None, None, None);
    for UploadedFile { name, content } in files {
        let told = brief(&name);
        let refuse = |reason: &str| Err(Error::Invalid(format!("file:{told}: {reason}")));
        let Some((number, file)) = name.split_once('/') else { return refuse("expected VERSION/NAME") };
        let Some(number) = pack::parse_version(number) else {
            return refuse("expected a version's number, from 1");
        };
        if version.is_some_and(|version| version != number) {
            return refuse("the files are of more than one version");
        }
        version = Some(number);
        match file {
            CONFIG_FILE if config.is_none() => config = Some(content),
            WEIGHTS_FILE if weights.is_none() => weights = Some(content),
            CONFIG_FILE | WEIGHTS_FILE => return refuse("it comes twice"),
            _ => return refuse("a pack has adapter_config.json and adapter_model.safetensors"),
        }
    }
    match (version, config, weights) {
        (Some(version), Some(config), Some(weights)) => {
            Ok(Received { version, upload: Upload { config, weights } })
        }
        (_, None, _) => Err(Error::Invalid(format!("file:VERSION/{CONFIG_FILE} is missing"))),
        _ => Err(Error::Invalid(format!("file:VERSION/{WEIGHTS_FILE} is missing"))),
    }
}
