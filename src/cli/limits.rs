//! How large an image may be, as typed after every command that reads images.

use clap::Args;
use mimi_server::image::Limits;

/// Limits of an image, the same for serving, training and measuring.
#[derive(Clone, Copy, Debug, Args)]
pub struct LimitArgs {
    /// Largest image, megapixels. Larger ones are refused by their header, before any memory is taken.
    #[arg(long, env = "MIMI_MAX_MEGAPIXELS", default_value_t = 40)]
    max_megapixels: u64,
    /// Largest image as a file, MiB. A server also bounds the request's body.
    #[arg(long, env = "MIMI_MAX_IMAGE_MIB", default_value_t = 32, value_name = "MIB")]
    max_image_mib: u64,
}

impl LimitArgs {
    /// What the options mean.
    pub fn limits(&self) -> Limits {
        let bytes = self.max_image_mib.saturating_mul(1 << 20);
        Limits {
            max_bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            max_pixels: self.max_megapixels.saturating_mul(1_000_000),
        }
    }
}
