//! Whose turn it is when several tasks are trained together. Pure.

/// Deals steps to tasks so that all of them come to their end together.
pub struct Turns {
    /// Steps of each task in all, and taken.
    tasks: Vec<(usize, usize)>,
}

impl Turns {
    /// For tasks with so many steps each.
    pub fn new(steps: &[usize]) -> Self {
        Self { tasks: steps.iter().map(|steps| (*steps, 0)).collect() }
    }
}

impl Iterator for Turns {
    /// The task, and which of its steps it is, from 0.
    type Item = (usize, usize);

    /// The task that is farthest behind its share; of equals the first.
    fn next(&mut self) -> Option<(usize, usize)> {
        let mut farthest: Option<(usize, f64)> = None;
        for (task, &(steps, taken)) in self.tasks.iter().enumerate() {
            let reached = (taken as f64 + 0.5) / steps as f64;
            if taken < steps && farthest.is_none_or(|(_, other)| reached < other) {
                farthest = Some((task, reached));
            }
        }
        let (task, _) = farthest?;
        let turn = self.tasks[task].1;
        self.tasks[task].1 += 1;
        Some((task, turn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_come_to_their_end_together() {
        let turns: Vec<usize> = Turns::new(&[2, 4, 1]).map(|(task, _)| task).collect();
        assert_eq!(turns, [1, 0, 1, 2, 1, 0, 1]);
        let steps: Vec<usize> =
            Turns::new(&[2, 4]).filter(|(task, _)| *task == 1).map(|(_, turn)| turn).collect();
        assert_eq!(steps, [0, 1, 2, 3]);
        assert_eq!(Turns::new(&[3]).collect::<Vec<_>>(), [(0, 0), (0, 1), (0, 2)]);
        assert_eq!(Turns::new(&[]).next(), None);
    }
}
