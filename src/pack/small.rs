//! Tensors at few bits a weight.
//!
//! At 1, 2 and 4 bits a matrix has a mean m and a deviation s, and a weight is `m + s · q`: q is the median of one of 2ᵇ
//! equally likely intervals of the normal distribution (Jie et al. 2023, "Revisiting the Parameter Efficiency of Adapters
//! from the Perspective of Precision Redundancy"). At 8 bits a weight is `a · q` with a whole q from −127 to 127: a matrix of an
//! adapter has one scale a, a head has one for each class. A scale for each of an adapter's outputs would outweigh the codes of
//! a narrow `up`.
//!
//! On disk codes lie in the order of elements, the first in the lowest bits of the first byte.

use serde::{Deserialize, Serialize};

use crate::graph::flat::Rounding;

/// What the keys of codes and of scales end with.
pub(super) const CODES: &str = "codes";
pub(super) const SCALE: &str = "scale";
/// Key of the head's matrix.
pub(super) const HEAD_WEIGHT: &str = "head.weight";
/// Medians of the intervals above zero at 1, 2 and 4 bits, ascending: `Φ⁻¹((k + ½) / 2ᵇ)`. Those below are their negatives.
const ABOVE: [&[f32]; 3] = [
    &[0.674_489_74],
    &[0.318_639_37, 1.150_349_4],
    &[
        0.078_412_41,
        0.237_202_11,
        0.402_250_05,
        0.579_132_14,
        0.776_421_8,
        1.009_990_2,
        1.318_010_9,
        1.862_731_8,
    ],
];
/// Largest whole number of an 8-bit weight.
const MOST: f32 = 127.0;

/// How many bits a weight has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Bits {
    /// Two levels.
    One,
    /// Four levels.
    Two,
    /// Sixteen levels.
    Four,
    /// 255 levels.
    Eight,
}

impl Bits {
    /// Every number of bits.
    pub const ALL: [Self; 4] = [Self::One, Self::Two, Self::Four, Self::Eight];

    /// The number.
    pub fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    /// Bytes of so many codes.
    pub fn bytes(self, codes: usize) -> usize {
        codes.div_ceil(8 / self.count())
    }

    /// Scales of an adapter's matrix.
    pub fn scales(self) -> usize {
        if self == Self::Eight { 1 } else { 2 }
    }

    /// The levels of a standard normal weight, ascending; none at 8 bits.
    fn levels(self) -> Vec<f32> {
        let above = match self {
            Self::One => ABOVE[0],
            Self::Two => ABOVE[1],
            Self::Four => ABOVE[2],
            Self::Eight => &[],
        };
        above.iter().rev().map(|level| -level).chain(above.iter().copied()).collect()
    }

    /// How a graph rounds a matrix as [`Small::of`] does, or a head's, whatever its bits, as [`Small::of_head`].
    pub fn rounding(self, is_head: bool) -> Rounding {
        match self {
            _ if is_head => Rounding::Whole { most: MOST, by_output: true },
            Self::Eight => Rounding::Whole { most: MOST, by_output: false },
            Self::One | Self::Two | Self::Four => {
                Rounding::Normal { levels: self.levels(), edges: edges(self) }
            }
        }
    }
}

impl TryFrom<u8> for Bits {
    type Error = String;

    fn try_from(count: u8) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|bits| bits.count() == usize::from(count));
        found.ok_or_else(|| format!("{count} bits a weight: expected 1, 2, 4 or 8"))
    }
}

impl From<Bits> for u8 {
    fn from(bits: Bits) -> Self {
        bits.count() as Self
    }
}

/// A matrix `[in, out]` at few bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Small {
    /// Bits a weight.
    pub bits: Bits,
    /// Outputs.
    pub outputs: usize,
    /// A code for each element, row-major.
    pub codes: Vec<u8>,
    /// Mean and deviation; at 8 bits one scale, or one for each output.
    pub scales: Vec<f32>,
}

impl Small {
    /// The nearest codes of a matrix `[in, out]`.
    pub fn of(values: &[f32], outputs: usize, bits: Bits) -> Self {
        let scales = if bits == Bits::Eight { largest(values, 1) } else { moments(values).to_vec() };
        let mut small = Self { bits, outputs, codes: Vec::new(), scales };
        small.codes = match bits {
            Bits::Eight => small.whole(values),
            _ => small.nearest(values),
        };
        small
    }

    /// The nearest codes of a head `[in, classes]` at 8 bits: a scale for each class.
    pub fn of_head(values: &[f32], classes: usize) -> Self {
        let scales = largest(values, classes);
        let mut small = Self { bits: Bits::Eight, outputs: classes, codes: Vec::new(), scales };
        small.codes = small.whole(values);
        small
    }

    /// The weights, row-major.
    ///
    /// # Errors
    /// When there are other scales than the bits need, or the first code that is not a level.
    pub fn expand(&self) -> Result<Vec<f32>, String> {
        let (found, bits) = (self.scales.len(), self.bits.count());
        let fits = found == self.bits.scales() || self.bits == Bits::Eight && found == self.outputs;
        if !fits || found == 0 || self.outputs == 0 || !self.codes.len().is_multiple_of(self.outputs) {
            let (codes, outputs) = (self.codes.len(), self.outputs);
            return Err(format!("{codes} codes and {found} scales for {outputs} outputs at {bits} bits"));
        }
        let levels = if self.bits == Bits::Eight { usize::from(u8::MAX) } else { 1 << bits };
        match self.codes.iter().position(|&code| usize::from(code) >= levels) {
            Some(place) => {
                Err(format!("code {place} is {}, expected at most {}", self.codes[place], levels - 1))
            }
            None => Ok(self.weights()),
        }
    }

