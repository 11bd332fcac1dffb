//! A graph compiled over the shared weights.

use std::ops::Range;
use std::sync::Arc;

use ort::session::{OutputSelector, RunOptions, Session, SessionInputValue, SessionOutputs};
use ort::value::TensorRef;

use super::captures::{Captures, Turn};
use super::device_tensor::DeviceTensor;
use super::element::Element;
use super::feeds::{self, Held, HeldInput, HeldOutput, Input};
use super::graphs::{Graphs, Replay};
use super::outputs::{Output, Outputs};
use super::{Error, Runtime, WeightStore};
use crate::graph::{Fact, Graph, onnx};

mod replayed;

pub(crate) use replayed::Replayed;

/// ONNX Runtime's setting that says which CUDA graph a run is captured as and replayed from.
const GRAPH: &str = "gpu_graph_id";
/// What it says of a run that is not.
const NONE: i32 = -1;

/// A compiled graph; one thread runs it at a time.
pub struct Program {
    name: String,
    /// There until the program is dropped.
    session: Option<Session>,
    inputs: Vec<(String, Fact)>,
    outputs: Vec<(String, Fact)>,
    /// Runs that are replayed, where any are.
    graphs: Option<Graphs>,
    captures: Captures,
    /// The session reads the store's memory in place; declared after it, so dropped after it.
    _store: Arc<WeightStore>,
}

impl Program {
    /// Compiles `graph` over the weights of `store`, in its precision. Takes 10 to 200 ms: never on the request path.
    ///
    /// # Errors
    /// [`Error::Graph`] when a weight is missing or mis-shaped, [`Error::NotShared`] when ONNX Runtime would
    /// have made its own copy of a weight, [`Error::Call`] when it refuses the graph.
    pub fn compile(runtime: &Runtime, store: &Arc<WeightStore>, graph: &Graph) -> Result<Self, Error> {
        Self::compiled((runtime, store), graph, false)
    }

    fn compiled(
        (runtime, store): (&Runtime, &Arc<WeightStore>),
        graph: &Graph,
        is_replayed: bool,
    ) -> Result<Self, Error> {
        let graph = &*store.lower(graph)?;
        let model = onnx::write(graph, store.layout())?;
        let builder = match is_replayed {
            true => runtime.replaying_session(store.precision())?,
            false => runtime.session(store.precision())?,
        };
        // To the end: what is refused is dropped in it, too.
        let captures = runtime.captures();
        let _turn = captures.beside();
        let mut builder = store.lend(builder, graph)?;
        let compiling = runtime.forget_refusals();
        let action = || format!("compile {}", graph.name());
        let session = builder.commit_from_memory(&model).map_err(Error::call(action()))?;
        let refusals = runtime.refusals();
        drop(compiling);
        store.give_back();
        if let Some(first) = refusals.first() {
            let (program, count) = (graph.name().into(), refusals.len());
            return Err(Error::NotShared { program, count, first: first.clone() });
        }
        let fact = |&wire: &_| (graph.wire_name(wire).to_owned(), graph.fact(wire).clone());
        Ok(Self {
            name: graph.name().into(),
            session: Some(session),
            inputs: graph.inputs().iter().map(fact).collect(),
            outputs: graph
                .outputs()
                .iter()
                .map(|(name, wire)| (name.clone(), graph.fact(*wire).clone()))
                .collect(),
            graphs: is_replayed.then(Graphs::default),
            captures: captures.clone(),
            _store: Arc::clone(store),
        })
    }

    /// Runs the program and copies its outputs to the host, in the graph's order.
    ///
    /// # Shapes
    /// As the graph declares; an adapter input is `[a, b]` for all rows or `[B, a, b]`, one for each row.
    ///
    /// # Errors
    /// [`Error::Input`] when an input is missing, unknown or mis-shaped, [`Error::Call`] when the run fails.
    pub fn run(&mut self, inputs: &[Input<'_>]) -> Result<Vec<Output>, Error> {
        self.run_beside(inputs, &[])
    }

    /// As [`Program::run`], of a program that reads other inputs too.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn run_beside(&mut self, inputs: &[Input<'_>], held: &[HeldInput<'_>]) -> Result<Vec<Output>, Error> {
        let outputs = self.plainly((inputs, held), &[])?;
        Ok(outputs.into_iter().map(|(_, output)| output).collect())
    }

