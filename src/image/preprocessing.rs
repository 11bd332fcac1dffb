//! What a backbone's config says about its input.

use serde::{Deserialize, Serialize};

use super::Error;

/// Largest side of a backbone's input, in pixels; beyond it a config is taken to be wrong.
const MAX_IMAGE_SIZE: u32 = 4096;

/// How an image of any shape becomes a square.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ResizeMode {
    /// The short side becomes `resize_to` and the centre is cut out: torchvision's `Resize` and `CenterCrop`.
    ShortSideThenCrop {
        /// Short side after resizing, in pixels; at least the image size.
        resize_to: u32,
    },
    /// Both sides become the image size, whatever the proportions: torchvision's `Resize((S, S))`.
    Squash,
    /// The long side becomes the image size and black bars fill the rest: Pillow's `ImageOps.pad`.
    LongSidePad,
}

/// The resampling filter, by Pillow's name.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// Catmull-Rom, a = -0.5.
    Bicubic,
    /// Triangle.
    Bilinear,
    /// Lanczos, three lobes.
    Lanczos3,
}

/// From an RGB image to a backbone's input, exactly as the backbone was trained.
///
/// ```
/// use mimi_server::image::{Preprocessing, RgbImage};
///
/// let pixels = Preprocessing::clip(224).apply(&RgbImage::new(640, 480))?;
/// assert_eq!(pixels.len(), 3 * 224 * 224);
/// # Ok::<(), mimi_server::image::Error>(())
/// ```
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// How the image becomes a square.
    pub resize: ResizeMode,
    /// The resampling filter.
    pub interpolation: Interpolation,
    /// Whether the filter widens when it shrinks the image, as Pillow's does. Only `true` is implemented.
    pub antialias: bool,
    /// Side of the square, in pixels.
    pub image_size: u32,
    /// Mean of each channel (red, green, blue), of samples in 0..=1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, of samples in 0..=1.
    pub std: [f32; 3],
}

impl Preprocessing {
    /// The preprocessing of CLIP (`clip.load` of openai/CLIP): bicubic short side to `image_size`, centre crop.
    #[must_use]
    pub fn clip(image_size: u32) -> Self {
        Self {
            resize: ResizeMode::ShortSideThenCrop { resize_to: image_size },
            interpolation: Interpolation::Bicubic,
            antialias: true,
            image_size,
            mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
            std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
        }
    }

    /// The usual evaluation on ImageNet (timm, `crop_pct` 0.875): bicubic short side to 8/7 of `image_size`, centre crop.
    #[must_use]
    pub fn imagenet(image_size: u32) -> Self {
        Self {
            resize: ResizeMode::ShortSideThenCrop { resize_to: (u64::from(image_size) * 8 / 7) as u32 },
            interpolation: Interpolation::Bicubic,
            antialias: true,
            image_size,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        }
    }

    /// Checks that this is a preprocessing that can be done exactly as written.
    ///
    /// # Errors
    /// [`Error::InvalidPreprocessing`] names the first field at fault.
    pub fn validate(&self) -> Result<(), Error> {
        if self.image_size == 0 || self.image_size > MAX_IMAGE_SIZE {
            return Err(invalid("image_size", format!("{} is not in 1..={MAX_IMAGE_SIZE}", self.image_size)));
        }
        if !self.antialias {
            return Err(invalid("antialias", "only true is implemented, as Pillow resizes".into()));
        }
        if !self.mean.iter().all(|mean| mean.is_finite()) {
            return Err(invalid("mean", format!("{:?} is not finite", self.mean)));
        }
        if !self.std.iter().all(|&std| std.is_finite() && std > 0.0) {
            return Err(invalid("std", format!("{:?} is not finite and above 0", self.std)));
        }
        self.validate_resize()
    }

    fn validate_resize(&self) -> Result<(), Error> {
        let ResizeMode::ShortSideThenCrop { resize_to } = self.resize else { return Ok(()) };
        if resize_to < self.image_size || resize_to > 2 * MAX_IMAGE_SIZE {
            let range = format!("{}..={}", self.image_size, 2 * MAX_IMAGE_SIZE);
            return Err(invalid("resize", format!("resize_to {resize_to} is not in {range}")));
        }
        Ok(())
    }
}

fn invalid(field: &'static str, reason: String) -> Error {
    Error::InvalidPreprocessing { field, reason }
}
