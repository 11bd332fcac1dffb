//! What doors hold: models by their names and versions.

use std::time::Instant;

use crate::pack::{self, TaskId};
use crate::reload::Pinned;
use crate::service::{Code, Error, Service, TaskDetails};
use crate::tenants::Caller;

/// The protocol over a service. Cheap to clone.
#[derive(Clone)]
pub struct Protocol {
    pub(super) service: Service,
}

impl Protocol {
    /// The protocol over a service.
    pub fn new(service: Service) -> Self {
        Self { service }
    }

    /// Whether some device answers.
    pub fn is_live(&self) -> bool {
        self.service.is_live()
    }

    /// Whether it takes inferences.
    pub fn is_ready(&self) -> bool {
        self.service.is_ready()
    }

    /// A version of a model, the live one where none is named, with its pack, for an inference by this caller; call it before a body is read.
    ///
    /// # Errors
    /// As [`Service::pin`].
    pub async fn pin(
        &self,
        caller: &Caller,
        model: &str,
        version: Option<&str>,
        deadline: Instant,
    ) -> Result<Pinned, Error> {
        match version.filter(|version| !version.is_empty()) {
            None => self.service.pin(caller, model, deadline).await,
            Some(version) => self.service.pin(caller, &format!("{model}@{version}"), deadline).await,
        }
    }

    /// Whether a model answers. Of a version that is not live it says that it is there: it is read when it is called.
    ///
    /// # Errors
    /// When there is no such model or version, or the caller may not know of it; [`Error::NotReady`] when no version of it
    /// is live.
    pub async fn model_ready(
        &self,
        caller: &Caller,
        model: &str,
        version: Option<&str>,
    ) -> Result<(), Error> {
        self.addressed(caller, model, version).await?;
        if self.is_ready() { Ok(()) } else { Err(Error::NotReady) }
    }

    /// The task of a model and its live version, which is `version` where one is given.
    pub(super) async fn serving(
        &self,
        caller: &Caller,
        model: &str,
        version: Option<&str>,
    ) -> Result<Serving, Error> {
        let serving = self.served(caller, model).await?;
        check_version(&serving.task, version, serving.version)?;
        Ok(serving)
    }

    /// The task of a model and a version that is there, the live one where none is named.
    async fn addressed(&self, caller: &Caller, model: &str, version: Option<&str>) -> Result<Serving, Error> {
        let Serving { task, version: live } = self.served(caller, model).await?;
        match version.and_then(pack::parse_version).filter(|number| *number != live) {
            Some(version) if self.service.has_version(&task, version).await? => Ok(Serving { task, version }),
            _ => {
                check_version(&task, version, live)?;
                Ok(Serving { task, version: live })
            }
        }
    }

    /// The task of a model and its live version.
    async fn served(&self, caller: &Caller, model: &str) -> Result<Serving, Error> {
        let task: TaskId = model.parse().map_err(Error::TaskId)?;
        let status = self.service.status(caller, &task).await?;
        let told = || format!("model {task}: no version is live");
        let none = || Error::Part { code: Code::NotReady, told: told() };
        let version = status.live.filter(|_| !status.is_unloaded).ok_or_else(none)?;
        Ok(Serving { task, version })
    }

    /// A model with a version that is there, the live one where none is named, and all that is known of it.
    pub(super) async fn live(
        &self,
        caller: &Caller,
        model: &str,
        version: Option<&str>,
    ) -> Result<Live, Error> {
        let Serving { task, version } = self.addressed(caller, model, version).await?;
        Ok(Live { version, details: self.service.show_version(caller, &task, version).await? })
    }
}

/// A model that answers.
pub(super) struct Serving {
    pub(super) task: TaskId,
    pub(super) version: u64,
}

/// A model with its live version, or with the one that was asked for.
pub(super) struct Live {
    pub(super) version: u64,
    pub(super) details: TaskDetails,
}

fn check_version(task: &TaskId, asked: Option<&str>, live: u64) -> Result<(), Error> {
    match asked.filter(|asked| !asked.is_empty() && *asked != live.to_string()) {
        None => Ok(()),
        Some(asked) => {
            let asked: String = asked.chars().take(40).collect();
            let told = format!("model {task}: version {asked:?} is not served; version {live} is");
            Err(Error::Part { code: Code::TaskNotFound, told })
        }
    }
}
