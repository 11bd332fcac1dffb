//! Opening the backbone that was asked for.

use std::sync::Arc;

use anyhow::{Context, Result};
use mimi_server::backbone::BackboneConfig;
use mimi_server::runtime::{Resident, Runtime, RuntimeOptions};

use crate::cli::RuntimeArgs;

/// Its description.
pub fn config(args: &RuntimeArgs) -> Result<Arc<BackboneConfig>> {
    let folder = args.backbone_folder();
    let config = BackboneConfig::read(&folder).with_context(|| folder.display().to_string())?;
    Ok(Arc::new(config))
}

/// The backbone itself, in a runtime with these settings.
pub fn resident(args: &RuntimeArgs, options: &RuntimeOptions) -> Result<Resident> {
    open(args, config(args)?, options)
}

/// The same where the description has been read.
pub fn open(args: &RuntimeArgs, config: Arc<BackboneConfig>, options: &RuntimeOptions) -> Result<Resident> {
    args.one_device()?;
    let runtime = Runtime::open(options)?;
    Ok(Resident::on(&runtime, config, &args.backbone_folder(), args.weights())?)
}
