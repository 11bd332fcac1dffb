//! The library and its one environment.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ort::environment::{Environment, GlobalThreadPoolOptions};
use ort::logging::LogLevel;
use ort::session::builder::SessionBuilder;
use ort::session::{Session, builder::GraphOptimizationLevel};
use parking_lot::RwLock;

use super::captures::Captures;
use super::{Device, Error, memory};
use crate::backbone::Precision;

/// Words of ONNX Runtime when it will not use a weight it was given (`session_state_utils.cc`).
const REFUSAL: &str = "Cannot use user supplied initializer";

/// ONNX Runtime's setting that names passes to leave out.
const WITHOUT: &str = "optimization.disable_specified_optimizers";
/// The pass that moves transpositions, at its two levels. It changes the shape of weights in place, which a weight
/// lent by us does not follow (`[D]` where the graph now says `[D, 1]`): the run fails or, where two sizes are the
/// same, broadcasts along the wrong axis. The programs of ViT and Swin have the same operators without it, and a
/// training step fewer.
const TRANSPOSITIONS: &str = "TransposeOptimizer;TransposeOptimizer_CPUExecutionProvider";
/// The pass that turns 16-bit weights into 32-bit ones where a CPU lacks instructions for them. It turns the bytes that
/// the model's file has at the weight's place, not the weight that was lent.
const WIDENING: &str = "FuseFp16InitializerToFp32NodeTransformer";

/// The passes that make one product with a bias of a product and what is added to it. On a GPU it reads ones, which a wider run
/// moves: what was captured before would read them where they were.
const BIASES: &str = "MatMulAddFusion;GemmSumFusion";

/// Whether products' algorithms are chosen by trying them at a size's first run. It captures streams, which makes whatever
/// another thread does on the GPU fail meanwhile (error 900), e.g. the start of a program.
const TUNING: &str = "ep.cuda.enable_gemm_auto_tune";
/// Whether operators that a GPU has no kernel for are an error. They would run on the CPU, with copies there and back.
const FALLBACK: &str = "session.disable_cpu_ep_fallback";

/// What a runtime is started with.
#[derive(Clone, Debug)]
pub struct RuntimeOptions {
    /// Path of `libonnxruntime.so`.
    pub library: PathBuf,
    /// Where programs run.
    pub device: Device,
    /// Threads inside one operator: the caller and `threads - 1` others, which all programs of the process share.
    pub threads: usize,
    /// Whether threads that wait for work inside a run keep their cores for it. Worth 4 % of a training step on two
    /// cores; a server has better use for them, and so has a process that other processes share the machine with.
    pub spin: bool,
}

/// ONNX Runtime, loaded and configured. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    shared: Arc<Shared>,
    device: Device,
}

/// ONNX Runtime allows one environment a process, so this is what the process shares.
struct Shared {
    environment: Environment,
    threads: usize,
    spin: bool,
    refusals: Arc<Refusals>,
    /// GPUs that have their arena.
    arenas: Mutex<BTreeSet<i32>>,
    captures: Arc<RwLock<()>>,
}

static ENVIRONMENT: OnceLock<Result<Arc<Shared>, Start>> = OnceLock::new();

/// A failed start, kept so that a second try fails the same way.
#[derive(Clone)]
struct Start {
    path: PathBuf,
    reason: String,
}

impl Runtime {
    /// Loads the library at first use and checks that the device is there.
    ///
    /// # Errors
    /// [`Error::Library`], [`Error::Device`] when the device is absent (there is no fallback), and
    /// [`Error::OtherSettings`] when the process already runs with another number of threads, or with threads that wait
    /// otherwise.
    pub fn open(options: &RuntimeOptions) -> Result<Self, Error> {
        let started = ENVIRONMENT.get_or_init(|| start(options).map(Arc::new));
        let shared = match started {
            Ok(shared) => Arc::clone(shared),
            Err(Start { path, reason }) => {
                return Err(Error::Library { path: path.clone(), reason: reason.clone() });
            }
        };
        if (shared.threads, shared.spin) != (options.threads, options.spin) {
            let words = |threads, spin| {
                let wait = if spin { "spin" } else { "sleep" };
                format!("ONNX Runtime with {threads} thread(s) that {wait} while they wait")
            };
            return Err(Error::OtherSettings {
                running: words(shared.threads, shared.spin),
                asked: words(options.threads, options.spin),
            });
        }
        let runtime = Self { shared, device: options.device };
        runtime.register_arena()?;
        runtime.check_device()?;
        Ok(runtime)
    }

    /// Where programs run.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Threads inside one operator.
    pub fn threads(&self) -> usize {
        self.shared.threads
    }

    /// Whose turn it is on the process's GPUs.
    pub(super) fn captures(&self) -> Captures {
        Captures::of(self.device, &self.shared.captures)
    }

    /// A session builder with everything that all programs have in common.
    pub(super) fn session(&self, precision: Precision) -> Result<SessionBuilder, Error> {
        self.configured(precision, false)
    }

    /// As [`Runtime::session`], of a session whose runs a GPU captures. Its scratch memory is its own.
    pub(super) fn replaying_session(&self, precision: Precision) -> Result<SessionBuilder, Error> {
        self.configured(precision, true)
    }

