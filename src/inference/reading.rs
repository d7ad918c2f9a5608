//! In how many prompts an example was read, and what of it.

use std::ops::Range;

use crate::tokenization::Prompt;

/// Grouping of the prompts of one example: those of its templates follow one another, and
/// those of a template are the windows over a text that does not fit one prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    templates: Vec<TemplateReading>,
}

/// Reading of an example in one template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TemplateReading {
    /// At least 1.
    windows: usize,
    /// Field text was cut.
    truncated: bool,
}

impl Reading {
    /// One prompt of a template that cut nothing.
    pub fn whole() -> Self {
        Self { templates: vec![TemplateReading { windows: 1, truncated: false }] }
    }

    /// Reading of no template yet; see [`Self::push`].
    pub(super) fn with_capacity(templates: usize) -> Self {
        Self { templates: Vec::with_capacity(templates) }
    }

    /// Adds a template by its windows, of which there is at least one.
    pub(super) fn push(&mut self, windows: &[Prompt]) {
        let truncated = windows.iter().any(|window| window.truncated);
        self.templates.push(TemplateReading { windows: windows.len(), truncated });
    }

    /// Prompts of all templates together.
    pub fn prompts(&self) -> usize {
        self.templates.iter().map(|template| template.windows).sum()
    }

    /// Windows in the template that has the most.
    pub fn windows(&self) -> usize {
        self.templates.iter().map(|template| template.windows).max().unwrap_or(0)
    }

    /// Tells whether field text was cut in any template.
    pub fn is_truncated(&self) -> bool {
        self.templates.iter().any(|template| template.truncated)
    }

    /// For each template the places of its windows among the prompts.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        self.templates.iter().scan(0, |end, template| {
            let start = *end;
            *end += template.windows;
            Some(start..*end)
        })
    }

    /// The reading in some of the templates, given by their places in it, and the places of these
    /// templates' windows among the prompts.
    pub(super) fn select(&self, templates: &[usize]) -> (Self, Vec<usize>) {
        let ranges: Vec<Range<usize>> = self.ranges().collect();
        let places = templates.iter().flat_map(|&at| ranges[at].clone()).collect();
        (Self { templates: templates.iter().map(|&at| self.templates[at]).collect() }, places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts(truncated: &[bool]) -> Vec<Prompt> {
        let prompt = |&truncated| Prompt {
            input_ids: vec![1],
            segment_ids: vec![0],
            mask_position: 0,
            truncated,
        };
        truncated.iter().map(prompt).collect()
    }

    #[test]
    fn prompts_belong_to_templates_and_are_their_windows() {
        let mut reading = Reading::with_capacity(3);
        for windows in [&[false, false][..], &[true, true, true], &[false]] {
            reading.push(&prompts(windows));
        }
        assert_eq!(reading.ranges().collect::<Vec<_>>(), [0..2, 2..5, 5..6]);
        assert_eq!((reading.prompts(), reading.windows(), reading.is_truncated()), (6, 3, true));
        let (some, places) = reading.select(&[2, 0]);
        assert_eq!(places, [5, 0, 1]);
        assert_eq!(some.ranges().collect::<Vec<_>>(), [0..1, 1..3]);
        assert_eq!((some.prompts(), some.windows(), some.is_truncated()), (3, 2, false));
        assert_eq!(reading.select(&[2]).0, Reading::whole());
    }
}
