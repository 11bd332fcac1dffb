//! A preprocessing as bytes, for keys and digests: equal bytes mean equal pixels.

use super::decode::DECODER_VERSION;
use super::preprocessing::{Interpolation, Preprocessing, ResizeMode};

/// Version of the encoding; raised with every change to what is written.
const ENCODING: u8 = 1;
/// Length of the encoding, bytes.
const BYTES: usize = 40;

impl Preprocessing {
    /// The preprocessing and the decoder before it, in an encoding that stays as it is.
    ///
    /// | bytes | hold |
    /// |---|---|
    /// | 1 | version of this encoding |
    /// | 4 | version of the image decoder |
    /// | 1 + 4 | how an image becomes a square (0 short side then crop, 1 squash, 2 long side then pad), short side or 0 |
    /// | 1 | filter: 0 bicubic, 1 bilinear, 2 Lanczos |
    /// | 1 | antialias: 0 or 1 |
    /// | 4 | side of the square |
    /// | 12 + 12 | mean and standard deviation of each channel, as bits of 32-bit floats |
    ///
    /// Numbers are little-endian.
    pub fn identity(&self) -> [u8; BYTES] {
        let (resize, short_side) = match self.resize {
            ResizeMode::ShortSideThenCrop { resize_to } => (0, resize_to),
            ResizeMode::Squash => (1, 0),
            ResizeMode::LongSidePad => (2, 0),
        };
        let filter = match self.interpolation {
            Interpolation::Bicubic => 0,
            Interpolation::Bilinear => 1,
            Interpolation::Lanczos3 => 2,
        };
        let mut encoded = [0; BYTES];
        encoded[0] = ENCODING;
        encoded[1..5].copy_from_slice(&DECODER_VERSION.to_le_bytes());
        encoded[5] = resize;
        encoded[6..10].copy_from_slice(&short_side.to_le_bytes());
        (encoded[10], encoded[11]) = (filter, u8::from(self.antialias));
        encoded[12..16].copy_from_slice(&self.image_size.to_le_bytes());
        let floats = encoded[16..].chunks_exact_mut(4).zip(self.mean.iter().chain(&self.std));
        floats.for_each(|(bytes, value)| bytes.copy_from_slice(&value.to_le_bytes()));
        encoded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_the_one_that_is_written_down() {
        let (mean, std) = ([0.0, 0.5, 1.0], [1.0, 2.0, -2.0]);
        let resize = ResizeMode::ShortSideThenCrop { resize_to: 256 };
        let all = Preprocessing { resize, mean, std, ..Preprocessing::clip(224) };
        let hex: String = all.identity()[5..].iter().map(|byte| format!("{byte:02x}")).collect();
        // struct.pack("<BIBBI6f", 0, 256, 0, 1, 224, 0, 0.5, 1, 1, 2, -2).hex()
        assert_eq!(hex, "00000100000001e0000000000000000000003f0000803f0000803f00000040000000c0");
        assert_eq!(all.identity()[..5], [&[1], &DECODER_VERSION.to_le_bytes()[..]].concat());
    }

    #[test]
    fn every_field_tells() {
        let plain = Preprocessing::clip(224);
        let others = [
            Preprocessing { resize: ResizeMode::Squash, ..plain.clone() },
            Preprocessing { resize: ResizeMode::LongSidePad, ..plain.clone() },
            Preprocessing { resize: ResizeMode::ShortSideThenCrop { resize_to: 225 }, ..plain.clone() },
            Preprocessing { interpolation: Interpolation::Bilinear, ..plain.clone() },
            Preprocessing { interpolation: Interpolation::Lanczos3, ..plain.clone() },
            Preprocessing { antialias: false, ..plain.clone() },
            Preprocessing { image_size: 225, ..plain.clone() },
            Preprocessing { mean: [0.481_454_66, 0.457_827_5, 0.5], ..plain.clone() },
            Preprocessing { std: [0.268_629_54, 0.261_302_6, 0.5], ..plain.clone() },
            plain,
        ];
        for (i, one) in others.iter().enumerate() {
            let equal = others.iter().filter(|other| other.identity() == one.identity());
            assert_eq!(equal.count(), 1, "{i}");
        }
    }
}
