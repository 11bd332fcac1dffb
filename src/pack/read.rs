//! Reading a pack, trusting nothing in it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ndarray::{Array1, Array2};
use safetensors::{Dtype, SafeTensors};

use super::factored::served_bytes;
use super::small::HEAD_WEIGHT;
use super::tensors::Tensors;
use super::{Base, Bits, CONFIG_FILE, Error, Factored, Factorised, Head, Manifest, Pack, SelfTest, Stored};
use super::{WEIGHTS_FILE, Weights, stored, tensor_key, transpose};
use crate::backbone::{BackboneConfig, Module, Part, sha256_hex};
use crate::files::{Disk, System, without_mark};
use crate::graph::{ParameterName, module_flops};

/// Largest manifest that is read, bytes; a hundred thousand labels fit.
pub(super) const MAX_CONFIG_BYTES: u64 = 8 << 20;
/// Largest tensors' file that is read, bytes; full-width adapters for ViT-L fit.
pub(super) const MAX_WEIGHTS_BYTES: u64 = 512 << 20;
/// Most images a self-test may have.
const MAX_SELF_TEST_IMAGES: usize = 16;

/// Reads and checks the pack in `dir`. One that keeps smaller tensors than it serves is refused: [`read_with`] expands it.
///
/// # Errors
/// See [`Error`]: unreadable or oversized files, a manifest that does not fit `backbone`, a digest that
/// differs from the manifest's, tensors that are missing, unexpected, mis-shaped or not finite.
pub fn read(dir: &Path, backbone: &BackboneConfig) -> Result<(Pack, SelfTest), Error> {
    read_with(&System, dir, &Base::new(Arc::new(backbone.clone()))?)
}

/// As [`read`], by way of `disk`, for a backbone whose cost is known, and expanded by what it has for that.
///
/// # Errors
/// As [`read`], and when the served tensors cannot be made.
pub fn read_with(disk: &dyn Disk, dir: &Path, base: &Base) -> Result<(Pack, SelfTest), Error> {
    let (stored, self_test) = read_stored_with(disk, dir, base)?;
    Ok((stored.pack(base)?, self_test))
}

/// Reads and checks the pack in `dir` as it lies there.
///
/// # Errors
/// As [`read`].
pub fn read_stored(dir: &Path, base: &Base) -> Result<(Stored, SelfTest), Error> {
    read_stored_with(&System, dir, base)
}

/// As [`read_stored`], by way of `disk`.
///
/// # Errors
/// As [`read`].
pub fn read_stored_with(disk: &dyn Disk, dir: &Path, base: &Base) -> Result<(Stored, SelfTest), Error> {
    let backbone = base.config();
    let config = read_limited(disk, &dir.join(CONFIG_FILE), MAX_CONFIG_BYTES)?;
    let manifest = parse_manifest(dir, &config)?;
    let widths = manifest.check(backbone)?;
    let path = dir.join(WEIGHTS_FILE);
    let bytes = read_limited(disk, &path, MAX_WEIGHTS_BYTES)?;
    let found = sha256_hex(&bytes);
    if found != manifest.weights_sha256 {
        return Err(Error::Digest { path, expected: manifest.weights_sha256, found });
    }
    let invalid =
        |e: safetensors::SafeTensorError| Error::Weights { path: path.clone(), reason: e.to_string() };
    let mut file = Tensors { file: SafeTensors::deserialize(&bytes).map_err(invalid)?, read: 0 };
    let head_width = backbone.head_width(manifest.reading());
    check_expanded(&manifest, (&widths, head_width), base)?;
    let tensors = match &manifest.factorised {
        Some(factorised) => stored::Tensors::Factored(read_factors(&mut file, factorised, &widths, base)?),
        None => stored::Tensors::Served(read_modules(
            &mut file,
            (&widths, manifest.stored_bits.adapters),
            backbone,
        )?),
    };
    let classes = manifest.labels.len();
    let head = read_head(&mut file, (classes, manifest.stored_bits.head), head_width)?;
    let self_test = read_self_test(&mut file, &manifest)?;
    file.check_all_read(&manifest)?;
    let flops = base.flops() + modules_flops(&widths, backbone)?;
    let digest = join_digests(&config, &found);
    Ok((Stored { manifest, widths, head, flops, tensors, digest }, self_test))
}

fn modules_flops(widths: &BTreeMap<Module, usize>, backbone: &BackboneConfig) -> Result<u64, Error> {
    let of = |(&module, &width): (&Module, &usize)| {
        module_flops(backbone, module, width).map_err(|e| Error::field("modules", module, e.to_string()))
    };
    widths.iter().map(of).sum()
}

/// The digest of what is in `dir` now, whether or not it is a valid pack: [`Pack::digest`] of what would be
/// read.
///
/// # Errors
/// When a file is missing, unreadable or oversized.
pub fn read_digest(disk: &dyn Disk, dir: &Path) -> Result<String, Error> {
    let config = read_limited(disk, &dir.join(CONFIG_FILE), MAX_CONFIG_BYTES)?;
    let weights = read_limited(disk, &dir.join(WEIGHTS_FILE), MAX_WEIGHTS_BYTES)?;
    Ok(join_digests(&config, &sha256_hex(&weights)))
}

fn join_digests(config: &[u8], weights_sha256: &str) -> String {
    sha256_hex(&[config, weights_sha256.as_bytes()].concat())
}

/// Reads `adapter_config.json` without checking it against a backbone.
///
/// # Errors
/// When the file is missing, oversized or not a manifest.
pub fn read_manifest(dir: &Path) -> Result<Manifest, Error> {
    parse_manifest(dir, &read_limited(&System, &dir.join(CONFIG_FILE), MAX_CONFIG_BYTES)?)
}

