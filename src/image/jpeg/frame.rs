//! What a frame header declares (ITU-T T.81, B.2.2), and room for what its scans bring.

use super::error::{malformed, unsupported};
use super::inverse::Block;
use crate::image::{Error, Limits};

/// Blocks that a unit of an interleaved scan may have (T.81, B.2.3).
pub(super) const MAX_BLOCKS: usize = 10;

/// One colour of a frame.
pub(super) struct Component {
    pub id: u8,
    /// Samples for each unit, across and down.
    pub sampling: (usize, usize),
    /// Which table its coefficients were divided by.
    pub table: usize,
    /// That table, as it was when the component's first scan began.
    pub divisors: Option<[u16; 64]>,
    /// Its size in samples.
    pub size: (usize, usize),
    /// Its size in blocks, across and down.
    pub blocks: (usize, usize),
    /// The same, filled up to whole units.
    pub room: (usize, usize),
    /// Samples, in rows of `8 * room.0`.
    pub samples: Vec<u8>,
    /// Coefficients of a progressive frame, in rows of `room.0` blocks.
    pub coefficients: Vec<Block>,
    /// For each coefficient of a progressive frame, how many of its low bits are still missing; all at first.
    pub missing: [u8; 64],
}

pub(super) struct Frame {
    pub progressive: bool,
    pub size: (usize, usize),
    /// The largest sampling of all components, across and down.
    pub sampling: (usize, usize),
    /// Units of an interleaved scan, across and down.
    pub units: (usize, usize),
    pub components: Vec<Component>,
}

/// The names of the frames that are not decoded, by their marker.
fn refused(marker: u8) -> Option<&'static str> {
    match marker {
        0xC0..=0xC2 => None,
        0xC3 | 0xC7 => Some("lossless coding"),
        0xC5 | 0xC6 => Some("hierarchical coding"),
        0xCB | 0xCF => Some("lossless coding with arithmetic coding"),
        _ => Some("arithmetic coding"),
    }
}

impl Frame {
    /// Reads a frame header. Takes no memory for pixels.
    pub fn read(marker: u8, segment: &[u8], limits: &Limits) -> Result<Self, Error> {
        if let Some(feature) = refused(marker) {
            return Err(unsupported(feature));
        }
        let (&[bits, h1, h0, w1, w0, count], rest) =
            segment.split_first_chunk().ok_or_else(|| malformed("has a frame header that is too short"))?;
        if bits != 8 {
            return Err(unsupported(&format!("{bits}-bit samples")));
        }
        let [width, height] = [[w1, w0], [h1, h0]].map(u16::from_be_bytes);
        limits.check_pixels(width.into(), height.into())?;
        if width == 0 {
            return Err(malformed("declares a width of 0 pixels"));
        }
        if height == 0 {
            return Err(unsupported("a height that follows the first scan"));
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(unsupported(&format!("{count} colour components")));
        }
        let (declared, _) = rest.as_chunks::<3>();
        let declared = declared
            .get(..count.into())
            .ok_or_else(|| malformed("has a frame header with fewer components than it says"))?;
        Self::new(marker == 0xC2, (width.into(), height.into()), declared)
    }

    fn new(progressive: bool, size: (usize, usize), declared: &[[u8; 3]]) -> Result<Self, Error> {
        let sampling = |&[_, both, _]: &[u8; 3]| (usize::from(both >> 4), usize::from(both & 15));
        let across = declared.iter().map(|one| sampling(one).0).max().unwrap_or(1);
        let down = declared.iter().map(|one| sampling(one).1).max().unwrap_or(1);
        if declared.iter().map(sampling).any(|(h, v)| h == 0 || v == 0 || h > 4 || v > 4) {
            return Err(malformed("declares a sampling factor that is not in 1..=4"));
        }
        if declared.iter().map(sampling).any(|(h, v)| across % h != 0 || down % v != 0) {
            return Err(unsupported("sampling factors that do not divide the largest one"));
        }
        let units = (size.0.div_ceil(8 * across), size.1.div_ceil(8 * down));
        let components = declared
            .iter()
            .map(|one| Component::new(one[0], sampling(one), one[2].into(), size, (across, down), units))
            .collect();
        Ok(Self { progressive, size, sampling: (across, down), units, components })
    }

    /// Takes the memory that the scans will fill.
    pub fn allocate(&mut self) {
        for component in &mut self.components {
            let blocks = component.room.0 * component.room.1;
            component.samples = vec![0; 64 * blocks];
            if self.progressive {
                component.coefficients = vec![[0; 64]; blocks];
            }
        }
    }
}

impl Component {
    fn new(
        id: u8,
        (h, v): (usize, usize),
        table: usize,
        (width, height): (usize, usize),
        (across, down): (usize, usize),
        units: (usize, usize),
    ) -> Self {
        let size = ((width * h).div_ceil(across), (height * v).div_ceil(down));
        Self {
            id,
            sampling: (h, v),
            table,
            divisors: None,
            size,
            blocks: (size.0.div_ceil(8), size.1.div_ceil(8)),
            room: (units.0 * h, units.1 * v),
            samples: Vec::new(),
            coefficients: Vec::new(),
            missing: [u8::MAX; 64],
        }
    }
}
