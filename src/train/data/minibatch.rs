//! What one step is made on.

use super::chance::Chance;

/// Images of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Minibatch {
    /// `[B, ..]`, as the program's first input takes it.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
    /// Soft targets, each row summing to 1, `[B, C]`.
    pub targets: Vec<f32>,
    /// Class of each row before any mixing.
    pub classes: Vec<usize>,
}

/// Which images of an epoch make a minibatch.
#[derive(Clone, Copy, Debug)]
pub struct Draw<'a> {
    /// Places of the images.
    pub indices: &'a [usize],
    /// Number of the minibatch in its epoch.
    pub number: usize,
    /// Chance of the epoch.
    pub chance: Chance,
}

/// What targets look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TargetOptions {
    /// Classes (C).
    pub classes: usize,
    /// Share of each target spread evenly over the classes (Szegedy et al. 2016).
    pub smoothing: f64,
}

impl TargetOptions {
    /// Targets of rows of these classes, `[B, C]`: `(1 − s)` at the class and `s / C` everywhere.
    pub fn of(&self, rows: &[usize]) -> Vec<f32> {
        let Self { classes, smoothing } = *self;
        let rest = smoothing / classes as f64;
        let at = |class: usize, c: usize| if c == class { 1.0 - smoothing + rest } else { rest };
        rows.iter().flat_map(|&class| (0..classes).map(move |c| at(class, c) as f32)).collect()
    }
}
