//! Successive halving (Jamieson and Talwalkar, 2016): all candidates get a short training, the better
//! half one twice as long, and so on until one is left. Pure.

/// The recipe that the data chose.
const FIRST: usize = 0;

/// The lengths of a search's rounds, in steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rounds {
    /// Of a trial in each round; the first has all candidates, each later one half as many.
    pub steps: Vec<usize>,
}

impl Rounds {
    /// Rounds for so many candidates whose trials take `budget_steps` steps in all, each trial at
    /// least `least` and at most `most`.
    pub fn new(candidates: usize, budget_steps: usize, least: usize, most: usize) -> Self {
        let mut counts = Vec::new();
        let mut count = candidates;
        while count > 1 {
            counts.push(count);
            count = count.div_ceil(2);
        }
        // A trial of round r has 2^r times the first round's steps.
        let cost: usize = counts.iter().enumerate().map(|(round, count)| count << round).sum();
        let first = (budget_steps / cost.max(1)).max(least).min(most.max(1));
        let steps = (0..counts.len()).map(|round| (first << round).min(most.max(1)));
        Self { steps: steps.collect() }
    }
}

/// The better half of a round's candidates, best first; of equal ones the earlier. `ranks` belong
/// to `alive`. The first candidate, which the others must beat, always stays.
pub fn better_half<R: PartialOrd>(alive: &[usize], ranks: &[R]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..alive.len()).collect();
    order.sort_by(|&a, &b| {
        let by_rank = ranks[b].partial_cmp(&ranks[a]);
        by_rank.unwrap_or(std::cmp::Ordering::Equal).then(alive[a].cmp(&alive[b]))
    });
    let mut better: Vec<usize> =
        order.into_iter().take(alive.len().div_ceil(2)).map(|at| alive[at]).collect();
    if alive.len() > 2
        && alive.contains(&FIRST)
        && !better.contains(&FIRST)
        && let Some(worst) = better.last_mut()
    {
        *worst = FIRST;
    }
    better
}

/// The candidate that wins the last round, whose ranks these are: the first one, unless another is
/// better by a standard error of a figure of so many examples. A search on few examples would
/// otherwise choose by chance, and worse than the data did.
pub fn winner(last: &[(usize, [f64; 2])], examples: usize) -> usize {
    let of_first = last.iter().find(|(candidate, _)| *candidate == FIRST).map(|(_, rank)| rank[0]);
    let mut best = (FIRST, of_first.unwrap_or(f64::NEG_INFINITY));
    let margin = of_first.map_or(0.0, |rank| standard_error(rank, examples));
    for (candidate, rank) in last {
        if rank[0] > best.1 + if best.0 == FIRST { margin } else { 0.0 } {
            best = (*candidate, rank[0]);
        }
    }
    best.0
}

/// The standard error of a share, or of the root of mean squared errors, which is negative as a rank.
fn standard_error(rank: f64, examples: usize) -> f64 {
    let count = examples.max(1) as f64;
    match rank {
        0.0..=1.0 => (rank * (1.0 - rank) / count).sqrt(),
        _ if rank.is_finite() => rank.abs() / (2.0 * count).sqrt(),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_double_and_stay_within_the_budget() {
        let rounds = Rounds::new(8, 2400, 10, 10_000);
        assert_eq!(rounds.steps, [100, 200, 400]);
        let spent: usize = [8, 4, 2].iter().zip(&rounds.steps).map(|(n, steps)| n * steps).sum();
        assert_eq!(spent, 2400);
        assert_eq!(Rounds::new(8, 10, 10, 10_000).steps, [10, 20, 40]);
        assert_eq!(Rounds::new(4, 1_000_000, 10, 300).steps, [300, 300]);
        assert!(Rounds::new(1, 100, 10, 100).steps.is_empty());
    }

    #[test]
    fn the_better_half_survives_and_the_earlier_of_equals() {
        assert_eq!(better_half(&[0, 1, 2, 3, 4], &[0.5, 0.9, 0.5, 0.1, 0.7]), [1, 4, 0]);
        assert_eq!(better_half(&[5, 7], &[[0.5, 1.0], [0.5, 2.0]]), [7]);
        assert_eq!(better_half(&[0, 1, 2, 3], &[0.1, 0.9, 0.5, 0.3]), [1, 0], "the first stays");
    }

    #[test]
    fn chance_does_not_win_against_the_first() {
        let of = |others: &[f64], examples| {
            let last = [0.87].iter().chain(others).enumerate().map(|(at, rank)| (at, [*rank, 0.0]));
            winner(&last.collect::<Vec<_>>(), examples)
        };
        assert_eq!(of(&[0.88], 215), 0, "two of 215 are chance");
        assert_eq!(of(&[0.90, 0.91], 215), 2);
        assert_eq!(of(&[0.88], 20_000), 1);
        assert_eq!(of(&[], 215), 0);
        let errors = [(0, [-1.0, 0.0]), (3, [-0.97, 0.0])];
        assert_eq!((winner(&errors, 100), winner(&errors, 10_000)), (0, 3));
    }
}
