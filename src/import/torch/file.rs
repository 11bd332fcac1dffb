//! The two formats of `torch.save`: where pickle and numbers are.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::ops::Range;

use zip::{CompressionMethod, ZipArchive};

use super::object::{DType, Object, Tree, View};
use super::{Error, pickle};

/// The first object of a file in the older format (`torch/serialization.py`, `MAGIC_NUMBER`).
const LEGACY_MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
/// The second.
const LEGACY_VERSION: i128 = 1001;
/// What a zip archive begins with.
const ZIP_MAGIC: &[u8] = b"PK\x03\x04";

/// The elements of a tensor, row-major, widened or narrowed to fp32.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers {
    /// Shape.
    pub shape: Vec<usize>,
    /// Elements.
    pub data: Vec<f32>,
}

/// A file of `torch.save`.
pub struct TorchFile<'a> {
    tree: Tree,
    bytes: &'a [u8],
    storages: Storages<'a>,
    /// The storage that was read last: tensors often share one.
    last: Option<(String, Vec<u8>)>,
    /// Bytes that may still be read or made: many tensors over one storage must not grow without end.
    left: usize,
}

/// How many times its own size may be read out of a file.
const READINGS: usize = 8;

enum Storages<'a> {
    /// Files `<prefix>data/<key>` of an archive.
    Zip(Box<ZipArchive<Cursor<&'a [u8]>>>, String),
    /// Places in the file.
    Legacy(HashMap<String, Range<usize>>),
}

