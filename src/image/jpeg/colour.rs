//! From a JPEG's colours to RGB, in libjpeg's fixed point.

use multiversion::multiversion;

use crate::image::flatten::ink_over_black;

/// What the components of a frame mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colours {
    Grey,
    YCbCr,
    Rgb,
    Cmyk,
    Ycck,
}

impl Colours {
    /// Decides as libjpeg does: JFIF means YCbCr, Adobe's marker says it, the components' names may tell.
    pub fn of(ids: &[u8], jfif: bool, adobe: Option<u8>) -> Self {
        match (ids, adobe) {
            ([_], _) => Self::Grey,
            ([_, _, _, _], None | Some(0)) => Self::Cmyk,
            ([_, _, _, _], Some(_)) => Self::Ycck,
            (_, _) if jfif => Self::YCbCr,
            (_, Some(0)) => Self::Rgb,
            (_, Some(_)) => Self::YCbCr,
            ([b'R', b'G', b'B'], None) => Self::Rgb,
            _ => Self::YCbCr,
        }
    }
}

/// Turns one row of each component into a row of RGB. Four components are inks stored inverted, as Adobe stores them.
pub(super) fn convert(colours: Colours, rows: &[&[u8]], target: &mut [u8]) {
    let (pixels, _) = target.as_chunks_mut::<3>();
    match (colours, rows) {
        (Colours::Grey, [grey, ..]) => {
            pixels.iter_mut().zip(*grey).for_each(|(pixel, &grey)| *pixel = [grey; 3]);
        }
        (Colours::Rgb, [red, green, blue, ..]) => {
            for (((pixel, &red), &green), &blue) in pixels.iter_mut().zip(*red).zip(*green).zip(*blue) {
                *pixel = [red, green, blue];
            }
        }
        (Colours::YCbCr, [y, cb, cr, ..]) => ycc(y, cb, cr, pixels),
        (Colours::Cmyk, [cyan, magenta, yellow, black]) => {
            for (((pixel, &cyan), &magenta), &yellow) in
                pixels.iter_mut().zip(*cyan).zip(*magenta).zip(*yellow)
            {
                *pixel = [cyan, magenta, yellow];
            }
            under(black, pixels);
        }
        (Colours::Ycck, [y, cb, cr, black]) => {
            ycc(y, cb, cr, pixels);
            // Y, Cb and Cr stand for the inverse of inks, which are stored inverted.
            pixels.iter_mut().for_each(|pixel| *pixel = pixel.map(|level| 255 - level));
            under(black, pixels);
        }
        _ => {}
    }
}

/// Lays inverted inks over inverted black.
fn under(black: &[u8], pixels: &mut [[u8; 3]]) {
    for (pixel, &black) in pixels.iter_mut().zip(black) {
        *pixel = pixel.map(|ink| ink_over_black(255 - ink, 255 - black));
    }
}

/// ITU-T T.871, section 7, with 16 fractional bits, each product rounded as libjpeg rounds it.
#[multiversion(targets("x86_64+avx2"))]
fn ycc(y: &[u8], cb: &[u8], cr: &[u8], pixels: &mut [[u8; 3]]) {
    const HALF: i32 = 1 << 15;
    for (((pixel, &y), &cb), &cr) in pixels.iter_mut().zip(y).zip(cb).zip(cr) {
        let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
        let red = y + ((91_881 * cr + HALF) >> 16);
        let green = y + ((-22_554 * cb - 46_802 * cr + HALF) >> 16);
        let blue = y + ((116_130 * cb + HALF) >> 16);
        *pixel = [red, green, blue].map(|level| level.clamp(0, 255) as u8);
    }
}
