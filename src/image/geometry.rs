//! Which part of an image lands where in the square.

use super::{Error, Preprocessing, ResizeMode};

/// One axis: `source` pixels become `resized`, of which `target` from `first` on are kept and put at `offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Axis {
    /// Pixels of the image.
    pub source: u32,
    /// Pixels that all of it would become.
    pub resized: u64,
    /// First of those that is kept.
    pub first: u64,
    /// How many are kept.
    pub target: u32,
    /// Where they begin in the square.
    pub offset: u32,
}

/// The two axes of an image.
///
/// Cropping after resizing is done as making only the pixels that survive: a resampled pixel depends on its own
/// neighbourhood alone, so the pixels are the same, and a 1x10000 strip never becomes 224x2240000 pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placement {
    pub horizontal: Axis,
    pub vertical: Axis,
}

impl Placement {
    /// Places an image of `width` x `height` pixels.
    pub(super) fn new(preprocessing: &Preprocessing, width: u32, height: u32) -> Result<Self, Error> {
        if width == 0 || height == 0 {
            return Err(Error::Empty);
        }
        let side = preprocessing.image_size;
        let (horizontal, vertical) = match preprocessing.resize {
            ResizeMode::ShortSideThenCrop { resize_to } => {
                let (resized_width, resized_height) = short_side_to(resize_to, width, height);
                (Axis::centre(width, resized_width, side), Axis::centre(height, resized_height, side))
            }
            ResizeMode::Squash => (Axis::whole(width, side, side), Axis::whole(height, side, side)),
            ResizeMode::LongSidePad => {
                let (resized_width, resized_height) = long_side_to(side, width, height);
                if resized_width == 0 || resized_height == 0 {
                    return Err(Error::TooElongated { width, height, image_size: side });
                }
                (Axis::whole(width, resized_width, side), Axis::whole(height, resized_height, side))
            }
        };
        Ok(Self { horizontal, vertical })
    }
}

impl Axis {
    /// The middle `side` of `resized` pixels: torchvision's `CenterCrop`.
    fn centre(source: u32, resized: u64, side: u32) -> Self {
        let first = half_to_even(resized.saturating_sub(u64::from(side)));
        Self { source, resized, first, target: side, offset: 0 }
    }

    /// All of the axis, in the middle of `side` pixels: Pillow's `ImageOps.pad`.
    fn whole(source: u32, target: u32, side: u32) -> Self {
        let offset = half_to_even(u64::from(side.saturating_sub(target))) as u32; // at most half of a u32
        Self { source, resized: u64::from(target), first: 0, target, offset }
    }
}

/// torchvision's `Resize(size)`: the short side is `size`, the long side `int(size * long / short)`.
fn short_side_to(size: u32, width: u32, height: u32) -> (u64, u64) {
    let (size, width, height) = (u64::from(size), u64::from(width), u64::from(height));
    if width <= height { (size, size * height / width) } else { (size * width / height, size) }
}

/// Pillow's `ImageOps.contain`: the long side is `size`, the short side `round(short / long * size)`.
fn long_side_to(size: u32, width: u32, height: u32) -> (u32, u32) {
    let (long, short) = (width.max(height), width.min(height));
    let scaled = (f64::from(short) / f64::from(long) * f64::from(size)).round_ties_even() as u32;
    if width >= height { (size, scaled) } else { (scaled, size) }
}

/// Half of `value`, a tie going to the even number: Python's `round(value / 2)`.
fn half_to_even(value: u64) -> u64 {
    let half = value / 2;
    half + (value % 2) * (half % 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_as_pythons_do() {
        let rounded: Vec<u64> = (0..8).map(half_to_even).collect();
        assert_eq!(rounded, [0, 0, 1, 2, 2, 2, 3, 4]);
    }

    #[test]
    fn the_long_side_is_truncated_and_its_middle_is_kept() {
        assert_eq!(short_side_to(224, 640, 481), (298, 224));
        assert_eq!(short_side_to(224, 1, 10_000), (224, 2_240_000));
        let placement = Placement::new(&Preprocessing::clip(224), 1, 10_000).unwrap();
        let across = Axis { source: 1, resized: 224, first: 0, target: 224, offset: 0 };
        let down = Axis { source: 10_000, resized: 2_240_000, first: 1_119_888, target: 224, offset: 0 };
        assert_eq!(placement, Placement { horizontal: across, vertical: down });
    }

    #[test]
    fn padding_is_centred_and_a_hair_is_refused() {
        let pad = Preprocessing { resize: ResizeMode::LongSidePad, ..Preprocessing::clip(224) };
        let placement = Placement::new(&pad, 400, 300).unwrap();
        assert_eq!((placement.horizontal.target, placement.horizontal.offset), (224, 0));
        assert_eq!((placement.vertical.target, placement.vertical.offset), (168, 28));
        let refused = Placement::new(&pad, 1, 10_000);
        assert_eq!(refused, Err(Error::TooElongated { width: 1, height: 10_000, image_size: 224 }));
    }
}