    /// The weights of codes and scales that fit.
    pub(crate) fn weights(&self) -> Vec<f32> {
        if self.bits == Bits::Eight {
            let scales = self.scales.iter().cycle();
            return self
                .codes
                .iter()
                .zip(scales)
                .map(|(&code, scale)| scale * (f32::from(code) - MOST))
                .collect();
        }
        let (levels, [mean, deviation]) = (self.bits.levels(), [self.scales[0], self.scales[1]]);
        self.codes.iter().map(|&code| mean + deviation * levels[usize::from(code)]).collect()
    }

    fn whole(&self, values: &[f32]) -> Vec<u8> {
        let code = |(value, scale): (&f32, &f32)| {
            let whole = if *scale > 0.0 { (value / scale).round().clamp(-MOST, MOST) } else { 0.0 };
            (whole + MOST) as u8
        };
        values.iter().zip(self.scales.iter().cycle()).map(code).collect()
    }

    /// The code of the level whose interval a weight is in.
    fn nearest(&self, values: &[f32]) -> Vec<u8> {
        let edges = edges(self.bits);
        let [mean, deviation] = [self.scales[0], self.scales[1]];
        let code = |value: &f32| {
            let standard = if deviation > 0.0 { (value - mean) / deviation } else { 0.0 };
            edges.iter().filter(|edge| standard >= **edge).count() as u8
        };
        values.iter().map(code).collect()
    }

    /// The codes as bytes, an output's after the other: as `[out, in]`.
    pub fn by_output(&self) -> Vec<u8> {
        let (outputs, inputs) = (self.outputs, self.codes.len() / self.outputs.max(1));
        self.packed((0..outputs).flat_map(|out| (0..inputs).map(move |input| input * outputs + out)))
    }

    /// The matrix `[in, out]` of codes that lie as `[out, in]`.
    ///
    /// # Errors
    /// With the first code that is not a level, with bits behind the last, or with sizes that do not fit.
    pub fn from_outputs(
        bytes: &[u8],
        (inputs, outputs): (usize, usize),
        (bits, scales): (Bits, Vec<f32>),
    ) -> Result<Self, String> {
        let count = inputs.checked_mul(outputs).ok_or(format!("{inputs} x {outputs} codes"))?;
        let codes = unpacked(bytes, count, bits)?;
        let place = |at: usize| at % outputs * inputs + at / outputs;
        let codes = (0..codes.len()).map(|at| codes[place(at)]).collect();
        let small = Self { bits, outputs, codes, scales };
        small.expand().map(|_| small)
    }

    fn packed(&self, order: impl Iterator<Item = usize>) -> Vec<u8> {
        let (count, each) = (self.bits.count(), 8 / self.bits.count());
        let mut bytes = vec![0; self.bits.bytes(self.codes.len())];
        for (place, from) in order.enumerate() {
            bytes[place / each] |= self.codes[from] << (place % each * count);
        }
        bytes
    }
}

/// So many codes out of bytes, in order.
///
/// # Errors
/// With the first code that is not a level, with bits behind the last, or with another number of bytes.
pub(super) fn unpacked(bytes: &[u8], count: usize, bits: Bits) -> Result<Vec<u8>, String> {
    if bytes.len() != bits.bytes(count) {
        return Err(format!("{} bytes, expected {} of {count} codes", bytes.len(), bits.bytes(count)));
    }
    let each = 8 / bits.count();
    let mask = u8::MAX >> (8 - bits.count());
    let code = |place: usize| (bytes[place / each] >> (place % each * bits.count())) & mask;
    let all: Vec<u8> = (0..bytes.len() * each).map(code).collect();
    if let Some(place) = all[count..].iter().position(|&code| code != 0) {
        return Err(format!("a bit is set behind its {count} codes, {place} codes after the last"));
    }
    match all[..count].iter().position(|&code| bits == Bits::Eight && code == u8::MAX) {
        Some(place) => Err(format!("code {place} is 255, expected at most 254")),
        None => Ok(all[..count].to_vec()),
    }
}

/// Mean and deviation (n), summed in double precision.
fn moments(values: &[f32]) -> [f32; 2] {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    let square = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / count;
    [mean as f32, square.sqrt() as f32]
}

/// The scale of each output, or of all as one: its largest weight is 127. One with a weight that is NaN is NaN.
fn largest(values: &[f32], outputs: usize) -> Vec<f32> {
    let mut most = vec![0.0_f32; outputs];
    for row in values.chunks(outputs.max(1)) {
        // NaN stays, so that a training that diverged is seen.
        let larger = |most: f32, value: f32| if value.is_nan() || value > most { value } else { most };
        most.iter_mut().zip(row).for_each(|(most, value)| *most = larger(*most, value.abs()));
    }
    most.into_iter().map(|most| most / MOST).collect()
}

/// Ends of the intervals, `Φ⁻¹(k / 2ᵇ)`, ascending.
fn edges(bits: Bits) -> Vec<f32> {
    let above: &[f32] = match bits {
        Bits::One | Bits::Eight => &[],
        Bits::Two => &[0.674_489_74],
        Bits::Four => {
            &[0.157_310_68, 0.318_639_37, 0.488_776_42, 0.674_489_74, 0.887_146_53, 1.150_349_4, 1.534_120_6]
        }
    };
    above.iter().rev().map(|edge| -edge).chain([0.0]).chain(above.iter().copied()).collect()
}