fn parse_manifest(dir: &Path, bytes: &[u8]) -> Result<Manifest, Error> {
    serde_json::from_slice(without_mark(bytes))
        .map_err(|source| Error::Manifest { path: dir.join(CONFIG_FILE), source })
}

pub(super) fn read_limited(disk: &dyn Disk, path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let bytes = disk.size(path).map_err(Error::io(path))?;
    if bytes > limit {
        return Err(Error::TooLarge { path: path.into(), bytes, limit });
    }
    // The file may grow between the two calls; the limit still holds.
    disk.read(path, limit).map_err(Error::io(path))
}

/// Few bits on disk may be many bytes in memory. A head of floats is bounded by its file.
fn check_expanded(
    manifest: &Manifest,
    (widths, head_width): (&BTreeMap<Module, usize>, usize),
    base: &Base,
) -> Result<(), Error> {
    let small = |bits: Option<Bits>, method, bytes, limit| match bits {
        Some(_) if bytes > limit => Err(Error::TooWide { method, bytes, limit }),
        _ => Ok(()),
    };
    let bits = manifest.stored_bits;
    if manifest.factorised.is_none() {
        small(bits.adapters, "few bits a weight", served_bytes(widths, base.config()), base.most())?;
    }
    let head = (manifest.labels.len() as u64)
        .saturating_mul(head_width as u64)
        .saturating_mul(size_of::<f32>() as u64);
    small(bits.head, "few bits a weight of the head", head, MAX_WEIGHTS_BYTES)
}

fn read_modules(
    tensors: &mut Tensors<'_>,
    (widths, bits): (&BTreeMap<Module, usize>, Option<Bits>),
    backbone: &BackboneConfig,
) -> Result<BTreeMap<Module, Weights>, Error> {
    let mut weights = BTreeMap::new();
    for (&module, &width) in widths {
        let mut parts = Vec::new();
        for &part in module.form.parts() {
            let no_place = || Error::field("modules", module, "the backbone has no such place");
            let shape = backbone.part_shape(module, part, width).ok_or_else(no_place)?;
            let values = match (bits, &shape[..]) {
                (Some(bits), &[input, output]) if part.is_matrix() => {
                    tensors.small(&tensor_key(module, part), (input, output), bits)?
                }
                _ => read_part(tensors, (module, part), &shape)?,
            };
            parts.push((part, values));
        }
        weights.insert(module, Weights::new(width, parts));
    }
    Ok(weights)
}

/// A tensor of a module, a matrix transposed as programs want it.
fn read_part(
    tensors: &mut Tensors<'_>,
    (module, part): (Module, Part),
    shape: &[usize],
) -> Result<Vec<f32>, Error> {
    let key = tensor_key(module, part);
    match *shape {
        [input, output] if part.is_matrix() => {
            Ok(transpose(&tensors.floats(&key, &[output, input])?, output, input))
        }
        // A vector, or a table; the 1 before it is for a batch's rows.
        _ => tensors.floats(&key, shape.get(1..).unwrap_or_default()),
    }
}

/// The tensors that a factorised method trains.
fn read_factors(
    tensors: &mut Tensors<'_>,
    factorised: &Factorised,
    widths: &BTreeMap<Module, usize>,
    base: &Base,
) -> Result<Factored, Error> {
    let kind = factorised.kind(widths, base.config())?;
    let (bytes, limit) = (served_bytes(widths, base.config()), base.most());
    if bytes > limit {
        return Err(Error::TooWide { method: kind.adaptation.name(), bytes, limit });
    }
    let mut found = BTreeMap::new();
    for (name, shape) in kind.on(base.config()).trained() {
        let values = match name {
            ParameterName::Module(module, part) => read_part(tensors, (module, part), &shape)?,
            _ => tensors.floats(&name.to_string(), &shape)?,
        };
        found.insert(name, values);
    }
    Ok(Factored { kind, tensors: found })
}

fn read_head(
    tensors: &mut Tensors<'_>,
    (classes, bits): (usize, Option<Bits>),
    width: usize,
) -> Result<Head, Error> {
    let weight = match bits {
        Some(bits) => transpose(&tensors.small(HEAD_WEIGHT, (width, classes), bits)?, width, classes),
        None => tensors.floats(HEAD_WEIGHT, &[classes, width])?,
    };
    let bias = tensors.floats("head.bias", &[classes])?;
    let misfit = |e: ndarray::ShapeError| Error::field("labels", classes, e.to_string());
    let weight = Array2::from_shape_vec((classes, width), weight).map_err(misfit)?;
    Ok(Head { weight, bias: Array1::from_vec(bias) })
}

fn read_self_test(tensors: &mut Tensors<'_>, manifest: &Manifest) -> Result<SelfTest, Error> {
    let (images, classes) = (manifest.self_test.images, manifest.labels.len());
    if images == 0 {
        return Ok(SelfTest::default());
    }
    if images > MAX_SELF_TEST_IMAGES {
        let reason = format!("at most {MAX_SELF_TEST_IMAGES} images are allowed");
        return Err(Error::field("self_test.images", images, reason));
    }
    let logits = tensors.floats("self_test.logits", &[images, classes])?;
    let mut test =
        SelfTest { images: Vec::new(), logits: logits.chunks(classes).map(<[f32]>::to_vec).collect() };
    for k in 0..images {
        let key = format!("self_test.image.{k}");
        let missing = |_| Error::Missing { tensor: key.clone(), expected: vec![] };
        let shape = tensors.file.tensor(&key).map_err(missing)?.shape().to_vec();
        test.images.push(tensors.bytes(&key, Dtype::U8, &shape)?.to_vec());
    }
    Ok(test)
}
