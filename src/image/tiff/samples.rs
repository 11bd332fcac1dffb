//! From samples to RGB.

use image::RgbImage;

use super::error::malformed;
use super::layout::{Alpha, Colours, Layout};
use crate::image::Error;
use crate::image::flatten::{ink_over_black, over_white};

/// Makes RGB of samples, which keep their high byte; alpha is composited on white.
pub(super) fn to_rgb(samples: &[u8], layout: &Layout) -> Result<RgbImage, Error> {
    let high;
    let samples = if layout.bits == 16 {
        let from = usize::from(layout.little);
        high = samples.iter().skip(from).step_by(2).copied().collect::<Vec<u8>>();
        &high
    } else {
        samples
    };
    let rgb: Vec<u8> = match &layout.colours {
        Colours::Palette(palette) => {
            let pixel = |pixel: &[u8]| {
                let [red, green, blue, alpha] = palette.0[usize::from(pixel[0])];
                with_alpha([red, green, blue], layout.alpha, pixel.get(1).copied().unwrap_or(alpha))
            };
            pixels(samples, layout, pixel)
        }
        Colours::Grey { white_is_zero } => {
            let most = 0xFF >> (8 - layout.bits.min(8));
            let grey = |value: u8| {
                let level = value * (255 / most);
                if *white_is_zero { 255 - level } else { level }
            };
            let alpha = |pixel: &[u8]| pixel.get(1).copied().unwrap_or(255);
            pixels(samples, layout, |pixel| with_alpha([grey(pixel[0]); 3], layout.alpha, alpha(pixel)))
        }
        Colours::Rgb => pixels(samples, layout, |pixel| {
            let alpha = pixel.get(3).copied().unwrap_or(255);
            with_alpha([pixel[0], pixel[1], pixel[2]], layout.alpha, alpha)
        }),
        Colours::Cmyk => pixels(samples, layout, |pixel| {
            [pixel[0], pixel[1], pixel[2]].map(|ink| ink_over_black(ink, pixel[3]))
        }),
    };
    let image = RgbImage::from_raw(layout.width as u32, layout.height as u32, rgb);
    image.ok_or_else(|| malformed("has fewer samples than its size needs"))
}

fn pixels(samples: &[u8], layout: &Layout, pixel: impl Fn(&[u8]) -> [u8; 3]) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(3 * layout.width * layout.height);
    samples.chunks_exact(layout.samples).for_each(|samples| rgb.extend_from_slice(&pixel(samples)));
    rgb
}

/// Composites on white. Associated alpha is divided out first, rounded down, as Pillow does.
fn with_alpha([red, green, blue]: [u8; 3], kind: Alpha, alpha: u8) -> [u8; 3] {
    let colour = match (kind, alpha) {
        (Alpha::None, _) => return [red, green, blue],
        (Alpha::Separate, _) | (Alpha::Associated, 0 | 255) => [red, green, blue],
        (Alpha::Associated, _) => {
            [red, green, blue].map(|level| (u16::from(level) * 255 / u16::from(alpha)).min(255) as u8)
        }
    };
    over_white([colour[0], colour[1], colour[2], alpha])
}
