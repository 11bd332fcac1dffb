//! The backbone's weights, in memory once.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use ort::memory::Allocator;
use ort::session::builder::{PrepackedWeights, SessionBuilder};
use ort::value::DynValue;

use super::halved::{Half, halves};
use super::mapped::floats;
use super::quantised::Scheme;
use super::upload::{DeviceWeights, HostWeights, Uploaded, upload};
use super::{Device, Error, Runtime, memory, quantised};
use crate::backbone::sha256_hex;
use crate::backbone::{
    BackboneConfig, Error as BackboneError, ModuleSet, Precision, WEIGHTS_FILE, WeightLayout,
};
use crate::graph::{self, Bytes, Graph, Plan, Quantised, WeightRange};

/// How the weights are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightOptions {
    /// Whether ONNX Runtime may keep one copy of the matrices in its kernels' own layout, shared by all programs:
    /// 6-13 % faster at one row in fp32, at the price of that copy.
    pub prepack: bool,
    /// Numbers in which programs multiply.
    pub precision: Precision,
    /// How quantised matrices are written. None takes the fastest way that is exact on this processor; answers are the
    /// same bit for bit with every exact one.
    pub bytes: Option<Bytes>,
}

impl Default for WeightOptions {
    fn default() -> Self {
        Self { prepack: true, precision: Precision::Fp32, bytes: None }
    }
}

/// One copy of the weights that every program reads: mapped on the CPU, uploaded once on a GPU.
pub struct WeightStore {
    /// Declared before what they point into, so dropped first.
    tensors: BTreeMap<String, Arc<DynValue>>,
    prepacked: Option<PrepackedWeights>,
    precision: Precision,
    scheme: Option<Scheme>,
    layout: WeightLayout,
    folder: PathBuf,
    _quantised: Vec<Quantised>,
    _halves: Vec<Half>,
    map: Mmap,
    on_device: Option<DeviceWeights>,
}

impl WeightStore {
    /// Opens `<folder>/backbone.safetensors`, checks it against `config` and makes it resident; in a lower precision,
    /// quantises its matrices (under a second for ViT-B).
    ///
    /// # Errors
    /// [`Error::Precision`] when the device cannot multiply in the precision; and when the file is unreadable or does
    /// not hold the backbone's tensors, or the device has no room.
    pub fn open(
        runtime: &Runtime,
        config: &BackboneConfig,
        folder: &Path,
        options: WeightOptions,
    ) -> Result<Self, Error> {
        let precision = options.precision;
        check_device(precision, runtime.device())?;
        let folder = folder.canonicalize().map_err(BackboneError::io(folder))?;
        let path = folder.join(WEIGHTS_FILE);
        let map = memory::map(&path).map_err(BackboneError::io(&path))?;
        check_fingerprint(&path, &map, config)?;
        let mut layout = WeightLayout::read(&path, &map, config)?;
        graph::as_read(&graph::build(config, &Plan::whole(config, ModuleSet::EMPTY))?, &mut layout);
        let range = WeightRange::at(precision);
        let halves = match precision {
            Precision::Fp16 => halves(runtime, &map, config, &layout)?,
            Precision::Fp32 | Precision::Tf32 | Precision::Int8 | Precision::Int8Reduced => Vec::new(),
        };
        let (mut tensors, on_device) = match runtime.device() {
            Device::Cpu => (share(&map, &layout, &halves)?, None),
            Device::Cuda(_) => {
                let host = HostWeights { map: &map, layout: &layout, halves: &halves };
                let Uploaded { tensors, memory } = upload(runtime, &host)?;
                (tensors, Some(memory))
            }
        };
        halves.iter().for_each(|half| layout.insert(&half.name, half.entry.clone()));
        let scheme = match (range, options.bytes) {
            (Some(range), None) => Some(quantised::scheme(runtime, range)?),
            (range, bytes) => range.zip(bytes).map(|(range, bytes)| Scheme { range, bytes }),
        };
        let quantised = match scheme {
            Some(scheme) => quantised::derive(&map, config, scheme, (&mut layout, &mut tensors))?,
            None => Vec::new(),
        };
        // The device has its own copy.
        let halves = if on_device.is_some() { Vec::new() } else { halves };
        let prepacked = options.prepack.then(PrepackedWeights::new);
        let (_quantised, _halves) = (quantised, halves);
        Ok(Self {
            tensors,
            prepacked,
            precision,
            scheme,
            layout,
            folder,
            _quantised,
            _halves,
            map,
            on_device,
        })
    }

