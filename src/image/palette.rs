//! Palettes, filled up as Pillow fills them: what a file leaves out is black.

/// RGB and alpha of each of the 256 values.
pub(super) struct Palette(pub [[u8; 4]; 256]);

impl Palette {
    /// Takes colours whose red, green and blue stand at `order`, every `step` bytes.
    pub fn new(colours: &[u8], step: usize, order: [usize; 3]) -> Self {
        let mut palette = Self([[0, 0, 0, 255]; 256]);
        for (entry, colour) in palette.0.iter_mut().zip(colours.chunks_exact(step)) {
            let [red, green, blue] = order.map(|at| colour[at]);
            *entry = [red, green, blue, 255];
        }
        palette
    }

    /// A ramp, which makes values levels of grey.
    pub fn grey() -> Self {
        Self(std::array::from_fn(|level| [level as u8, level as u8, level as u8, 255]))
    }

    /// Sets the alpha of the first values.
    pub fn set_alphas(&mut self, alphas: &[u8]) {
        for (entry, &alpha) in self.0.iter_mut().zip(alphas) {
            entry[3] = alpha;
        }
    }

    /// The colours over white.
    pub fn over_white(&self) -> [[u8; 3]; 256] {
        self.0.map(super::flatten::over_white)
    }
}
