//! The backbone's weights, in memory once.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use half::f16;
use memmap2::Mmap;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::Session;
use ort::session::builder::{PrepackedWeights, SessionBuilder};
use ort::value::{DynValue, PrimitiveTensorElementType, Tensor, TensorRef};

use super::halved::{Half, halves};
use super::memory::Element;
use super::quantised::Scheme;
use super::{Device, Error, Runtime, memory, quantised};
use crate::backbone::sha256_hex;
use crate::backbone::{
    BackboneConfig, Error as BackboneError, Precision, TensorEntry, WEIGHTS_FILE, WeightLayout,
};
use crate::graph::{self, Bytes, Graph, Quantised, WeightRange};

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
    on_device: Option<DeviceMemory>,
}

/// Device tensors and the session whose allocator made them.
struct DeviceMemory {
    _tensors: Vec<Tensor<f32>>,
    _halves: Vec<Tensor<f16>>,
    _session: Session,
}

impl WeightStore {
    /// Opens `<folder>/backbone.safetensors`, checks it against `config` and makes it resident; in a lower precision,
    /// quantises its matrices (under a second for ViT-B).
    ///
    /// # Errors
    /// When the file is unreadable or does not hold the backbone's tensors, or the device has no room or cannot run
    /// the precision.
    pub fn open(
        runtime: &Runtime,
        config: &BackboneConfig,
        folder: &Path,
        options: WeightOptions,
    ) -> Result<Self, Error> {
        let folder = folder.canonicalize().map_err(BackboneError::io(folder))?;
        let path = folder.join(WEIGHTS_FILE);
        let map = memory::map(&path).map_err(BackboneError::io(&path))?;
        check_fingerprint(&path, &map, config)?;
        let mut layout = WeightLayout::read(&path, &map, config)?;
        let precision = options.precision;
        let range = WeightRange::at(precision);
        if range.is_some() && runtime.device() != Device::Cpu {
            return Err(Error::Precision { precision, device: runtime.device() });
        }
        let halves = match precision {
            Precision::Fp16 => halves(runtime, &map, config, &layout)?,
            Precision::Fp32 | Precision::Int8 | Precision::Int8Reduced => Vec::new(),
        };
        let (mut tensors, on_device) = match runtime.device() {
            Device::Cpu => (share(&map, &layout, &halves)?, None),
            Device::Cuda(number) => upload(runtime, (&map, &layout, &halves), number)?,
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

/// A pack belongs to these very weights, so other weights under the same name are refused.
fn check_fingerprint(path: &Path, bytes: &[u8], config: &BackboneConfig) -> Result<(), BackboneError> {
    let found = sha256_hex(bytes);
    if found == config.fingerprint {
        return Ok(());
    }
    Err(BackboneError::Fingerprint { path: path.into(), expected: config.fingerprint.clone(), found })
}

/// The floats of `entry` inside the mapped file.
pub(super) fn floats<'a>(map: &'a Mmap, name: &str, entry: &TensorEntry) -> Result<&'a [f32], Error> {
    let fail = |reason: &str| Error::Call { action: format!("read weight {name}"), reason: reason.into() };
    let end = entry.offset + entry.length;
    let bytes = map.get(entry.offset..end).ok_or_else(|| fail("it lies outside the file"))?;
    #[allow(unsafe_code)]
    // SAFETY: every bit pattern is a float; `align_to` checks alignment itself.
    let (before, floats, after) = unsafe { bytes.align_to::<f32>() };
    if before.is_empty() && after.is_empty() { Ok(floats) } else { Err(fail("it is not aligned to 4 bytes")) }
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

/// Copies the weights to the GPU once and aliases them there: ONNX Runtime shares a given initializer between
/// sessions only where it already lies on the device it is planned for.
fn upload(
    runtime: &Runtime,
    (map, layout, halves): (&Mmap, &WeightLayout, &[Half]),
    number: i32,
) -> Result<(Shared, Option<DeviceMemory>), Error> {
    let session = runtime
        .session()?
        .commit_from_memory(&super::program::probe_model()?)
        .map_err(Error::call("start the device"))?;
    let info = MemoryInfo::new(AllocationDevice::CUDA, number, AllocatorType::Device, MemoryType::Default)
        .map_err(Error::call("describe device memory"))?;
    let allocator = Allocator::new(&session, info).map_err(Error::call("reach the device's memory"))?;
    let (mut tensors, mut owners, mut half_owners) = (BTreeMap::new(), Vec::new(), Vec::new());
    for (name, entry) in layout.iter() {
        let (alias, owner) = copy(&allocator, name, (&entry.shape, floats(map, name, entry)?))?;
        tensors.insert(name.to_owned(), Arc::new(alias));
        owners.push(owner);
    }
    for Half { name, entry, values } in halves {
        let (alias, owner) = copy(&allocator, name, (&entry.shape, values))?;
        tensors.insert(name.clone(), Arc::new(alias));
        half_owners.push(owner);
    }
    Ok((tensors, Some(DeviceMemory { _tensors: owners, _halves: half_owners, _session: session })))
}

/// A copy of a weight on the device, and the tensor that owns it.
fn copy<T: Element + PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static>(
    allocator: &Allocator,
    name: &str,
    (shape, data): (&[usize], &[T]),
) -> Result<(DynValue, Tensor<T>), Error> {
    let action = || format!("upload weight {name}");
    let host = TensorRef::from_array_view((shape.to_vec(), data)).map_err(Error::call(action()))?;
    let mut owner = Tensor::<T>::new(allocator, shape.to_vec()).map_err(Error::call(action()))?;
    host.copy_into(&mut owner).map_err(Error::call(action()))?;
    let data = owner.data_ptr_mut().cast::<T>().cast_const();
    #[allow(unsafe_code)]
    // SAFETY: `data` is the owner's device memory, and the store keeps the owner longer than the alias.
    let alias = unsafe { memory::alias(owner.memory_info(), data, shape, allocator) }?;
    Ok((alias, owner))
}