impl<'a> TorchFile<'a> {
    /// Reads what the file holds, but no numbers yet.
    ///
    /// # Errors
    /// When it is not such a file, or a damaged one.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.starts_with(ZIP_MAGIC) { Self::open_zip(bytes) } else { Self::open_legacy(bytes) }
    }

    fn open_zip(bytes: &'a [u8]) -> Result<Self, Error> {
        let damaged = |e: zip::result::ZipError| Error::Format(e.to_string());
        let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
        let main = (0..archive.len()).find_map(|i| {
            let name = archive.by_index_raw(i).ok()?.name().ok()?.into_owned();
            name.ends_with("data.pkl").then_some(name)
        });
        let main = main.ok_or_else(|| Error::Format("the archive has no data.pkl".into()))?;
        let prefix = main.trim_end_matches("data.pkl").to_owned();
        if let Ok(order) = entry(&mut archive, &format!("{prefix}byteorder"), bytes.len())
            && order != b"little"
        {
            return Err(Error::Format("its numbers are big-endian".into()));
        }
        let (tree, _) = pickle::read(&entry(&mut archive, &main, bytes.len())?)?;
        Ok(Self::new(bytes, tree, Storages::Zip(Box::new(archive), prefix)))
    }

    /// Magic, version, system, the pickle, the storages' keys; then each storage's length and elements.
    fn open_legacy(bytes: &'a [u8]) -> Result<Self, Error> {
        let unknown =
            || Error::Format("it begins neither as a zip archive nor with PyTorch's magic number".into());
        let mut at = 0;
        let mut next = |bytes: &'a [u8]| -> Result<Tree, Error> {
            let (tree, length) = pickle::read(&bytes[at..])?;
            at += length;
            Ok(tree)
        };
        if *next(bytes).map_err(|_| unknown())?.root() != Object::Int(LEGACY_MAGIC) {
            return Err(unknown());
        }
        if *next(bytes)?.root() != Object::Int(LEGACY_VERSION) {
            return Err(Error::Format("its version of the older format is unknown".into()));
        }
        let system = next(bytes)?;
        if system.find(&["little_endian"]) == Some(&Object::Bool(false)) {
            return Err(Error::Format("its numbers are big-endian".into()));
        }
        let (tree, keys) = (next(bytes)?, next(bytes)?);
        let storages = legacy_storages(bytes, at, (&tree, &keys))?;
        Ok(Self::new(bytes, tree, Storages::Legacy(storages)))
    }

    fn new(bytes: &'a [u8], tree: Tree, storages: Storages<'a>) -> Self {
        Self { tree, bytes, storages, last: None, left: bytes.len().saturating_mul(READINGS) }
    }

    /// What the file holds.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The elements of a tensor of floats; nothing where it holds no floats.
    ///
    /// # Errors
    /// When `object` is no tensor, or one that does not fit its storage.
    pub fn numbers(&mut self, name: &str, object: &Object) -> Result<Option<Numbers>, Error> {
        let Object::Tensor(view) = object else {
            let found = self.tree.describe(object);
            return Err(Error::Unexpected { what: name.into(), found, expected: "a tensor" });
        };
        let wrong = |reason: String| Error::Tensor { tensor: name.into(), reason };
        let layout = self.layout(view).map_err(wrong)?;
        if let DType::Other(_) = layout.dtype {
            return Ok(None);
        }
        self.spend(layout.shape.iter().product::<usize>().saturating_mul(size_of::<f32>()))?;
        let found = self.storage(&layout.key)?;
        if found.len() != layout.elements.saturating_mul(layout.dtype.bytes()) {
            return Err(wrong(format!(
                "its storage of {} elements has {} bytes",
                layout.elements,
                found.len()
            )));
        }
        Ok(Some(layout.gather(found)))
    }

    fn layout(&self, view: &View) -> Result<Layout, String> {
        let Object::Storage(storage) = self.tree.get(view.storage) else {
            return Err(format!("its storage is {}", self.tree.describe(self.tree.get(view.storage))));
        };
        let Object::Text(key) = self.tree.get(storage.key) else {
            return Err("its storage has no name".into());
        };
        let parts = (self.tree.size(view.offset), self.tree.sizes(view.shape), self.tree.sizes(view.strides));
        let (Some(offset), Some(shape), Some(strides)) = parts else {
            return Err("its shape, strides or offset are no sizes".into());
        };
        let (dtype, key, elements) = (storage.dtype, key.clone(), storage.elements);
        let layout = Layout { dtype, key, elements, offset, shape, strides };
        layout.check()?;
        Ok(layout)
    }

    fn storage(&mut self, key: &str) -> Result<&[u8], Error> {
        let missing = || Error::Format(format!("storage {key} is missing"));
        if let Storages::Legacy(places) = &self.storages {
            return places.get(key).and_then(|place| self.bytes.get(place.clone())).ok_or_else(missing);
        }
        if self.last.as_ref().is_none_or(|(last, _)| last != key) {
            self.last = Some((key.to_owned(), self.unpack(key)?));
        }
        self.last.as_ref().map(|(_, bytes)| &bytes[..]).ok_or_else(missing)
    }

    fn unpack(&mut self, key: &str) -> Result<Vec<u8>, Error> {
        let Storages::Zip(archive, prefix) = &mut self.storages else { return Ok(Vec::new()) };
        let content = entry(archive, &format!("{prefix}data/{key}"), self.bytes.len())?;
        self.spend(content.len())?;
        Ok(content)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Error> {
        let limit = self.bytes.len().saturating_mul(READINGS);
        let size = (limit - self.left).saturating_add(bytes);
        let left = limit.checked_sub(size).ok_or(Error::TooLarge { what: "tensors", size, limit });
        self.left = left?;
        Ok(())
    }
}

/// One file of the archive, its checksum verified.
fn entry(archive: &mut ZipArchive<Cursor<&[u8]>>, name: &str, limit: usize) -> Result<Vec<u8>, Error> {
    let damaged = |reason: String| Error::Format(format!("{name}: {reason}"));
    let file = archive.by_name(name).map_err(|e| damaged(e.to_string()))?;
    if file.compression() != CompressionMethod::Stored {
        return Err(damaged("it is compressed, which torch.save never does".into()));
    }
    let size = usize::try_from(file.size()).unwrap_or(usize::MAX);
    if size > limit {
        return Err(Error::TooLarge { what: "a file of the archive", size, limit });
    }
    let mut content = Vec::with_capacity(size);
    file.take(limit as u64).read_to_end(&mut content).map_err(|e| damaged(e.to_string()))?;
    Ok(content)
}

