//! Two ways to answer, compared on the same images (McNemar 1947), in the exact form: of the images that one alone
//! answers rightly, each is as likely one's as the other's.

/// The two-sided p of `first` images that only the first answers rightly and `second` that only the second does:
/// `min(1, 2·P(X ≤ min(first, second)))` for X of the binomial distribution of `first + second` and ½. 1 where they never
/// differ.
pub fn mcnemar(first: usize, second: usize) -> f64 {
    let (count, fewer) = (first + second, first.min(second));
    // Terms by their logarithm: 2⁻ⁿ alone is below the smallest number from n = 1075 on.
    let mut term = -(count as f64) * std::f64::consts::LN_2;
    let mut below = term.exp();
    for k in 1..=fewer {
        term += ((count - k + 1) as f64 / k as f64).ln();
        below += term.exp();
    }
    (2.0 * below).min(1.0)
}

/// Images that only the first answers rightly, and those that only the second does.
pub fn discordant(first: &[bool], second: &[bool]) -> (usize, usize) {
    let only = |one: bool, other: bool| one && !other;
    let pairs = || first.iter().copied().zip(second.iter().copied());
    (pairs().filter(|&(a, b)| only(a, b)).count(), pairs().filter(|&(a, b)| only(b, a)).count())
}
