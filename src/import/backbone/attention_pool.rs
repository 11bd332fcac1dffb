//! SigLIP's attention pooling: the learned query and the key projection made one matrix.
//!
//! ```text
//! scoreₙₕ = qₕ · (Kₕ xₙ + kₕ) / √(D/H)  =  xₙ · Sₕ + constant      q = Q latent + b,  Sₕ = Kₕᵀ qₕ / √(D/H)
//! ```
//! The constant is the same for every token, and softmax does not see it.

use super::checkpoint::Tensor;
use super::translator::Translator;
use crate::backbone::VitConfig;

/// A naming's words for the parts.
pub(super) struct Names {
    latent: &'static str,
    /// Weights, and biases, of query, key and value projection, whose rows follow one another.
    weights: &'static [&'static str],
    biases: &'static [&'static str],
    proj: &'static str,
    norm: &'static str,
    mlp: &'static str,
}

pub(super) const TIMM: Names = Names {
    latent: "attn_pool.latent",
    weights: &["attn_pool.q.weight", "attn_pool.kv.weight"],
    biases: &["attn_pool.q.bias", "attn_pool.kv.bias"],
    proj: "attn_pool.proj",
    norm: "attn_pool.norm",
    mlp: "attn_pool.mlp",
};

pub(super) const HUGGING_FACE: Names = Names {
    latent: "head.probe",
    weights: &["head.attention.in_proj_weight"],
    biases: &["head.attention.in_proj_bias"],
    proj: "head.attention.out_proj",
    norm: "head.layernorm",
    mlp: "head.mlp",
};

impl Names {
    /// The tensor by which this pooling is known.
    pub(super) fn latent(&self) -> &'static str {
        self.latent
    }
}

/// Takes the pooling's tensors.
pub(super) fn translate(translator: &mut Translator, vit: &VitConfig, names: &Names) {
    let (d, weights, biases) = (vit.width, names.weights, names.biases);
    let latent = translator.take(names.latent);
    let weight = take_stacked(translator, weights, &[3 * d, d]);
    let bias = take_stacked(translator, biases, &[3 * d]);
    let rows = |tensor: &Option<Tensor>, i: usize| tensor.as_ref()?.rows(i * d, (i + 1) * d);
    let query = [latent, rows(&weight, 0), rows(&bias, 0)];
    let scores = fold(query, rows(&weight, 1), vit.heads);
    translator.put("attn_pool.scores.weight", weights[0], scores);
    let value = rows(&weight, 2).and_then(|value| value.transposed());
    translator.put("attn_pool.v_proj.weight", weights[weights.len() - 1], value);
    translator.put("attn_pool.v_proj.bias", biases[biases.len() - 1], rows(&bias, 2));
    translator.linear(names.proj, "attn_pool.proj");
    translator.norm(names.norm, "attn_pool.norm");
    for layer in ["fc1", "fc2"] {
        translator.linear(&format!("{}.{layer}", names.mlp), &format!("attn_pool.mlp.{layer}"));
    }
}

/// The tensors one below the other, if that gives `shape`.
fn take_stacked(translator: &mut Translator, names: &[&str], shape: &[usize]) -> Option<Tensor> {
    let parts: Vec<Option<Tensor>> = names.iter().map(|name| translator.take(name)).collect();
    let parts = parts.into_iter().collect::<Option<Vec<Tensor>>>()?;
    let fits = parts.iter().all(|part| part.shape.get(1..) == shape.get(1..));
    let data = parts.into_iter().flat_map(|part| part.data).collect();
    Tensor { shape: vec![], data }.reshaped(shape.to_vec()).filter(|_| fits)
}

/// `S`, in double precision, of the latent with its projection and bias, and of the key projection.
///
/// # Shapes
/// `[1, 1, D]`, `[D, D]`, `[D]` and `[D, D]` (`[out, in]`) to `[D, H]`.
fn fold(query: [Option<Tensor>; 3], key: Option<Tensor>, heads: usize) -> Option<Tensor> {
    let [Some(latent), Some(projection), Some(bias)] = query else { return None };
    let (key, d) = (key?, bias.data.len());
    if latent.shape != [1, 1, d] {
        return None;
    }
    let dot = |row: &[f32]| -> f64 {
        row.iter().zip(&latent.data).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum()
    };
    let query: Vec<f64> =
        projection.data.chunks(d).zip(&bias.data).map(|(row, &b)| dot(row) + f64::from(b)).collect();
    let head = d / heads;
    let score = |input: usize, h: usize| -> f64 {
        let along = h * head..(h + 1) * head;
        along.map(|out| f64::from(key.data[out * d + input]) * query[out]).sum::<f64>() / (head as f64).sqrt()
    };
    let data = (0..d).flat_map(|i| (0..heads).map(move |h| (i, h))).map(|(i, h)| score(i, h) as f32);
    Some(Tensor { shape: vec![d, heads], data: data.collect() })
}
