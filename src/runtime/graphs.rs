//! Which of a program's runs are replayed as CUDA graphs. Pure.

use std::collections::HashMap;

/// Most runs of a program that are captured: ONNX Runtime lets none of them go.
const MOST: i32 = 128;

/// Where a tensor lies on the device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) address: usize,
    pub(super) shape: Vec<usize>,
}

/// The runs that were captured, by the tensors that they read and write. A replay does nothing but what the captured run did,
/// with the same addresses: of other tensors it would know nothing.
#[derive(Default)]
pub(super) struct Graphs {
    known: HashMap<Vec<Place>, i32>,
    /// Whether the program ran at its widest.
    is_widened: bool,
}

/// How a run is to be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replay {
    /// What ONNX Runtime knows it by.
    pub(super) number: i32,
    /// Whether this run is the one that is captured.
    pub(super) is_first: bool,
}

impl Graphs {
    /// What a run with these tensors is replayed as; none where so many runs are known that no more are captured.
    pub(super) fn replay(&self, places: &[Place]) -> Option<Replay> {
        if let Some(&number) = self.known.get(places) {
            return Some(Replay { number, is_first: false });
        }
        // 0 is what ONNX Runtime takes for a run that names none.
        let number = i32::try_from(self.known.len() + 1).ok().filter(|&number| number <= MOST)?;
        Some(Replay { number, is_first: true })
    }

    /// Keeps a run that was captured.
    pub(super) fn keep(&mut self, places: Vec<Place>, replay: Replay) {
        self.known.insert(places, replay.number);
    }

    /// Whether the program has yet to run at its widest; true once.
    pub(super) fn needs_widest(&mut self) -> bool {
        !std::mem::replace(&mut self.is_widened, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(address: usize, rows: usize) -> Place {
        Place { address, shape: vec![rows, 3] }
    }

    /// What a run is replayed as, once it succeeded.
    fn told(graphs: &mut Graphs, places: &[Place]) -> Option<(i32, bool)> {
        let replay = graphs.replay(places)?;
        graphs.keep(places.to_vec(), replay);
        Some((replay.number, replay.is_first))
    }

    #[test]
    fn a_run_is_captured_once_for_its_tensors() {
        let mut graphs = Graphs::default();
        let (one, two) = ([place(8, 1), place(64, 1)], [place(8, 2), place(64, 2)]);
        assert_eq!([(); 2].map(|()| graphs.needs_widest()), [true, false]);
        let numbers = [&one, &two, &one].map(|places| told(&mut graphs, places));
        assert_eq!(numbers, [Some((1, true)), Some((2, true)), Some((1, false))]);
        // Another tensor in the place of one that is gone has another shape, or is as good as that one.
        assert_eq!(told(&mut graphs, &[place(8, 1), place(64, 9)]), Some((3, true)));
        assert_eq!(told(&mut graphs, &[place(64, 1), place(8, 1)]), Some((4, true)));
        assert_eq!(told(&mut graphs, &two), Some((2, false)));
    }

    #[test]
    fn what_is_full_replays_what_it_has_and_captures_no_more() {
        let mut graphs = Graphs::default();
        let numbers =
            (0..200).filter_map(|run| told(&mut graphs, &[place(run, 1)])).map(|(number, _)| number);
        assert_eq!(numbers.collect::<Vec<_>>(), (1..=MOST).collect::<Vec<_>>());
        assert_eq!(told(&mut graphs, &[place(5, 1)]), Some((6, false)));
    }
}
