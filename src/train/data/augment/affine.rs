//! Rotations, shears and shifts.

use image::{Rgb, RgbImage};

/// `[a, b, c, d, e, f]`: the pixel at `(x, y)` comes from `(a x + b y + c, d x + e y + f)`, as Pillow's
/// `Image.transform(AFFINE)`.
pub(super) type Affine = [f64; 6];

/// Rotates counter-clockwise around the middle.
pub(super) fn rotation(degrees: f64, (width, height): (u32, u32)) -> Affine {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (x, y) = (f64::from(width) / 2.0, f64::from(height) / 2.0);
    [cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y]
}

/// Resamples bilinearly; what comes from outside is `fill`.
pub(super) fn transform(image: &RgbImage, matrix: Affine, fill: [u8; 3]) -> RgbImage {
    let [a, b, c, d, e, f] = matrix;
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        // Pixels are squares: their middles are transformed.
        let (x, y) = (f64::from(x) + 0.5, f64::from(y) + 0.5);
        sample(image, (a * x + b * y + c - 0.5, d * x + e * y + f - 0.5), fill)
    })
}

fn sample(image: &RgbImage, (x, y): (f64, f64), fill: [u8; 3]) -> Rgb<u8> {
    let (width, height) = (i64::from(image.width()), i64::from(image.height()));
    if x < -0.5 || y < -0.5 || x >= width as f64 - 0.5 || y >= height as f64 - 0.5 {
        return Rgb(fill);
    }
    let (left, top) = (x.floor(), y.floor());
    let (right_share, bottom_share) = (x - left, y - top);
    // Beyond the border the border itself continues.
    let at = |dx: i64, dy: i64| {
        let (x, y) = ((left as i64 + dx).clamp(0, width - 1), (top as i64 + dy).clamp(0, height - 1));
        image.get_pixel(x as u32, y as u32).0.map(f64::from)
    };
    let (tl, tr, bl, br) = (at(0, 0), at(1, 0), at(0, 1), at(1, 1));
    Rgb(std::array::from_fn(|c| {
        let top = tl[c] + right_share * (tr[c] - tl[c]);
        let bottom = bl[c] + right_share * (br[c] - bl[c]);
        (top + bottom_share * (bottom - top)).round() as u8
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn_moves_corners_and_a_shift_fills() {
        let mut image = RgbImage::new(4, 4);
        image.put_pixel(0, 0, Rgb([200, 0, 0]));
        let turned = transform(&image, rotation(90.0, (4, 4)), [9; 3]);
        assert_eq!(turned.get_pixel(0, 3).0, [200, 0, 0]);
        let shifted = transform(&image, [1.0, 0.0, 2.0, 0.0, 1.0, 0.0], [9; 3]);
        assert_eq!(shifted.get_pixel(3, 0).0, [9; 3]);
        assert_eq!(transform(&image, rotation(0.0, (4, 4)), [9; 3]), image);
    }
}
