//! Logits and features to tensors.

use bytes::Bytes;

use super::{Datatype, InferRequest, RequestedOutput, Tensor};
use crate::pack::{Manifest, ProblemType};
use crate::service::{Error, Outputs, scores};
use crate::text::brief;

/// An output that some model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutputName {
    /// What the head gives.
    Logits,
    /// A score for each label.
    Probabilities,
    /// Labels: the likeliest, or those that apply.
    Labels,
    /// The numbers of a regression.
    Values,
    /// The pooled feature.
    Embedding,
}

impl OutputName {
    const ALL: [Self; 5] = [Self::Logits, Self::Probabilities, Self::Labels, Self::Values, Self::Embedding];

    /// The outputs of a model, those of no use to it left out.
    pub(super) fn of(problem: ProblemType) -> &'static [Self] {
        match problem {
            ProblemType::Regression => &[Self::Values, Self::Logits, Self::Embedding],
            _ => &[Self::Probabilities, Self::Labels, Self::Logits, Self::Embedding],
        }
    }

    /// What a request gets that asks for nothing.
    fn of_default(problem: ProblemType) -> &'static [Self] {
        match problem {
            ProblemType::Regression => &[Self::Values],
            _ => &[Self::Probabilities, Self::Labels],
        }
    }

    /// The name.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Logits => "logits",
            Self::Probabilities => "probabilities",
            Self::Labels => "labels",
            Self::Values => "values",
            Self::Embedding => "embedding",
        }
    }

    pub(super) fn datatype(self) -> Datatype {
        match self {
            Self::Labels => Datatype::Bytes,
            _ => Datatype::Fp32,
        }
    }
}

/// One output as it is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) output: OutputName,
    /// So many of the highest values as `"value:index:label"`.
    classes: Option<usize>,
}

/// What a request wants of a model.
#[derive(Clone, Debug)]
pub(super) struct Wants {
    all: Vec<Wanted>,
    /// Labels of each image.
    top_k: usize,
}

impl Wants {
    /// Reads what is wanted.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the output that the model does not have, or that is asked for twice.
    pub(super) fn new(request: &InferRequest, problem: ProblemType) -> Result<Self, Error> {
        let top_k = request.parameters.count("top_k")?.unwrap_or(1);
        if request.outputs.is_empty() {
            let all = OutputName::of_default(problem).iter().map(|&output| Wanted { output, classes: None });
            return Ok(Self { all: all.collect(), top_k });
        }
        let known = OutputName::of(problem);
        let mut all: Vec<Wanted> = Vec::with_capacity(known.len());
        for asked in &request.outputs {
            let wanted = wanted(asked, problem, known)?;
            if all.iter().any(|other| other.output == wanted.output) {
                return Err(Error::Invalid(format!("output {:?} is asked for twice", asked.name)));
            }
            all.push(wanted);
        }
        Ok(Self { all, top_k })
    }

    /// Whether features are wanted.
    pub(super) fn features(&self) -> bool {
        self.all.iter().any(|wanted| wanted.output == OutputName::Embedding)
    }

    /// The tensors of an answer.
    pub(super) fn tensors(&self, given: &Outputs) -> Result<Vec<Tensor>, Error> {
        self.all.iter().map(|wanted| tensor(*wanted, self.top_k, given)).collect()
    }
}

fn wanted(asked: &RequestedOutput, problem: ProblemType, known: &[OutputName]) -> Result<Wanted, Error> {
    let classes = asked.parameters.count("classification")?;
    let output = OutputName::ALL.into_iter().find(|output| output.as_str() == asked.name);
    let Some(output) = output.filter(|output| known.contains(output)) else {
        let name = brief(&asked.name);
        let names: Vec<&str> = known.iter().map(|output| output.as_str()).collect();
        return Err(Error::Invalid(format!(
            "output {name:?}: a model of {problem} gives {}",
            names.join(", ")
        )));
    };
    if classes.is_some() && matches!(output, OutputName::Labels | OutputName::Embedding) {
        let name = output.as_str();
        return Err(Error::Invalid(format!(
            "output {name:?} has no classes: classification is for numbers by label"
        )));
    }
    Ok(Wanted { output, classes })
}

fn tensor(Wanted { output, classes }: Wanted, top_k: usize, given: &Outputs) -> Result<Tensor, Error> {
    let manifest = &given.pack.manifest;
    let rows: Vec<Vec<f32>> = match output {
        OutputName::Labels => return labels(top_k, given),
        OutputName::Embedding => {
            given.images.iter().map(|image| image.feature.clone().unwrap_or_default()).collect()
        }
        OutputName::Logits | OutputName::Values => {
            given.images.iter().map(|image| image.logits.clone()).collect()
        }
        OutputName::Probabilities => {
            given.images.iter().map(|image| probabilities(&image.logits, manifest)).collect()
        }
    };
    let count = given.images.len() as u64;
    if let Some(classes) = classes {
        // Equal scores of unequal logits stand in the order of the logits.
        let order = |at: usize| highest(&given.images[at].logits, classes);
        let told = |(at, row): (usize, &Vec<f32>)| -> Vec<Bytes> {
            order(at).into_iter().map(|index| class(row, index, manifest)).collect()
        };
        let each = classes.min(manifest.labels.len()) as u64;
        let strings = rows.iter().enumerate().flat_map(told).collect();
        return Tensor::of_strings(output.as_str(), vec![count, each], strings);
    }
    let width = rows.first().map_or(0, Vec::len) as u64;
    Tensor::of_floats(output.as_str(), vec![count, width], &rows.concat())
}

fn probabilities(logits: &[f32], manifest: &Manifest) -> Vec<f32> {
    scores(logits, manifest.problem_type).unwrap_or_default()
}

/// The indices of the `count` highest values, highest first; of equals, the lower index first.
fn highest(values: &[f32], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]).then(a.cmp(&b)));
    order.truncate(count);
    order
}

/// `"value:index:label"`.
fn class(row: &[f32], index: usize, manifest: &Manifest) -> Bytes {
    let value = row.get(index).copied().unwrap_or_default();
    format!("{value}:{index}:{}", label(manifest, index)).into()
}

fn label(manifest: &Manifest, index: usize) -> &str {
    manifest.labels.get(index).map(String::as_str).unwrap_or_default()
}

/// The likeliest labels of each image or, where any number may apply, all that do; an empty string fills up a row.
fn labels(top_k: usize, given: &Outputs) -> Result<Tensor, Error> {
    let manifest = &given.pack.manifest;
    let is_multi = manifest.problem_type == ProblemType::MultiLabelClassification;
    let each = given.images.iter().map(|image| match is_multi {
        true => {
            let scores = probabilities(&image.logits, manifest);
            (0..scores.len()).filter(|&index| scores[index] >= manifest.threshold(index)).collect()
        }
        false => highest(&image.logits, top_k),
    });
    let each: Vec<Vec<usize>> = each.collect();
    let width = each.iter().map(Vec::len).max().unwrap_or_default();
    let strings = each.iter().flat_map(|row| (0..width).map(|at| row.get(at).copied()));
    let strings = strings.map(|index| index.map_or("", |index| label(manifest, index)));
    let strings = strings.map(|label| Bytes::copy_from_slice(label.as_bytes())).collect();
    Tensor::of_strings(OutputName::Labels.as_str(), vec![given.images.len() as u64, width as u64], strings)
}
