//! PyTorch's checkpoints (`torch.save`), read without executing anything in them.
//!
//! A checkpoint is a pickle, a program that builds objects, beside raw numbers. `pickle` runs it on a `machine`
//! that can only build data, `rebuild` knows the handful of calls that tensors are made by, and `file` finds
//! pickle and numbers in the zip format (PyTorch 1.6 and later) and the older one.

mod error;
mod file;
mod machine;
mod object;
mod pickle;
mod rebuild;

pub use error::Error;
pub use file::{Numbers, TorchFile};
pub use object::{DType, Id, Object, Storage, Tree, View};
pub use pickle::read as read_pickle;
