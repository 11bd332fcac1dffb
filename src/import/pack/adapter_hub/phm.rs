//! Compacter's layers, expanded: the sum of the Kronecker products of n small rules with n thin matrices.

use super::layer::Layer;
use crate::import::backbone::checkpoint::Tensor;
use crate::import::pack::refused::Refused;
use crate::import::pack::tensors::Tensors;

/// Most small matrices a layer is made of.
const MOST: usize = 64;

/// Takes a layer that reads `input` numbers and gives at most `most`.
pub(super) fn layer(tensors: &mut Tensors, name: &str, [input, most]: [usize; 2]) -> Result<Layer, Refused> {
    let rule = rule(tensors, name)?;
    let left = tensors.take(&format!("{name}.W_left"))?;
    let right = tensors.take(&format!("{name}.W_right"))?;
    let bias = tensors.take(&format!("{name}.b"))?.data;
    let product = Product { rule: &rule, left: &left, right: &right };
    let refuse = |reason| tensors.refuse(name, reason);
    let output = product.output(input, most).map_err(refuse)?;
    Ok(Layer { matrix: product.expand(), output, bias })
}

/// The rule of this layer, or the one of all layers, which stays for the next.
fn rule(tensors: &mut Tensors, name: &str) -> Result<Tensor, Refused> {
    if let Some(own) = tensors.tensors.remove(&format!("{name}.phm_rule")) {
        return Ok(own);
    }
    let shared = tensors.tensors.iter().find(|(key, _)| is_shared(key)).map(|(_, rule)| rule.clone());
    shared.ok_or_else(|| tensors.refuse(name, "the rule (phm_rule) is missing"))
}

fn is_shared(key: &str) -> bool {
    key.contains("shared_parameters.") && key.ends_with(".phm_rule")
}

/// Takes the rule of all layers away, once every layer has been read.
pub(super) fn drop_shared_rule(tensors: &mut Tensors) {
    tensors.tensors.retain(|key, _| !is_shared(key));
}

/// `Σ rule[i] ⊗ (left[i] · right[i])`.
///
/// # Shapes
/// rule `[n, n, n]`, left `[n, in / n, k]`, right `[n, k, out / n]`.
struct Product<'a> {
    rule: &'a Tensor,
    left: &'a Tensor,
    right: &'a Tensor,
}

impl Product<'_> {
    /// The width of what leaves the layer, once every shape is known to fit.
    fn output(&self, input: usize, most: usize) -> Result<usize, String> {
        let [rule, left, right] = [self.rule, self.left, self.right].map(|tensor| &tensor.shape[..]);
        match (rule, left, right) {
            (&[n, a, b], &[l, rows, k], &[r, k_right, columns])
                if [a, b, l, r] == [n; 4]
                    && (1..=MOST).contains(&n)
                    && k > 0
                    && k == k_right
                    && n * rows == input
                    && columns.checked_mul(n).is_some_and(|output| (1..=most).contains(&output)) =>
            {
                Ok(n * columns)
            }
            _ => Err(format!(
                "a rule of {rule:?} and factors of {left:?} and {right:?} do not make a layer that reads {input} numbers"
            )),
        }
    }

    /// The matrix `[in, out]`.
    fn expand(&self) -> Vec<f32> {
        let (n, rows, k) = (self.left.shape[0], self.left.shape[1], self.left.shape[2]);
        let columns = self.right.shape[2];
        let mut matrix = vec![0.0; n * rows * n * columns];
        for i in 0..n {
            for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
                let left = &self.left.data[(i * rows + row) * k..][..k];
                let right = (0..k).map(|inner| self.right.data[(i * k + inner) * columns + column]);
                let value: f32 = left.iter().zip(right).map(|(l, r)| l * r).sum();
                for (a, b) in (0..n).flat_map(|a| (0..n).map(move |b| (a, b))) {
                    let at = (a * rows + row) * n * columns + b * columns + column;
                    matrix[at] += self.rule.data[(i * n + a) * n + b] * value;
                }
            }
        }
        matrix
    }
}