    fn configured(&self, precision: Precision, is_replayed: bool) -> Result<SessionBuilder, Error> {
        let failed = |e: ort::Error<SessionBuilder>| Error::Call {
            action: "configure a program".into(),
            reason: e.to_string(),
        };
        let builder = Session::builder(&self.shared.environment).map_err(Error::call("start a program"))?;
        let builder = builder.with_optimization_level(GraphOptimizationLevel::All).map_err(failed)?;
        let builder = builder.with_log_level(LogLevel::Warning).map_err(failed)?;
        let without = format!("{TRANSPOSITIONS};{WIDENING}");
        let builder = match is_replayed {
            true => builder.with_config_entry(WITHOUT, format!("{without};{BIASES}")),
            false => builder.with_env_allocators().map_err(failed)?.with_config_entry(WITHOUT, without),
        };
        let builder = builder.map_err(failed)?;
        // A pattern keeps a second block for each shape beside what its first run took: twice the scratch memory (1323
        // MB instead of 848 for training steps of 32 images on DINOv2-S at 112 pixels), and no faster.
        let builder = builder.with_memory_pattern(false).map_err(failed)?;
        match self.device {
            Device::Cpu => Ok(builder),
            Device::Cuda(number) => {
                let builder = builder.with_config_entry(TUNING, "0").map_err(failed)?;
                let builder = builder.with_config_entry(FALLBACK, "1").map_err(failed)?;
                let provider = ort::ep::CUDA::default().with_device_id(number).with_cuda_graph(is_replayed);
                // ONNX Runtime's own default rounds the factors of every fp32 product.
                let provider = provider.with_tf32(precision == Precision::Tf32).build().error_on_failure();
                builder.with_execution_providers([provider]).map_err(|e| self.absent(&e))
            }
        }
    }

    /// A session of the smallest program there is, to reach the device by.
    pub(super) fn probe(&self) -> Result<Session, Error> {
        let model = super::probe::probe_model()?;
        let captures = self.captures();
        let _turn = captures.beside();
        self.session(Precision::Fp32)?.commit_from_memory(&model).map_err(Error::call("start the device"))
    }

    /// Forgets earlier refusals of shared weights; call before compiling.
    pub(super) fn forget_refusals(&self) -> std::sync::MutexGuard<'_, ()> {
        let guard = self.shared.refusals.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.refusals.lock().clear();
        guard
    }

    /// Refusals of shared weights since [`Runtime::forget_refusals`], in ONNX Runtime's words.
    pub(super) fn refusals(&self) -> Vec<String> {
        self.shared.refusals.lock().clone()
    }

    /// Why the device cannot be used, on one line.
    fn absent(&self, because: &dyn std::error::Error) -> Error {
        let reason = because.to_string();
        let reason = reason.trim().trim_end_matches('.').into();
        Error::Device { device: self.device.to_string(), reason }
    }

    /// Gives a GPU the arena that all programs share, once a process.
    fn register_arena(&self) -> Result<(), Error> {
        let Device::Cuda(number) = self.device else { return Ok(()) };
        let mut arenas = self.shared.arenas.lock().unwrap_or_else(PoisonError::into_inner);
        if !arenas.contains(&number) {
            memory::register_cuda_arena(&self.shared.environment, number).map_err(|e| self.absent(&e))?;
            arenas.insert(number);
        }
        Ok(())
    }

    fn check_device(&self) -> Result<(), Error> {
        match self.device {
            Device::Cpu => Ok(()),
            // A provider loads without a GPU where its libraries are there; only a session asks for the GPU.
            Device::Cuda(_) => self.probe().map(drop).map_err(|error| match error {
                Error::Device { .. } => error,
                other => self.absent(&other),
            }),
        }
    }
}

fn start(options: &RuntimeOptions) -> Result<Shared, Start> {
    let RuntimeOptions { library, threads, spin, .. } = options;
    let fail = |reason: String| Start { path: library.clone(), reason };
    if !library.is_file() {
        return Err(fail("there is no such file".into()));
    }
    // The loader resolves relative paths against the executable; ours are relative to the working folder.
    let path = library.canonicalize().map_err(|e| fail(e.to_string()))?;
    let builder = ort::init_from(&path).map_err(|e| fail(e.to_string()))?;
    let refusals = Arc::new(Refusals::default());
    let pool = GlobalThreadPoolOptions::default()
        .with_intra_threads(*threads)
        // Programs run one operator after the other. Left alone, ONNX Runtime makes a second pool for running several,
        // one thread for each core of the machine whatever the process may use.
        .and_then(|pool| pool.with_inter_threads(1))
        .and_then(|pool| pool.with_spin_control(*spin))
        .map_err(|e| fail(e.to_string()))?;
    let environment = builder
        .with_name("mimi")
        .with_telemetry(false)
        .with_global_thread_pool(pool)
        .with_logger(refusals.logger())
        .build()
        .map_err(|e| fail(e.to_string()))?;
    memory::register_cpu_arena(&environment).map_err(|e| fail(e.to_string()))?;
    Ok(Shared {
        environment,
        threads: *threads,
        spin: *spin,
        refusals,
        arenas: Mutex::default(),
        captures: Arc::default(),
    })
}

/// Remembers what ONNX Runtime logs about weights it would not share, and forwards all it logs.
#[derive(Default)]
struct Refusals {
    messages: Mutex<Vec<String>>,
    /// Held while a program is compiled, so that refusals go to the right one.
    compiling: Mutex<()>,
}

impl Refusals {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn logger(self: &Arc<Self>) -> ort::logging::LoggerFunction {
        let refusals = Arc::clone(self);
        Arc::new(move |level, _category, _id, place, message| {
            if message.contains(REFUSAL) {
                refusals.lock().push(message.to_owned());
            }
            match level {
                LogLevel::Error | LogLevel::Fatal => {
                    tracing::error!(target: "onnxruntime", place, "{message}")
                }
                LogLevel::Warning => tracing::warn!(target: "onnxruntime", place, "{message}"),
                LogLevel::Info => tracing::debug!(target: "onnxruntime", place, "{message}"),
                LogLevel::Verbose => tracing::trace!(target: "onnxruntime", place, "{message}"),
            }
        })
    }
}
