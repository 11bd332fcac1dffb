//! What can be wrong with a PyTorch file.

/// Why a PyTorch file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is neither of the two formats.
    #[error("not a file of torch.save: {0}")]
    Format(String),
    /// Something is larger than it has reason to be.
    #[error("{what} of {size}, more than the {limit} allowed")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The pickle is damaged.
    #[error("pickle, byte {offset}: {reason}")]
    Pickle {
        /// Where, from the pickle's start.
        offset: usize,
        /// What is wrong there.
        reason: String,
    },
    /// Something else stands where a value was expected.
    #[error("{what} is {found}, expected {expected}")]
    Unexpected {
        /// Where it was expected.
        what: String,
        /// What stands there.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A tensor does not fit its storage.
    #[error("tensor {tensor}: {reason}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// Why not.
        reason: String,
    },
}
