//! Which examples a step takes and which template wraps each of them. Pure and stateless.

use super::random::{hash, uniform};
use crate::prompt::{PromptPool, Sampling};

/// Keeps the purposes of random numbers apart.
const ORDER: u64 = 1;
const TEMPLATE: u64 = 2;
const SECOND_VIEW: u64 = 3;

/// An example in one of its templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// Index into the training set.
    pub example: usize,
    /// Index into the task's templates.
    pub template: usize,
}

/// Draws batches from a training set.
pub struct Sampler<'a> {
    prompts: &'a PromptPool,
    examples: usize,
    batch_size: usize,
    seed: u64,
    /// The visit whose order is at hand, and that order.
    order: (u64, Vec<usize>),
}

impl<'a> Sampler<'a> {
    /// Draws `batch_size` of the `examples` at each step; the last batch of a visit may be smaller.
    pub fn new(prompts: &'a PromptPool, examples: usize, batch_size: usize, seed: u64) -> Self {
        let order = (0, shuffled(examples, seed, 0));
        Self { prompts, examples, batch_size, seed, order }
    }

    /// Steps that visit every example once.
    pub fn steps_per_visit(&self) -> usize {
        self.examples.div_ceil(self.batch_size)
    }

    /// The draws of a step, counted from 0.
    pub fn batch(&mut self, step: usize) -> Vec<Draw> {
        let (visit, within) = (step / self.steps_per_visit(), step % self.steps_per_visit());
        let visit = visit as u64;
        if self.order.0 != visit {
            self.order = (visit, shuffled(self.examples, self.seed, visit));
        }
        let start = within * self.batch_size;
        let end = (start + self.batch_size).min(self.examples);
        let examples = &self.order.1[start..end];
        examples.iter().flat_map(|&example| self.draws(visit, step, example)).collect()
    }

    fn draws(&self, visit: u64, step: usize, example: usize) -> Vec<Draw> {
        let pool = &self.prompts.pool;
        let one = |template| vec![Draw { example, template }];
        match self.prompts.sampling {
            Sampling::PerExample => {
                one(self.draw(pool, &[self.seed, TEMPLATE, visit, example as u64]))
            }
            Sampling::PerBatch => one(self.draw(pool, &[self.seed, TEMPLATE, step as u64])),
            Sampling::RoundRobin => one(pool[(visit as usize + example) % pool.len()]),
            Sampling::Static => one(self.prompts.canonical),
            Sampling::All => pool.iter().map(|&template| Draw { example, template }).collect(),
        }
    }

    /// For each draw of a step the same example in another template of the pool, if it has several
    /// and the sampling uses them.
    pub fn second_views(&self, step: usize, draws: &[Draw]) -> Vec<Draw> {
        let view = |draw: &Draw| {
            let others = self.prompts.pool.iter().copied();
            let others: Vec<usize> = others.filter(|at| *at != draw.template).collect();
            let is_static = self.prompts.sampling == Sampling::Static;
            if others.is_empty() || is_static {
                return *draw;
            }
            let purpose = [self.seed, SECOND_VIEW, step as u64, draw.example as u64];
            Draw { template: self.draw(&others, &purpose), ..*draw }
        };
        draws.iter().map(view).collect()
    }

    /// One of these templates, each with a chance in proportion to its weight.
    fn draw(&self, pool: &[usize], purpose: &[u64]) -> usize {
        let weight = |template: &usize| self.prompts.templates[*template].weight;
        let mut left = uniform(purpose) * pool.iter().map(weight).sum::<f64>();
        for template in pool {
            left -= weight(template);
            if left < 0.0 {
                return *template;
            }
        }
        // Rounding can leave a remainder of nothing.
        pool[pool.len() - 1]
    }
}

