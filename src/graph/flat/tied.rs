//! Tensors several of whose elements are one number, such as Swin's relative positions.

use crate::graph::ops::{Gather, Pad, ReduceSum, Transpose, View};
use crate::graph::{Constant, Error, Graph, Wire};

/// Which number each element is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tie {
    groups: usize,
    /// Numbers of a group (P).
    numbers: usize,
    places: Vec<usize>,
}

impl Tie {
    /// Groups (G), one after the other, each with numbers of its own: `places` says which of them each of its elements is.
    pub fn new(groups: usize, places: Vec<usize>) -> Self {
        let numbers = places.iter().max().map_or(0, |last| last + 1);
        Self { groups, numbers, places }
    }

    /// Numbers of all groups.
    pub(super) fn size(&self) -> usize {
        self.groups * self.numbers
    }

    /// The elements, group by group, of a vector of numbers.
    ///
    /// # Errors
    /// When the vector has another length.
    pub(super) fn expanded(&self, g: &mut Graph, name: &str, vector: Wire) -> Result<Wire, Error> {
        let named = |part: &str| format!("{name}.{part}");
        let shape = vec![self.groups, self.numbers];
        let groups = g.wire(named("numbers"), View { shape }, &[vector])?;
        let numbers = g.wire(named("numbers.first"), Transpose { order: vec![1, 0] }, &[groups])?; // [P, G]
        let places = Constant::I64(self.places.iter().map(|&place| place as i64).collect());
        let places = g.constant(named("places"), places)?;
        let elements = g.wire(named("elements"), Gather, &[numbers, places])?;
        g.wire(named("groups.first"), Transpose { order: vec![1, 0] }, &[elements])
    }

    /// The sum of what falls on each number, of a vector of elements.
    ///
    /// # Errors
    /// When the vector has another length.
    pub(super) fn summed(&self, g: &mut Graph, name: &str, vector: Wire) -> Result<Wire, Error> {
        let named = |part: &str| format!("{name}.{part}");
        let (count, of_each) = (self.places.len(), self.elements());
        let most = of_each.iter().map(Vec::len).max().unwrap_or(0);
        let groups = g.wire(named("groups"), View { shape: vec![self.groups, count] }, &[vector])?;
        let elements = g.wire(named("elements"), Transpose { order: vec![1, 0] }, &[groups])?; // [places, G]
        let padded = g.wire(named("padded"), Pad { axis: 0, before: 0, after: 1 }, &[elements])?;
        // A number that fewer elements are takes zeros for the rest.
        let filled = of_each.iter().flat_map(|own| {
            let own = own.iter().copied().chain(std::iter::repeat(count));
            own.take(most).map(|place| place as i64)
        });
        let filled = g.constant(named("of.each"), Constant::I64(filled.collect()))?;
        let spread = g.wire(named("spread"), Gather, &[padded, filled])?;
        let shape = vec![self.numbers, most, self.groups];
        let spread = g.wire(named("spread.shaped"), View { shape }, &[spread])?;
        let sums = g.wire(named("sums"), ReduceSum { axes: vec![1], keep: false }, &[spread])?; // [P, G]
        g.wire(named("sums.groups"), Transpose { order: vec![1, 0] }, &[sums])
    }

    /// The elements that are each number.
    fn elements(&self) -> Vec<Vec<usize>> {
        let mut of_each = vec![Vec::new(); self.numbers];
        for (element, &place) in self.places.iter().enumerate() {
            of_each[place].push(element);
        }
        of_each
    }
}
