//! Successive halving (Jamieson and Talwalkar, 2016): all candidates get a short training, the better
//! half one twice as long, and so on until one is left. Pure.

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
/// to `alive`.
pub fn better_half<R: PartialOrd>(alive: &[usize], ranks: &[R]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..alive.len()).collect();
    order.sort_by(|&a, &b| {
        let by_rank = ranks[b].partial_cmp(&ranks[a]);
        by_rank.unwrap_or(std::cmp::Ordering::Equal).then(alive[a].cmp(&alive[b]))
    });
    order.into_iter().take(alive.len().div_ceil(2)).map(|at| alive[at]).collect()
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
    }
}
