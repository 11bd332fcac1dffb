//! Bringing subsampled colour to full size, as libjpeg-turbo's "fancy" upsampling does.
//!
//! A sample at half resolution lies between two at full resolution. Each of those takes three quarters of the nearer
//! sample and a quarter of the next one: a triangle filter, in each direction that is halved. Rounding alternates, so
//! that no direction is favoured. Other ratios, and colour at most two samples wide, repeat samples.

use multiversion::multiversion;

use super::frame::Component;

/// Which filter a component needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Filter {
    None,
    Across,
    Down,
    Both,
    Repeat(usize, usize),
}

/// Gives a component's rows at full size, one after another.
pub(super) struct Rows<'a> {
    component: &'a Component,
    filter: Filter,
    /// Sums of two rows, three to one.
    sums: Vec<u16>,
    row: Vec<u8>,
}

impl<'a> Rows<'a> {
    /// `sampling` is the frame's largest, `width` the image's.
    pub fn new(component: &'a Component, sampling: (usize, usize), width: usize) -> Self {
        let ratio = (sampling.0 / component.sampling.0, sampling.1 / component.sampling.1);
        let wide = component.size.0 > 2;
        let filter = match ratio {
            (1, 1) => Filter::None,
            (2, 1) if wide => Filter::Across,
            (1, 2) => Filter::Down,
            (2, 2) if wide => Filter::Both,
            (across, down) => Filter::Repeat(across, down),
        };
        let room = width.next_multiple_of(ratio.0);
        Self { component, filter, sums: vec![0; component.size.0], row: vec![0; room] }
    }

    fn stored(&self, row: usize) -> &'a [u8] {
        let stride = 8 * self.component.room.0;
        let row = row.min(self.component.size.1 - 1); // below the last row, the last row
        &self.component.samples[row * stride..][..self.component.size.0]
    }

    /// The stored row that a row of the image lies in, and the one it lies next to.
    fn near_and_next(&self, y: usize) -> (&'a [u8], &'a [u8]) {
        let near = y / 2;
        let next = if y.is_multiple_of(2) { near.saturating_sub(1) } else { near + 1 };
        (self.stored(near), self.stored(next))
    }

    /// Row `y` of the image, at least as long as the image is wide.
    pub fn get(&mut self, y: usize) -> &[u8] {
        match self.filter {
            Filter::None => return self.stored(y),
            Filter::Across => across(self.stored(y), &mut self.row),
            Filter::Down => {
                let (near, next) = self.near_and_next(y);
                down(near, next, 1 + (y % 2) as u16, &mut self.row);
            }
            Filter::Both => {
                let (near, next) = self.near_and_next(y);
                both(near, next, &mut self.sums, &mut self.row);
            }
            Filter::Repeat(across, down) => {
                let stored = self.stored(y / down);
                for (samples, &sample) in self.row.chunks_mut(across).zip(stored) {
                    samples.fill(sample);
                }
            }
        }
        &self.row
    }
}

/// Doubles the width: quarters round down at the left, up at the right.
#[multiversion(targets("x86_64+avx2"))]
fn across(stored: &[u8], row: &mut [u8]) {
    let last = stored.len() - 1;
    let weigh = |near: u8, next: u8, half: u16| ((3 * u16::from(near) + u16::from(next) + half) >> 2) as u8;
    let (pairs, _) = row.as_chunks_mut::<2>();
    for ((pair, window), &before) in pairs[1..].iter_mut().zip(stored[1..].windows(2)).zip(stored) {
        *pair = [weigh(window[0], before, 1), weigh(window[0], window[1], 2)];
    }
    row[0] = stored[0];
    row[1] = weigh(stored[0], stored[1], 2);
    row[2 * last] = weigh(stored[last], stored[last - 1], 1);
    if let Some(end) = row.get_mut(2 * last + 1) {
        *end = stored[last];
    }
}

/// Doubles the height.
#[multiversion(targets("x86_64+avx2"))]
fn down(near: &[u8], next: &[u8], half: u16, row: &mut [u8]) {
    for ((sample, &near), &next) in row.iter_mut().zip(near).zip(next) {
        *sample = ((3 * u16::from(near) + u16::from(next) + half) >> 2) as u8;
    }
}

/// Doubles both: rows are weighed first, and only the result is rounded.
#[multiversion(targets("x86_64+avx2"))]
fn both(near: &[u8], next: &[u8], sums: &mut [u16], row: &mut [u8]) {
    for ((sum, &near), &next) in sums.iter_mut().zip(near).zip(next) {
        *sum = 3 * u16::from(near) + u16::from(next);
    }
    let last = sums.len() - 1;
    let weigh = |near: u16, next: u16, half: u16| ((3 * near + next + half) >> 4) as u8;
    let (pairs, _) = row.as_chunks_mut::<2>();
    for ((pair, window), &before) in pairs[1..].iter_mut().zip(sums[1..].windows(2)).zip(sums.iter()) {
        *pair = [weigh(window[0], before, 8), weigh(window[0], window[1], 7)];
    }
    row[0] = ((4 * sums[0] + 8) >> 4) as u8;
    row[1] = weigh(sums[0], sums[1], 7);
    row[2 * last] = weigh(sums[last], sums[last - 1], 8);
    if let Some(end) = row.get_mut(2 * last + 1) {
        *end = ((4 * sums[last] + 7) >> 4) as u8;
    }
}
