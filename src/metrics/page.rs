//! A page of metrics, put together when it is asked for.

use std::collections::BTreeMap;

use prometheus::{
    TextEncoder,
    core::Collector,
    proto::{LabelPair, MetricFamily},
};

use super::instruments;

/// Labels of a line, name and value.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// Metrics of many places under their names.
#[derive(Default)]
pub struct Page {
    families: BTreeMap<String, MetricFamily>,
}

impl Page {
    /// A value that goes up and down, as it is now.
    pub fn gauge(&mut self, name: &str, help: &str, labels: Labels<'_>, value: f64) {
        let gauge = instruments::gauge(name, help);
        gauge.set(value);
        self.add(labels, &gauge);
    }

    /// A value that only goes up, counted elsewhere.
    pub fn counter(&mut self, name: &str, help: &str, labels: Labels<'_>, value: u64) {
        let counter = instruments::counter(name, help);
        counter.inc_by(value);
        self.add(labels, &counter);
    }

    /// Seconds that were spent so far.
    pub fn seconds(&mut self, name: &str, help: &str, spent: f64) {
        let counter = instruments::seconds(name, help);
        counter.inc_by(spent);
        self.add(&[], &counter);
    }

    /// What an instrument shows, with further labels.
    pub(super) fn add(&mut self, labels: Labels<'_>, instrument: &dyn Collector) {
        for mut family in instrument.collect() {
            for metric in family.mut_metric() {
                let mut all = metric.take_label();
                all.extend(labels.iter().map(|(name, value)| label(name, value)));
                metric.set_label(all);
            }
            // A family of vectors that nothing was counted in yet has no line.
            if family.get_metric().is_empty() {
                continue;
            }
            match self.families.get_mut(family.name()) {
                Some(known) => known.mut_metric().extend(family.take_metric()),
                None => drop(self.families.insert(family.name().to_owned(), family)),
            }
        }
    }

    /// The page in the text format, in order of the names.
    ///
    /// # Errors
    ///
    /// If a metric has no name or no value, a defect of this program.
    pub fn text(self) -> Result<String, String> {
        let families: Vec<MetricFamily> = self.families.into_values().collect();
        TextEncoder::new().encode_to_string(&families).map_err(|error| error.to_string())
    }
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value.to_owned());
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_has_one_head_and_a_line_for_each_place() {
        let mut page = Page::default();
        page.gauge("workers", "Workers.", &[("encoder", "b")], 2.0);
        page.gauge("workers", "Workers.", &[("encoder", "a\"\n")], 0.5);
        page.counter("hits_total", "Hits.", &[], 7);
        page.add(&[], &instruments::counters("none_total", "Nothing yet.", &["code"]));
        let expected = "# HELP hits_total Hits.\n# TYPE hits_total counter\nhits_total 7\n\
             # HELP workers Workers.\n# TYPE workers gauge\n\
             workers{encoder=\"b\"} 2\nworkers{encoder=\"a\\\"\\n\"} 0.5\n";
        assert_eq!(page.text().expect("text"), expected);
    }
}
