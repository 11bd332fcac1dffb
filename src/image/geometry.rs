//! Which rectangle of an image lands where in the square.

use super::{Error, Preprocessing, ResizeMode};

/// A stretch of one axis: `[start, start + length)` of the source becomes `target` pixels beginning at `offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    /// Where it begins in the source, in pixels.
    pub start: f64,
    /// How much of the source it covers, in pixels.
    pub length: f64,
    /// Pixels it becomes.
    pub target: u32,
    /// Where those begin in the square, in pixels.
    pub offset: u32,
}

/// The two spans of a rectangle.
///
/// Cropping after resizing is done as resizing only the part that survives: a resampled pixel depends on its own
/// neighbourhood alone, so the pixels are the same, and a 1x10000 strip never becomes 224x2240000 pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Placement {
    pub horizontal: Span,
    pub vertical: Span,
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
                (Span::centre(width, resized_width, side), Span::centre(height, resized_height, side))
            }
            ResizeMode::Squash => (Span::whole(width, side, side), Span::whole(height, side, side)),
            ResizeMode::LongSidePad => {
                let (resized_width, resized_height) = long_side_to(side, width, height);
                if resized_width == 0 || resized_height == 0 {
                    return Err(Error::TooElongated { width, height, image_size: side });
                }
                (Span::whole(width, resized_width, side), Span::whole(height, resized_height, side))
            }
        };
        Ok(Self { horizontal, vertical })
    }
}

impl Span {
    /// The middle `side` of `resized` pixels, which all of `source` would become: torchvision's `CenterCrop`.
    fn centre(source: u32, resized: u64, side: u32) -> Self {
        let offset = half_to_even(resized.saturating_sub(u64::from(side)));
        let per_pixel = |pixels: u64| pixels as f64 * f64::from(source) / resized as f64;
        let start = per_pixel(offset);
        // Rounding must not carry the end past the source.
        let length = per_pixel(u64::from(side)).min(f64::from(source) - start);
        Self { start, length, target: side, offset: 0 }
    }

    /// All of `source`, in the middle of `side` pixels: Pillow's `ImageOps.pad`.
    fn whole(source: u32, target: u32, side: u32) -> Self {
        let offset = half_to_even(u64::from(side.saturating_sub(target))) as u32; // at most half of a u32
        Self { start: 0.0, length: f64::from(source), target, offset }
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
        assert_eq!((placement.horizontal.start, placement.horizontal.length), (0.0, 1.0));
        assert_eq!((placement.vertical.start, placement.vertical.length), (4999.5, 1.0));
    }

    #[test]
    fn an_image_of_the_right_size_is_left_alone() {
        let placement = Placement::new(&Preprocessing::clip(224), 224, 224).unwrap();
        let whole = Span { start: 0.0, length: 224.0, target: 224, offset: 0 };
        assert_eq!(placement, Placement { horizontal: whole, vertical: whole });
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
