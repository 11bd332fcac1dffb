//! One file of tensors; its content decides what it is, not its name.

use std::path::Path;

use super::checkpoint::Checkpoint;
use super::error::Error;
use super::onnx;
use crate::import::torch::TorchFile;

/// The tensors of one file, and its format where that comes before any naming.
///
/// # Errors
/// When the content is damaged or unknown; well-known other formats are named.
pub(super) fn read(
    path: &Path,
    bytes: &[u8],
    key: Option<&str>,
) -> Result<(Checkpoint, Option<&'static str>), Error> {
    if let Some(what) = well_known(bytes) {
        let reason = format!("it is {what}; expected safetensors, a file of torch.save, or ONNX");
        return Err(Error::UnknownLayout { path: path.into(), reason });
    }
    match kind(path, bytes) {
        Kind::Safetensors => {
            let mut checkpoint = Checkpoint::from_safetensors(path, bytes)?;
            checkpoint.prefix = key.map(str::to_owned);
            Ok((checkpoint, None))
        }
        Kind::Onnx => Ok((onnx::read(path, bytes)?, Some("onnx"))),
        Kind::Torch => {
            let file = TorchFile::open(bytes).map_err(|source| Error::Torch { path: path.into(), source });
            Ok((Checkpoint::from_torch(path, &mut file?, key)?, None))
        }
        Kind::Unknown => {
            let reason = "its content is none of safetensors, torch.save's and ONNX".into();
            Err(Error::UnknownLayout { path: path.into(), reason })
        }
    }
}

enum Kind {
    Safetensors,
    Torch,
    Onnx,
    Unknown,
}

/// By content; a file too short or too damaged to show it is what its name says, so that the error fits.
fn kind(path: &Path, bytes: &[u8]) -> Kind {
    /// A pickle's first opcode.
    const PICKLE: u8 = 0x80;
    /// The field `ir_version`, which ONNX's exporters write first.
    const IR_VERSION: u8 = 0x08;
    let header = bytes.first_chunk::<8>().map(|length| u64::from_le_bytes(*length));
    let fits = header.is_some_and(|length| length < bytes.len() as u64);
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    match (bytes, extension.as_str()) {
        ([_, _, _, _, _, _, _, _, b'{', ..], _) if fits => Kind::Safetensors,
        ([b'P', b'K', 3, 4, ..] | [PICKLE, ..], _) => Kind::Torch,
        (_, "safetensors") => Kind::Safetensors,
        (_, "pth" | "pt" | "bin" | "ckpt" | "tar") => Kind::Torch,
        (_, "onnx") | ([IR_VERSION, ..], _) => Kind::Onnx,
        _ => Kind::Unknown,
    }
}

/// Formats that are known by their first bytes and not read.
fn well_known(bytes: &[u8]) -> Option<&'static str> {
    const LIST: usize = 1 << 20;
    const TAR_MAGIC: std::ops::Range<usize> = 257..262;
    let begins = |magic: &[u8]| bytes.starts_with(magic);
    // An archive lists its files at its end.
    let list = &bytes[bytes.len().saturating_sub(LIST)..];
    let holds = |name: &[u8]| begins(b"PK\x03\x04") && list.windows(name.len()).any(|part| part == name);
    match () {
        () if begins(b"\x89HDF\r\n\x1a\n") => Some("an HDF5 file (Keras)"),
        () if begins(b"GGUF") => Some("a GGUF file"),
        () if begins(b"version https://git-lfs") => Some("a Git LFS pointer; fetch the file it points to"),
        () if begins(b"\x1f\x8b") => Some("compressed with gzip; unpack it"),
        () if begins(b"\x28\xb5\x2f\xfd") => Some("compressed with zstd; unpack it"),
        () if bytes.get(TAR_MAGIC) == Some(b"ustar") => Some("a tar archive; unpack it"),
        () if begins(b"\x93NUMPY") => Some("a NumPy array"),
        () if begins(b"<!") || begins(b"<html") || begins(b"<HTML") => {
            Some("a web page, not the file itself")
        }
        () if holds(b"/code/__torch__") => Some("a TorchScript archive; save its state_dict()"),
        () if holds(b".npy") && !holds(b"data.pkl") => Some("a NumPy archive (.npz)"),
        () if holds(b"model.weights.h5") => Some("a Keras archive"),
        () => None,
    }
}
