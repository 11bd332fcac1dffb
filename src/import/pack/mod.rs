//! Other people's packs as ours.
//!
//! ```text
//! folder or file -> what it is, by its content (detect)
//!   mimi         a checkpoint of the reference MiMi implementation
//!   peft         Hugging Face PEFT: LoRA, VeRA          -> modules, head, labels (extract)
//!   adapter_hub  AdapterHub's adapters                  ->   checked one by one (gathered)
//!   head         a weight and a bias                    ->   self-test, proof, pack (outside)
//! ```
//! Nothing in a file is executed, no path in one is opened, and everything read has a bound. What a pack has no place
//! for is refused by file, key and reason.

mod adapter_hub;
mod arrays;
mod detect;
mod extract;
mod gathered;
mod head;
mod labels;
mod linear;
pub mod mimi;
mod model;
mod outside;
mod peft;
mod proof;
mod refused;
mod report;
mod request;
mod tensors;

use std::path::Path;

use anyhow::Result;

pub use labels::labels_of_config;
pub use refused::Refused;
pub use report::{Proof, Report};
pub use request::{Check, Request};

use crate::runtime::Resident;
use detect::Found;

/// What was imported.
#[derive(Clone, Debug)]
pub enum Imported {
    /// A checkpoint of the reference MiMi implementation.
    Mimi(mimi::Report),
    /// Another library's pack or head.
    Other(Report),
}

/// Converts what lies at `request.from` for a backbone, whose files are in `folder`, and writes it as the task's next
/// version.
///
/// # Errors
/// When it cannot be read, is nothing that is known, or does not fit the backbone; then no version appears.
pub fn import(resident: &Resident, folder: &Path, request: &Request) -> Result<Imported> {
    Ok(match detect::read(request, resident.config())? {
        Found::Mimi(source) => Imported::Mimi(mimi::import(resident, folder, (request, *source))?),
        Found::Other(found) => Imported::Other(outside::write(resident, request, *found)?),
    })
}
