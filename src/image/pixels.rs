//! From bytes to the numbers a backbone was trained on.

use image::RgbImage;

/// Normalises: `(sample / 255 - mean) / std`, in `f32` and in this order, as torchvision's `ToTensor` and `Normalize`.
///
/// # Shapes
/// An image of `H` rows and `W` columns becomes `[3, H, W]`, row-major.
pub(super) fn normalise(image: &RgbImage, mean: &[f32; 3], std: &[f32; 3]) -> Vec<f32> {
    let plane = image.width() as usize * image.height() as usize;
    let mut pixels = Vec::with_capacity(3 * plane); // [3, H, W]
    let (samples, _) = image.as_raw().as_chunks::<3>();
    for channel in 0..3 {
        let levels = levels(mean[channel], std[channel]);
        pixels.extend(samples.iter().map(|pixel| levels[usize::from(pixel[channel])]));
    }
    pixels
}

/// What each of the 256 levels of a channel becomes.
fn levels(mean: f32, std: f32) -> [f32; 256] {
    std::array::from_fn(|level| (level as f32 / 255.0 - mean) / std)
}
