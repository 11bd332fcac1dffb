//! `server import-backbone`.

use anyhow::Result;
use mimi_server::backbone::import::{Request, import};

use crate::cli::ImportArgs;

/// Imports a checkpoint into the folder of backbones.
pub fn run(args: &ImportArgs) -> Result<()> {
    let request = Request {
        weights: args.weights.clone(),
        name: args.name.clone(),
        out: args.models.clone(),
        image_size: args.image_size,
        heads: args.heads,
        activation: args.activation.map(Into::into),
        pool: args.pool.map(Into::into),
        layer_norm_eps: args.layer_norm_eps,
        preprocessing: args.preprocessing.map(Into::into),
        cvt: None,
        overwrite: args.overwrite,
    };
    let config = import(&request)?;
    let folder = args.models.join(&config.name);
    println!("{}: {} parameters, sha256 {}", folder.display(), config.parameters(), config.fingerprint);
    for name in &config.provenance.left_out {
        println!("left out: {name}");
    }
    Ok(())
}
