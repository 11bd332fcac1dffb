//! From an RGB image to what a backbone reads.

use image::RgbImage;

use super::geometry::Placement;
use super::{Error, Preprocessing, pixels, resize};

impl Preprocessing {
    /// Resizes and normalises an image.
    ///
    /// # Shapes
    /// The answer is `[3, S, S]`, row-major: channel (red, green, blue), row, column; `S` is `image_size`.
    ///
    /// # Errors
    /// As [`Preprocessing::resize_rgb`].
    pub fn apply(&self, image: &RgbImage) -> Result<Vec<f32>, Error> {
        let square = self.resize_rgb(image)?;
        Ok(pixels::normalise(&square, &self.mean, &self.std))
    }

    /// Resizes an image to `image_size` x `image_size`, equal to Pillow's answer bit for bit.
    ///
    /// # Errors
    /// [`Error::InvalidPreprocessing`] as [`Preprocessing::validate`]; [`Error::Empty`] for an image without pixels;
    /// [`Error::TooElongated`] for one so thin that nothing would be left of it, or that would need far more memory
    /// than it takes itself.
    pub fn resize_rgb(&self, image: &RgbImage) -> Result<RgbImage, Error> {
        self.validate()?;
        let mut square = RgbImage::new(self.image_size, self.image_size);
        self.resize_into(image, &mut square)?;
        Ok(square)
    }

    /// As [`Preprocessing::resize_rgb`], into samples `[S, S, 3]`, whatever they are before.
    ///
    /// # Errors
    /// As [`Preprocessing::resize_rgb`]; [`Error::InvalidPreprocessing`] when there are not as many samples.
    pub fn resize_into(&self, image: &RgbImage, square: &mut [u8]) -> Result<(), Error> {
        self.validate()?;
        let (side, samples) = (self.image_size, square.len());
        let own = resize::Square::from_raw(side, side, square).filter(|own| own.as_raw().len() == own.len());
        let Some(mut square) = own else {
            let reason = format!("{samples} samples are no square of {side} x {side} pixels");
            return Err(Error::InvalidPreprocessing { field: "image_size", reason });
        };
        let placement = Placement::new(self, image.width(), image.height())?;
        resize::resample(image, &placement, self, &mut square)
    }
}
