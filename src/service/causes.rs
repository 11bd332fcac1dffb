//! Which code a failure of a part has.

use super::code::Code;
use crate::{catalog, engine, image, pack, reload};

/// The code of a failure of the catalog.
pub(super) fn of_catalog(error: &catalog::Error) -> Code {
    match error {
        catalog::Error::UnknownTask(_)
        | catalog::Error::Unloaded(_)
        | catalog::Error::NoSuchVersion { .. } => Code::TaskNotFound,
        // What could not be read now may be read later; what was read and is wrong stays so.
        catalog::Error::NoWorkingVersion { is_passing: true, .. } => Code::NotReady,
        catalog::Error::Pack { reason, .. } if may_be_copied(reason) => Code::NotReady,
        catalog::Error::OutOfReach { .. } | catalog::Error::Folder { .. } => Code::NotReady,
        catalog::Error::NoWorkingVersion { .. } | catalog::Error::Pack { .. } => Code::TaskBroken,
    }
}

/// Whether a file is missing or ends too early, as while it is copied. Whole files of other content stay wrong.
fn may_be_copied(error: &pack::Error) -> bool {
    match error {
        pack::Error::Manifest { source, .. } => source.is_eof(),
        pack::Error::Digest { .. } => false,
        error => error.may_be_incomplete(),
    }
}

/// The code of an image that cannot be prepared.
pub(super) fn of_image(error: &image::Error) -> Code {
    match error {
        image::Error::TooManyBytes { .. } | image::Error::TooLarge { .. } => Code::ImageTooLarge,
        image::Error::KnownFormat { .. } | image::Error::UnsupportedFormat { .. } => {
            Code::UnsupportedMediaType
        }
        image::Error::Empty
        | image::Error::UnsupportedFeature { .. }
        | image::Error::Malformed { .. }
        | image::Error::TooElongated { .. } => Code::InvalidImage,
        image::Error::InvalidPreprocessing { .. } => Code::Internal,
    }
}

/// The code of a row without an answer.
pub(super) fn of_engine(error: &engine::Error) -> Code {
    match error {
        engine::Error::Overloaded { .. } | engine::Error::Full { .. } | engine::Error::Crowded { .. } => {
            Code::Overloaded
        }
        engine::Error::NeverFits { .. } => Code::RequestTooLarge,
        engine::Error::DeadlineExceeded | engine::Error::TooLate { .. } => Code::DeadlineExceeded,
        engine::Error::ShuttingDown => Code::ShuttingDown,
        engine::Error::NoDevice => Code::NotReady,
        engine::Error::Runtime(_)
        | engine::Error::NoProgram(_)
        | engine::Error::Rows { .. }
        | engine::Error::BankFull
        | engine::Error::NotFinite
        | engine::Error::WorkerLost
        | engine::Error::CompilerLost => Code::InferenceFailed,
    }
}

/// The code of a failure to publish.
pub(super) fn of_reload(error: &reload::Error) -> Code {
    match error.inner() {
        reload::Error::NoVersion(_) | reload::Error::NoNumber { .. } => Code::TaskNotFound,
        reload::Error::OverLimit { .. } => Code::QuotaExceeded,
        reload::Error::Listing { .. } | reload::Error::Changed { .. } => Code::NotReady,
        reload::Error::Folder(error) => of_catalog(error),
        // What the system could not read says nothing of the pack.
        reload::Error::Pack(error) if error.is_of_reading() => Code::NotReady,
        reload::Error::Pack(_) | reload::Error::SelfTestImage { .. } | reload::Error::SelfTest { .. } => {
            Code::PackInvalid
        }
        reload::Error::Engine(error) => of_engine(error),
        reload::Error::Refused { .. } => Code::InvalidRequest,
        reload::Error::Crowded { .. } => Code::Overloaded,
        reload::Error::Source { error, .. } if error.is_passing() => Code::NotReady,
        reload::Error::Source { .. } => Code::TaskBroken,
        reload::Error::Shared(_) | reload::Error::Interrupted(_) => Code::Internal,
    }
}