    /// As [`Program::run_beside`], with some outputs written to tensors that stay on the device; returns the others. Whoever
    /// calls sees to it that nothing else reads or writes those tensors meanwhile, this run's inputs included.
    ///
    /// # Errors
    /// As [`Program::run`], and when a tensor has another shape than its output.
    pub(crate) fn run_into(
        &mut self,
        inputs: &[Input<'_>],
        (held, into): (&[HeldInput<'_>], &[HeldOutput<'_>]),
    ) -> Result<Outputs, Error> {
        let outputs = self.plainly((inputs, held), into)?;
        Ok(Outputs::new(&self.name, outputs.into_iter()))
    }

    /// Runs the program beside others, and captures nothing.
    fn plainly(
        &mut self,
        fed: (&[Input<'_>], &[HeldInput<'_>]),
        into: &[HeldOutput<'_>],
    ) -> Result<Vec<(String, Output)>, Error> {
        let captures = self.captures.clone();
        self.execute(fed, into, (captures.beside(), None))
    }

    /// Runs the program; the outputs that are not written to a tensor on the device, by name.
    fn execute(
        &mut self,
        (inputs, held): (&[Input<'_>], &[HeldInput<'_>]),
        into: &[HeldOutput<'_>],
        (_turn, replay): (Turn<'_>, Option<Replay>),
    ) -> Result<Vec<(String, Output)>, Error> {
        let action = format!("run {}", self.name);
        let values = self.feeds(inputs, held)?;
        let mut options = RunOptions::new().map_err(Error::call(action.clone()))?;
        if self.graphs.is_some() {
            let number = replay.map_or(NONE, |replay| replay.number).to_string();
            options.set(GRAPH, number).map_err(Error::call(action.clone()))?;
        }
        let mut chosen = OutputSelector::default();
        for output in into {
            chosen = chosen.preallocate(output.name, output.tensor.alias(&output.entries)?);
        }
        let options = options.with_outputs(chosen);
        let session = self.session.as_mut().ok_or_else(|| missing(&action, "session"))?;
        let results = session.run_with_options(values, &options).map_err(Error::call(action.clone()))?;
        let is_held = |name: &String| into.iter().any(|output| output.name == name);
        let host = self.outputs.iter().filter(|(name, _)| !is_held(name));
        host.map(|(name, _)| Ok((name.clone(), on_host(&results, name, &action)?))).collect()
    }

    /// As [`Program::run_beside`], with the only output written to entries of a tensor that stays on the device. Whoever calls
    /// sees to it that nothing else reads or writes them meanwhile.
    ///
    /// # Errors
    /// As [`Program::run`], when there are several outputs, and when the entries have another shape than the output.
    pub(crate) fn run_to(
        &mut self,
        (inputs, held): (&[Input<'_>], &[HeldInput<'_>]),
        (tensor, entries): (&DeviceTensor, Range<usize>),
    ) -> Result<(), Error> {
        let [(name, _)] = &self.outputs[..] else {
            let (program, output) = (self.name.clone(), format!("of {} alone", self.outputs.len()));
            return Err(Error::Output { program, output });
        };
        let name = name.clone();
        let into = [HeldOutput { name: &name, tensor, entries }];
        self.run_into(inputs, (held, &into)).map(drop)
    }

    /// As [`Program::run`], with the outputs by name.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn run_named(&mut self, inputs: &[Input<'_>]) -> Result<Outputs, Error> {
        let outputs = self.plainly((inputs, &[]), &[])?;
        Ok(Outputs::new(&self.name, outputs.into_iter()))
    }

    /// The graph's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Everything that a run reads, checked.
    fn feeds<'a>(
        &self,
        inputs: &[Input<'a>],
        held: &[HeldInput<'a>],
    ) -> Result<Vec<(&'a str, SessionInputValue<'a>)>, Error> {
        feeds::check(&self.name, &self.inputs, inputs, held)?;
        let mut values = Vec::with_capacity(inputs.len() + held.len());
        for input in held {
            let value = match input.held {
                Held::Tensor(tensor) => tensor.value(),
                Held::Numbers(numbers) => self.fed(input.name, &[numbers.len()], numbers)?,
                Held::Bytes { shape, data } => self.fed(input.name, shape, data)?,
            };
            values.push((input.name, value));
        }
        for input in inputs {
            values.push((input.name, self.fed(input.name, input.shape, input.data)?));
        }
        Ok(values)
    }

    /// A tensor of the host's, read where it lies.
    fn fed<'a, T: Element>(
        &self,
        name: &str,
        shape: &[usize],
        data: &'a [T],
    ) -> Result<SessionInputValue<'a>, Error> {
        let action = || format!("feed {name} to {}", self.name);
        let tensor = TensorRef::from_array_view((shape.to_vec(), data)).map_err(Error::call(action()))?;
        Ok(SessionInputValue::from(tensor))
    }
}

impl Drop for Program {
    /// In a turn: a session gives memory back, which may not happen while another is captured.
    fn drop(&mut self) {
        let _turn = self.captures.beside();
        drop(self.session.take());
    }
}

fn missing(action: &str, what: &str) -> Error {
    Error::Call { action: action.into(), reason: format!("no {what}") }
}

/// An output of a run, copied to the host.
fn on_host(results: &SessionOutputs<'_>, name: &str, action: &str) -> Result<Output, Error> {
    let value = results.get(name).ok_or_else(|| missing(action, &format!("output {name}")))?;
    let (shape, data) = value.try_extract_tensor::<f32>().map_err(Error::call(action))?;
    let shape = shape.iter().map(|&n| n as usize).collect();
    Ok(Output { shape, data: data.to_vec() })
}