/// Where each storage's elements are, in the order of `keys`.
fn legacy_storages(
    bytes: &[u8],
    mut at: usize,
    (tree, keys): (&Tree, &Tree),
) -> Result<HashMap<String, Range<usize>>, Error> {
    let mut widths = HashMap::new();
    for object in &tree.objects {
        if let Object::Storage(storage) = object
            && let Object::Text(key) = tree.get(storage.key)
        {
            widths.insert(key.as_str(), storage.dtype.bytes());
        }
    }
    let Object::List(list) = keys.root() else {
        return Err(Error::Format("it does not list its storages".into()));
    };
    let mut places = HashMap::new();
    for &id in list {
        let Object::Text(key) = keys.get(id) else {
            return Err(Error::Format("a storage has no name".into()));
        };
        if !widths.contains_key(key.as_str()) {
            return Err(Error::Format(format!("storage {key} belongs to no tensor")));
        }
        let count = bytes.get(at..at + 8).and_then(|count| count.try_into().ok()).map(u64::from_le_bytes);
        let count = count.and_then(|count| usize::try_from(count).ok());
        let end = widths.get(key.as_str()).zip(count).and_then(|(width, count)| count.checked_mul(*width));
        let end = end.and_then(|length| (at + 8).checked_add(length)).filter(|&end| end <= bytes.len());
        let end = end.ok_or_else(|| Error::Format(format!("the file ends inside storage {key}")))?;
        places.insert(key.clone(), at + 8..end);
        at = end;
    }
    Ok(places)
}

/// A tensor's place in its storage, in elements.
struct Layout {
    dtype: DType,
    key: String,
    elements: usize,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl Layout {
    /// Every element must lie in the storage, and none be repeated so often that a small file grows large.
    fn check(&self) -> Result<(), String> {
        let fail = || {
            Err(format!(
                "shape {:?}, strides {:?} and offset {} do not fit its storage of {} elements",
                self.shape, self.strides, self.offset, self.elements
            ))
        };
        let count = self.shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size));
        let last = self.shape.iter().zip(&self.strides).try_fold(self.offset, |last, (&size, &stride)| {
            last.checked_add(size.saturating_sub(1).checked_mul(stride)?)
        });
        match (count, last) {
            _ if self.shape.len() != self.strides.len() => fail(),
            (Some(0), _) => Ok(()),
            (Some(count), Some(last)) if count <= self.elements && last < self.elements => Ok(()),
            _ => fail(),
        }
    }

    /// The elements out of the storage's bytes.
    fn gather(self, storage: &[u8]) -> Numbers {
        let count = self.shape.iter().product();
        let mut index = vec![0; self.shape.len()];
        let mut data = Vec::with_capacity(count);
        for _ in 0..count {
            let at =
                index.iter().zip(&self.strides).map(|(i, stride)| i * stride).sum::<usize>() + self.offset;
            data.push(float(self.dtype, &storage[at * self.dtype.bytes()..]));
            // The next index in row-major order.
            for (i, &size) in index.iter_mut().zip(&self.shape).rev() {
                *i = (*i + 1) % size;
                if *i > 0 {
                    break;
                }
            }
        }
        Numbers { shape: self.shape, data }
    }
}

/// The float at the start of `bytes`.
fn float(dtype: DType, bytes: &[u8]) -> f32 {
    match dtype {
        DType::F64 => f64::from_le_bytes(first(bytes)) as f32,
        DType::F32 => f32::from_le_bytes(first(bytes)),
        DType::F16 => half::f16::from_le_bytes(first(bytes)).to_f32(),
        DType::BF16 => half::bf16::from_le_bytes(first(bytes)).to_f32(),
        DType::Other(_) => f32::NAN,
    }
}

/// The first `N` bytes, zeros where there are fewer.
fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|i| bytes.get(i).copied().unwrap_or(0))
}
