//! What can go wrong in ONNX Runtime, said in our words.

use std::path::PathBuf;

/// Why the runtime could not start, compile or run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The library could not be loaded.
    #[error(
        "cannot load ONNX Runtime from {path}: {reason}; fetch it with `make runtime`, or name a libonnxruntime.so with \
         MIMI_ONNXRUNTIME, as the Python package's `mimi-server` does"
    )]
    Library {
        /// Where it was looked for.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// The process already runs with other settings, of which ONNX Runtime allows one set.
    #[error("this process already runs {running}, so it cannot also run {asked}")]
    OtherSettings {
        /// What runs.
        running: String,
        /// What was asked for.
        asked: String,
    },
    /// The asked device cannot be used.
    #[error(
        "device {device} cannot be used: {reason}; it takes `make runtime DEVICE=cuda`, NVIDIA's driver, CUDA 13 and cuDNN 9 (docs/gpu.md)"
    )]
    Device {
        /// The device.
        device: String,
        /// What the provider said.
        reason: String,
    },
    /// The device has no products in the asked precision.
    #[error("precision {precision} needs {needs}, the device is {device}")]
    Precision {
        /// The precision.
        precision: crate::backbone::Precision,
        /// What it needs.
        needs: &'static str,
        /// The device.
        device: String,
    },
    /// No 8-bit kernel of the library sums exactly on this processor.
    #[error("ONNX Runtime's 8-bit kernels do not sum exactly on this processor: use --precision fp32")]
    InexactIntegers,
    /// The name of a device is unknown.
    #[error("unknown device {0}: expected cpu, cuda or cuda:N")]
    UnknownDevice(String),
    /// The backbone's files are unusable.
    #[error(transparent)]
    Backbone(#[from] crate::backbone::Error),
    /// A graph could not be built or written.
    #[error(transparent)]
    Graph(#[from] crate::graph::Error),
    /// ONNX Runtime would not take a weight from us and would have loaded its own copy.
    #[error("ONNX Runtime refused {count} shared weight(s) while compiling {program}: {first}")]
    NotShared {
        /// The program.
        program: String,
        /// How many weights.
        count: usize,
        /// The first refusal, in ONNX Runtime's words.
        first: String,
    },
    /// A run's input is not what the program takes.
    #[error("program {program}: input {input}: {reason}")]
    Input {
        /// The program.
        program: String,
        /// The input.
        input: String,
        /// What does not fit.
        reason: String,
    },
    /// A program was asked for an output that it does not have.
    #[error("program {program} has no output {output}")]
    Output {
        /// The program.
        program: String,
        /// The output.
        output: String,
    },
    /// A call into ONNX Runtime failed.
    #[error("{action}: {reason}")]
    Call {
        /// What was being done.
        action: String,
        /// What ONNX Runtime said.
        reason: String,
    },
}

impl Error {
    /// Wraps a failed call with what was being done.
    pub(super) fn call<R>(action: impl Into<String>) -> impl FnOnce(ort::Error<R>) -> Self {
        let action = action.into();
        move |error| Self::Call { action, reason: error.to_string() }
    }
}
