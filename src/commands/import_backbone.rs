//! `server import-backbone`.

use anyhow::Result;
use mimi_server::backbone::{Origin, Taken};
use mimi_server::import::backbone::{Request, import};

use crate::cli::ImportArgs;

/// Longest value that is padded to, characters; a longer one pushes its line's end.
const LONGEST_VALUE: usize = 24;

/// Imports a checkpoint into the folder of backbones.
pub fn run(args: &ImportArgs) -> Result<()> {
    let request = Request {
        weights: args.weights.clone(),
        key: args.key.clone(),
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
    print!("{}", table(&config.provenance.taken));
    for name in &config.provenance.left_out {
        println!("left out: {name}");
    }
    Ok(())
}

/// What was taken, a line each: what, its value, where it came from.
fn table(lines: &[Taken]) -> String {
    let width = |part: fn(&Taken) -> usize| lines.iter().map(part).max().unwrap_or(0);
    let (what, value) = (width(|line| line.what.len()), width(|line| line.value.len()).min(LONGEST_VALUE));
    let line = |line: &Taken| {
        // The other places say themselves what they are.
        let kind = match line.origin {
            Origin::Default => "default: ",
            Origin::Guess => "GUESSED: ",
            Origin::Flag | Origin::File | Origin::Config | Origin::Shape => "",
        };
        format!("  {:what$}  {:value$}  {kind}{}\n", line.what, line.value, line.from)
    };
    lines.iter().map(line).collect()
}
