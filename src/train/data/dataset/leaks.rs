//! Images on both sides of a split.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, bail};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::entry::canonical;
use super::image::Image;

/// Parts must not share a file.
///
/// # Errors
/// With the file that two parts share.
pub(super) fn check_apart(parts: [&[Image]; 3]) -> Result<()> {
    let mut seen: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for (number, part) in parts.into_iter().enumerate() {
        for image in part {
            let first = *seen.entry(canonical(&image.path)).or_insert(number);
            if first != number {
                let name = |number: usize| ["trained on", "held out", "tested on"][number];
                let path = image.path.display();
                bail!("the image {path} would be both {} and {}", name(first), name(number));
            }
        }
    }
    Ok(())
}

/// Two files of the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Twins {
    pub held_out: PathBuf,
    pub trained: PathBuf,
}

/// Held-out images that are byte for byte some training image, each with one such. What cannot be read is passed
/// over: it will be listed as unreadable.
pub(super) fn identical(train: &[Image], held_out: &[Image]) -> Vec<Twins> {
    // Only files of equal length can be equal, so most are never read.
    let mut by_length: BTreeMap<u64, Vec<&Image>> = BTreeMap::new();
    for image in train {
        by_length.entry(length(image)).or_default().push(image);
    }
    let lengths: Vec<u64> = held_out.iter().map(length).collect();
    let wanted: std::collections::BTreeSet<u64> = lengths.iter().copied().collect();
    let near: Vec<&Image> =
        by_length.iter().filter(|(n, _)| wanted.contains(n)).flat_map(|(_, i)| i.clone()).collect();
    let digests = near.par_iter().filter_map(|image| Some((digest(image)?, &image.path)));
    let trained: BTreeMap<[u8; 32], &PathBuf> = digests.collect();
    let pairs = held_out.par_iter().zip(lengths).filter(|(_, n)| by_length.contains_key(n));
    let same = pairs.filter_map(|(image, _)| {
        let twin = *trained.get(&digest(image)?)?;
        Some(Twins { held_out: image.path.clone(), trained: twin.clone() })
    });
    same.collect()
}

fn length(image: &Image) -> u64 {
    std::fs::metadata(&image.path).map_or(0, |data| data.len())
}

fn digest(image: &Image) -> Option<[u8; 32]> {
    Some(Sha256::digest(std::fs::read(&image.path).ok()?).into())
}
