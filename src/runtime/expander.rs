//! Packs that keep smaller tensors than they serve, expanded by programs of their kinds.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Error, Input, Resident, Served};
use crate::backbone::Module;
use crate::graph::ParameterName;
use crate::pack::{self, Base, Expand, Factored};

/// Kinds whose programs are kept, the latest used.
const KEPT: usize = 16;

/// Makes served tensors. A thousand packs of one kind compile one program.
pub struct Expander {
    resident: Resident,
    /// The last used first.
    programs: Mutex<Vec<Kept>>,
    /// One expansion runs at a time: what it takes beside the result is taken once.
    turn: Mutex<()>,
}

/// The program of a kind; whoever runs it holds it.
struct Kept {
    key: Key,
    program: Slot,
}

/// A program, once it is compiled.
type Slot = Arc<Mutex<Option<Served>>>;

/// What an expression depends on, on one backbone.
#[derive(Clone, Debug, PartialEq)]
struct Key {
    method: &'static str,
    settings: String,
    widths: BTreeMap<Module, usize>,
}

impl Expander {
    /// Over the weights of a backbone, which an expression may read.
    pub fn new(resident: Resident) -> Self {
        Self { resident, programs: Mutex::default(), turn: Mutex::default() }
    }

    /// What packs are read for on a backbone: its cost, and what expands them.
    ///
    /// # Errors
    /// When the configuration contradicts itself.
    pub fn base(resident: &Resident) -> Result<Base, pack::Error> {
        Ok(Base::new(Arc::clone(resident.config()))?.expanded_by(Arc::new(Self::new(resident.clone()))))
    }

    /// Kinds whose programs are kept.
    pub fn compiled(&self) -> usize {
        lock(&self.programs).len()
    }

    /// The place of a kind's program, empty if it is none of the last used.
    fn slot(&self, factored: &Factored) -> Slot {
        let kind = &factored.kind;
        let (method, settings) = (kind.adaptation.name(), kind.settings.to_string());
        let key = Key { method, settings, widths: kind.widths.clone() };
        let mut programs = lock(&self.programs);
        let found = programs.iter().position(|kept| kept.key == key);
        let kept = match found {
            Some(at) => programs.remove(at),
            None => Kept { key, program: Slot::default() },
        };
        let program = Arc::clone(&kept.program);
        programs.insert(0, kept);
        programs.truncate(KEPT);
        program
    }

    fn run(&self, factored: &Factored) -> Result<BTreeMap<ParameterName, Vec<f32>>, Error> {
        let shapes = factored.kind.on(self.resident.config()).trained();
        let named = factored
            .tensors
            .iter()
            .filter_map(|(name, values)| Some((name.to_string(), shapes.get(name)?, values)));
        let named: Vec<_> = named.collect();
        let inputs = named.iter().map(|(name, shape, data)| Input { name, shape, data });
        // Held while the program is compiled: the next pack of its kind waits instead of compiling it again, others do not.
        let slot = self.slot(factored);
        let mut held = lock(&slot);
        let program = match &mut *held {
            Some(program) => program,
            empty => {
                let kind = &factored.kind;
                let bound = kind.on(self.resident.config());
                empty.insert(Served::new(&self.resident, kind.modules(), &bound)?)
            }
        };
        let _turn = lock(&self.turn);
        let made = program.run(&inputs.collect::<Vec<_>>())?;
        Ok(made.into_iter().map(|(name, output)| (name, output.data)).collect())
    }
}

impl Expand for Expander {
    fn expand(&self, factored: &Factored) -> Result<BTreeMap<ParameterName, Vec<f32>>, String> {
        self.run(factored).map_err(|error| error.to_string())
    }
}

impl fmt::Debug for Expander {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expander({} kinds)", self.compiled())
    }
}

/// A program that failed once is as good as before.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
