//! Programs that a GPU replays.

use std::slice;
use std::sync::Arc;

use super::Program;
use crate::graph::{Dim, Fact, Graph};
use crate::runtime::feeds::{HeldInput, HeldOutput};
use crate::runtime::graphs::{Graphs, Place};
use crate::runtime::{Error, Runtime, WeightStore};

/// What became of a run that was to be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replayed {
    /// It ran and was captured.
    Captured,
    /// It was captured before.
    Again,
    /// It did not run: it was to be captured, and something else uses a GPU.
    Busy,
}

impl Program {
    /// As [`Program::compile`], of a program that a GPU replays, if `replay` runs it: one launch instead of one for each
    /// operator. It has scratch memory of its own, since replays use what their captures used. The graph is one of
    /// [`crate::graph::capturable`].
    ///
    /// # Errors
    /// As [`Program::compile`].
    pub fn replayed(runtime: &Runtime, store: &Arc<WeightStore>, graph: &Graph) -> Result<Self, Error> {
        Self::compiled((runtime, store), graph, true)
    }

    /// Runs a replayed program (see [`Program::replayed`]) that reads tensors on the device alone, with its only output written
    /// to another: as a CUDA graph, which the first run with these tensors captures. Whoever calls does so always from one
    /// thread, to which graphs belong, and sees to the tensors as [`Program::run_into`] says.
    ///
    /// # Errors
    /// As [`Program::run_into`], and when so many graphs were captured that no more are.
    pub(crate) fn replay(
        &mut self,
        held: &[HeldInput<'_>],
        into: &HeldOutput<'_>,
    ) -> Result<Replayed, Error> {
        let places = held.iter().map(HeldInput::place).chain([Some(into.place())]);
        let places = places.collect::<Option<Vec<Place>>>();
        let fail =
            |reason: &str| Error::Call { action: format!("replay {}", self.name), reason: reason.into() };
        let (graphs, places) =
            self.graphs.as_ref().zip(places).ok_or_else(|| fail("not all is on the device"))?;
        let replay =
            graphs.replay(&places).ok_or_else(|| fail("it has as many CUDA graphs as there may be"))?;
        let captures = self.captures.clone();
        if !replay.is_first {
            self.execute((&[], held), slice::from_ref(into), (captures.beside(), Some(replay)))?;
            return Ok(Replayed::Again);
        }
        let Some(turn) = captures.alone() else { return Ok(Replayed::Busy) };
        self.execute((&[], held), slice::from_ref(into), (turn, Some(replay)))?;
        if let Some(graphs) = &mut self.graphs {
            graphs.keep(places, replay);
        }
        Ok(Replayed::Captured)
    }

    /// Whether a replayed program has yet to run at its widest, before anything is captured; true once.
    pub(crate) fn needs_widest(&mut self) -> bool {
        self.graphs.as_mut().is_some_and(Graphs::needs_widest)
    }

    /// The only output, and the shape of one of its rows.
    ///
    /// # Errors
    /// [`Error::Output`] when there are several, or not all rows have one shape.
    pub(crate) fn row_output(&self) -> Result<(String, Vec<usize>), Error> {
        let row =
            |fact: &Fact| fact.shape.get(1..)?.iter().copied().map(Dim::fixed).collect::<Option<Vec<_>>>();
        let found = match &self.outputs[..] {
            [(name, fact)] => row(fact).map(|row| (name.clone(), row)),
            _ => None,
        };
        let missing = || Error::Output { program: self.name.clone(), output: "of rows of one shape".into() };
        found.ok_or_else(missing)
    }
}