    /// Numbers in which programs over these weights multiply.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The graph in the store's precision.
    pub(super) fn lower<'a>(&self, graph: &'a Graph) -> Result<Cow<'a, Graph>, Error> {
        match (self.precision, self.scheme) {
            (_, Some(Scheme { bytes, .. })) => Ok(Cow::Owned(graph::quantised(graph, bytes)?)),
            (Precision::Fp16, None) => Ok(Cow::Owned(graph::halved(graph)?)),
            (_, None) => Ok(Cow::Borrowed(graph)),
        }
    }

    /// Names, shapes and byte ranges of the weights.
    pub fn layout(&self) -> &WeightLayout {
        &self.layout
    }

    /// The elements of a weight.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn read(&self, name: &str) -> Result<Vec<f32>, Error> {
        let entry = self.layout.get(name).ok_or_else(|| Error::Call {
            action: format!("read weight {name}"),
            reason: "there is none".into(),
        })?;
        Ok(floats(&self.map, name, entry)?.to_vec())
    }

    /// Gives back the pages of the mapped weights where programs read copies: on a GPU, or packed ones. Few weights
    /// are read in place then (norms, biases), and come back when a run reads them.
    pub(super) fn give_back(&self) {
        if self.prepacked.is_some() || self.on_device.is_some() {
            memory::give_back(&self.map);
        }
    }

    /// Gives a session being built the weights its graph reads.
    pub(super) fn lend(&self, mut builder: SessionBuilder, graph: &Graph) -> Result<SessionBuilder, Error> {
        let failed = |e: ort::Error<SessionBuilder>| Error::Call {
            action: format!("share weights with {}", graph.name()),
            reason: e.to_string(),
        };
        for (name, _) in graph.weights() {
            // `onnx::write` has already checked that each weight exists and has the graph's shape.
            if let Some(tensor) = self.tensors.get(name) {
                builder = builder.with_initializer(name, Arc::clone(tensor)).map_err(failed)?;
            }
        }
        let folder = self.folder.to_string_lossy();
        builder = builder
            .with_config_entry("session.model_external_initializers_file_folder_path", folder)
            .map_err(failed)?;
        match &self.prepacked {
            Some(container) => builder.with_prepacked_weights(container).map_err(failed),
            None => builder.with_prepacking(false).map_err(failed),
        }
    }
}

/// Refuses a precision that the device cannot multiply in.
fn check_device(precision: Precision, device: Device) -> Result<(), Error> {
    let needs = match (precision, device) {
        (Precision::Int8 | Precision::Int8Reduced, Device::Cuda(_)) => "the CPU",
        (Precision::Tf32, Device::Cpu) => "a GPU (--device cuda)",
        _ => return Ok(()),
    };
    Err(Error::Precision { precision, needs, device: device.to_string() })
}

/// A pack belongs to these very weights, so other weights under the same name are refused.
fn check_fingerprint(path: &Path, bytes: &[u8], config: &BackboneConfig) -> Result<(), BackboneError> {
    let found = sha256_hex(bytes);
    if found == config.fingerprint {
        return Ok(());
    }
    Err(BackboneError::Fingerprint { path: path.into(), expected: config.fingerprint.clone(), found })
}

type Shared = BTreeMap<String, Arc<DynValue>>;

/// Tensors that read the weights where they lie.
fn share(map: &Mmap, layout: &WeightLayout, halves: &[Half]) -> Result<Shared, Error> {
    let (info, allocator) = (memory::cpu_memory()?, Allocator::default());
    let mut tensors = BTreeMap::new();
    for (name, entry) in layout.iter() {
        let data = floats(map, name, entry)?;
        #[allow(unsafe_code)]
        // SAFETY: `data` lies in the map, which the store keeps longer than the tensors made here.
        let tensor = unsafe { memory::alias(&info, data.as_ptr(), &entry.shape, &allocator) }?;
        tensors.insert(name.to_owned(), Arc::new(tensor));
    }
    for Half { name, entry, values } in halves {
        #[allow(unsafe_code)]
        // SAFETY: there are as many values as the shape says; moving their owner does not move them, and the store
        // keeps it, unchanged, longer than the tensors made here.
        let tensor = unsafe { memory::alias(&info, values.as_ptr(), &entry.shape, &allocator) }?;
        tensors.insert(name.clone(), Arc::new(tensor));
    }
    Ok(tensors)
}
