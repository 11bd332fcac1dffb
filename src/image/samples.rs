//! Samples that come as they are.

use super::{Error, Limits, RgbImage};

/// An upright image of 8-bit RGB samples, `[height, width, 3]`.
///
/// # Errors
/// [`Error::Empty`] without pixels or with another number of samples, [`Error::TooLarge`] with more pixels than allowed.
pub fn of_samples(width: u32, height: u32, samples: &[u8], limits: &Limits) -> Result<RgbImage, Error> {
    if width == 0 || height == 0 {
        return Err(Error::Empty);
    }
    limits.check_pixels(width, height)?;
    RgbImage::from_raw(width, height, samples.to_vec()).ok_or(Error::Empty)
}
