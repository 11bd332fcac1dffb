//! A graph compiled over the shared weights.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use ort::session::{OutputSelector, RunOptions, Session, SessionInputValue, SessionOutputs};
use ort::value::{PrimitiveTensorElementType, TensorRef};

use super::device_tensor::DeviceTensor;
use super::outputs::{Output, Outputs};
use super::{Error, Runtime, WeightStore};
use crate::graph::{Dim, Fact, Graph, onnx};

/// A tensor fed to a run; it is read in place.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The input's name.
    pub name: &'a str,
    /// Its shape.
    pub shape: &'a [usize],
    /// Its elements, row-major.
    pub data: &'a [f32],
}

/// What a run is fed besides tensors of the host's floats.
#[derive(Clone, Copy)]
pub enum Held<'a> {
    /// A tensor that lies on the device.
    Tensor(&'a DeviceTensor),
    /// Numbers, `[n]`.
    Numbers(&'a [i64]),
    /// Bytes of some shape, row-major.
    Bytes {
        /// The shape.
        shape: &'a [usize],
        /// The bytes.
        data: &'a [u8],
    },
}

/// A named [`Held`].
#[derive(Clone, Copy)]
pub struct HeldInput<'a> {
    /// The input's name.
    pub name: &'a str,
    /// What it is fed.
    pub held: Held<'a>,
}

impl HeldInput<'_> {
    fn shape(&self) -> Vec<usize> {
        match self.held {
            Held::Tensor(tensor) => tensor.shape().to_vec(),
            Held::Numbers(numbers) => vec![numbers.len()],
            Held::Bytes { shape, .. } => shape.to_vec(),
        }
    }
}

/// A tensor of the device that an output is written to.
#[derive(Clone)]
pub struct HeldOutput<'a> {
    /// The output's name.
    pub name: &'a str,
    /// Where it goes.
    pub tensor: &'a DeviceTensor,
    /// Which of its entries. Together they have the output's shape.
    pub entries: Range<usize>,
}

impl<'a> HeldOutput<'a> {
    /// An output that fills a tensor.
    pub fn whole(name: &'a str, tensor: &'a DeviceTensor) -> Self {
        Self { name, tensor, entries: 0..tensor.entries() }
    }
}

/// A compiled graph; one thread runs it at a time.
pub struct Program {
    name: String,
    session: Session,
    inputs: Vec<(String, Fact)>,
    outputs: Vec<String>,
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
        let graph = &*store.lower(graph)?;
        let model = onnx::write(graph, store.layout())?;
        let mut builder = store.lend(runtime.session(store.precision())?, graph)?;
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
            session,
            inputs: graph.inputs().iter().map(fact).collect(),
            outputs: graph.outputs().iter().map(|(name, _)| name.clone()).collect(),
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
        let values = self.feeds(inputs, held)?;
        let action = format!("run {}", self.name);
        let results = self.session.run(values).map_err(Error::call(action.clone()))?;
        self.outputs.iter().map(|name| on_host(&results, name, &action)).collect()
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
        let values = self.feeds(inputs, held)?;
        let action = format!("run {}", self.name);
        let mut chosen = OutputSelector::default();
        for output in into {
            chosen = chosen.preallocate(output.name, output.tensor.alias(&output.entries)?);
        }
        let options = RunOptions::new().map_err(Error::call(action.clone()))?.with_outputs(chosen);
        let results = self.session.run_with_options(values, &options).map_err(Error::call(action.clone()))?;
        let is_held = |name: &String| into.iter().any(|output| output.name == name);
        let host = self.outputs.iter().filter(|name| !is_held(name));
        let host = host.map(|name| Ok((name.clone(), on_host(&results, name, &action)?)));
        let host = host.collect::<Result<Vec<_>, Error>>()?;
        Ok(Outputs::new(&self.name, host.into_iter()))
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
        let [name] = &self.outputs[..] else {
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
        let outputs = self.run(inputs)?;
        Ok(Outputs::new(&self.name, self.outputs.iter().cloned().zip(outputs)))
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
        self.check(inputs, held)?;
        let mut values = Vec::with_capacity(inputs.len() + held.len());
        for input in held {
            let value = match input.held {
                Held::Tensor(tensor) => SessionInputValue::from(tensor.value()),
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
    fn fed<'a, T: PrimitiveTensorElementType + Clone + Debug + 'static>(
        &self,
        name: &str,
        shape: &[usize],
        data: &'a [T],
    ) -> Result<SessionInputValue<'a>, Error> {
        let action = || format!("feed {name} to {}", self.name);
        let tensor = TensorRef::from_array_view((shape.to_vec(), data)).map_err(Error::call(action()))?;
        Ok(SessionInputValue::from(tensor))
    }

    fn check(&self, inputs: &[Input<'_>], held: &[HeldInput<'_>]) -> Result<(), Error> {
        let fail = |input: &str, reason: String| {
            Err(Error::Input { program: self.name.clone(), input: input.into(), reason })
        };
        for (name, _) in &self.inputs {
            let is_fed = inputs.iter().map(|input| input.name).chain(held.iter().map(|input| input.name));
            if !is_fed.into_iter().any(|fed| fed == name) {
                return fail(name, "is missing".into());
            }
        }
        let fed = |name: &str, shape: &[usize]| {
            let Some((_, fact)) = self.inputs.iter().find(|(known, _)| known == name) else {
                return fail(name, "is not an input of this program".into());
            };
            match fits(fact, shape) {
                true => Ok(()),
                false => fail(name, format!("has shape {shape:?}, expected {fact}")),
            }
        };
        let filled =
            |name: &str, shape: &[usize], found: usize| match shape.iter().product::<usize>() == found {
                true => fed(name, shape),
                false => fail(name, format!("{shape:?} has {found} elements")),
            };
        for input in held {
            match input.held {
                Held::Bytes { shape, data } => filled(input.name, shape, data.len())?,
                Held::Tensor(_) | Held::Numbers(_) => fed(input.name, &input.shape())?,
            }
        }
        inputs.iter().try_for_each(|input| filled(input.name, input.shape, input.data.len()))
    }
}

/// An output of a run, copied to the host.
fn on_host(results: &SessionOutputs<'_>, name: &str, action: &str) -> Result<Output, Error> {
    let missing = || Error::Call { action: action.into(), reason: format!("no output {name}") };
    let value = results.get(name).ok_or_else(missing)?;
    let (shape, data) = value.try_extract_tensor::<f32>().map_err(Error::call(action))?;
    let shape = shape.iter().map(|&n| n as usize).collect();
    Ok(Output { shape, data: data.to_vec() })
}

/// Whether a shape is one the fact allows; open dimensions take any size.
fn fits(fact: &Fact, shape: &[usize]) -> bool {
    let extra = shape.len().wrapping_sub(fact.rank());
    if extra != 0 && !(fact.free_rank && extra == 1) {
        return false;
    }
    // What is the same for all rows, or has one entry for each.
    let is_by_row = fact.free_rank && extra == 0 && fact.rank() > 2;
    let allows = |(axis, (dim, &n)): (usize, (&Dim, &usize))| {
        dim.fixed().is_none_or(|size| size == n) || is_by_row && axis == 0 && dim.fixed() == Some(1)
    };
    fact.shape.iter().zip(&shape[extra..]).enumerate().all(allows)
}
