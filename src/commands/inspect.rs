//! `server inspect`.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use mimi_server::backbone::{self, BackboneConfig};
use mimi_server::inspect;
use mimi_server::pack::{self, Base};

use crate::cli::InspectArgs;

/// Prints the table of a backbone or a pack.
pub fn run(args: &InspectArgs) -> Result<()> {
    let context = || args.path.display().to_string();
    if args.path.join(backbone::CONFIG_FILE).is_file() {
        let config = BackboneConfig::read(&args.path).with_context(context)?;
        print!("{}", inspect::backbone(&config).with_context(context)?);
        return Ok(());
    }
    if args.path.join(pack::CONFIG_FILE).is_file() {
        let manifest = pack::read_manifest(&args.path)?;
        let folder = args.models.join(&manifest.base_model_name_or_path);
        let config = BackboneConfig::read(&folder).context("the pack's backbone")?;
        let (stored, _) = pack::read_stored(&args.path, &Base::new(Arc::new(config.clone()))?)?;
        print!("{}", inspect::pack(&stored, &config).with_context(context)?);
        return Ok(());
    }
    bail!("{} holds neither {} nor {}", args.path.display(), backbone::CONFIG_FILE, pack::CONFIG_FILE)
}
