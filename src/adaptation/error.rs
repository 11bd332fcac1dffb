//! Why a method cannot be used as it was asked for.

use crate::backbone::Module;

/// Why a method does not fit its settings or a backbone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No method of that name makes tensors from smaller ones.
    #[error("no method {name} makes tensors of these modules from smaller ones: there are {known}")]
    UnknownMethod {
        /// The name.
        name: String,
        /// Those there are.
        known: String,
    },
    /// A recipe is not as recipes are.
    #[error("the recipe of {method}: {source}")]
    Recipe {
        /// The method.
        method: &'static str,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A method has no setting of that name.
    #[error("{method} has no setting {name}: {known}")]
    UnknownSetting {
        /// The method.
        method: &'static str,
        /// The name.
        name: String,
        /// Those it has.
        known: String,
    },
    /// A setting is missing.
    #[error("{method}: the setting {name} is missing")]
    Unset {
        /// The method.
        method: &'static str,
        /// The setting.
        name: String,
    },
    /// A setting cannot be what it is set to.
    #[error("{method}: {name} = {value}: {reason}")]
    Setting {
        /// The method.
        method: &'static str,
        /// The setting.
        name: String,
        /// What it was set to.
        value: String,
        /// What is expected.
        reason: String,
    },
    /// A method does not fit the backbone or the widths of its modules.
    #[error("{method} does not fit {module}: {reason}")]
    Misfit {
        /// The method.
        method: &'static str,
        /// Where.
        module: Module,
        /// Why.
        reason: String,
    },
}