/// A permutation of the examples: sorted by a hash of each.
pub fn shuffled(examples: usize, seed: u64, visit: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..examples).collect();
    order.sort_by_cached_key(|&example| (hash(&[seed, ORDER, visit, example as u64]), example));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::Template;

    fn pool(sampling: Sampling) -> PromptPool {
        let template = |weight| Template {
            id: String::new(),
            text: String::new(),
            segments: vec![],
            held_out: false,
            weight,
            line: 1,
        };
        PromptPool {
            plain: template(1.0),
            templates: vec![template(1.0), template(1.0), template(9.0), template(3.0)],
            canonical: 0,
            pool: vec![0, 1, 3],
            sampling,
            inference: None,
            sliding_window: None,
        }
    }

    fn visit(sampling: Sampling, visit: usize, seed: u64) -> Vec<Draw> {
        let pool = pool(sampling);
        let mut sampler = Sampler::new(&pool, 1000, 32, seed);
        let steps = sampler.steps_per_visit();
        (visit * steps..(visit + 1) * steps).flat_map(|step| sampler.batch(step)).collect()
    }

    fn share(draws: &[Draw], template: usize) -> f64 {
        draws.iter().filter(|d| d.template == template).count() as f64 / draws.len() as f64
    }

    #[test]
    fn a_visit_sees_every_example_once_in_a_new_order() {
        let (first, second) =
            (visit(Sampling::PerExample, 0, 1), visit(Sampling::PerExample, 1, 1));
        let examples = |draws: &[Draw]| draws.iter().map(|d| d.example).collect::<Vec<_>>();
        let mut sorted = examples(&first);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        assert_ne!(examples(&first), examples(&second));
        assert_eq!(first, visit(Sampling::PerExample, 0, 1), "the same seed draws the same");
        assert_ne!(first, visit(Sampling::PerExample, 0, 2), "another seed draws otherwise");
    }

    #[test]
    fn draws_do_not_depend_on_the_batch_size_or_on_earlier_steps() {
        let pool = pool(Sampling::PerExample);
        let template_of = |batch_size: usize| {
            let mut sampler = Sampler::new(&pool, 100, batch_size, 5);
            let steps = sampler.steps_per_visit();
            let mut draws: Vec<Draw> = (steps..2 * steps).flat_map(|s| sampler.batch(s)).collect();
            draws.sort_by_key(|draw| draw.example);
            draws
        };
        assert_eq!(template_of(7), template_of(32));
    }

    #[test]
    fn templates_are_drawn_by_their_weight_from_the_pool_alone() {
        let draws = visit(Sampling::PerExample, 0, 3);
        assert!((share(&draws, 3) - 0.6).abs() < 0.05 && share(&draws, 2) == 0.0);
        assert!((share(&draws, 0) - 0.2).abs() < 0.05);
        assert_eq!(share(&visit(Sampling::Static, 0, 3), 0), 1.0);
        assert_eq!(visit(Sampling::All, 0, 3).len(), 3000);
        let round = visit(Sampling::RoundRobin, 0, 3);
        assert!((share(&round, 3) - 1.0 / 3.0).abs() < 0.01);
        let batch = Sampler::new(&pool(Sampling::PerBatch), 1000, 32, 3).batch(4);
        assert!(batch.iter().all(|draw| draw.template == batch[0].template));
    }
    #[test]
    fn second_views_take_another_template_where_there_is_one() {
        let pool = pool(Sampling::PerExample);
        let mut sampler = Sampler::new(&pool, 100, 50, 3);
        let draws = sampler.batch(1);
        let views = sampler.second_views(1, &draws);
        assert_eq!(views, sampler.second_views(1, &draws));
        for (draw, view) in draws.iter().zip(&views) {
            assert_eq!(draw.example, view.example);
            assert!(draw.template != view.template && pool.pool.contains(&view.template));
        }
        let fixed = self::pool(Sampling::Static);
        let mut sampler = Sampler::new(&fixed, 100, 50, 3);
        let draws = sampler.batch(0);
        assert_eq!(sampler.second_views(0, &draws), draws);
    }
}
