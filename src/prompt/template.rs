//! Templates: how an example becomes a prompt with one mask. Nothing in one is evaluated.

use std::borrow::Cow;

use super::filter::{Filter, KNOWN_FILTERS};
use crate::task::{Example, Field};

/// One part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Text of the template itself; never cut.
    Literal(String),
    /// The place of a field's text.
    Slot(Slot),
    /// The place of the mask token.
    Mask,
    /// The tokenizer's separator; what follows is the next text segment.
    Separator,
}

/// The place of a field's text and what is done to it on the way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Index of the field in its task.
    pub field: usize,
    filters: Vec<Filter>,
}

impl Slot {
    /// The example's text for this slot, after the filters.
    pub fn text<'a>(&self, example: &'a Example) -> Cow<'a, str> {
        let text = Cow::Borrowed(example.values[self.field].as_str());
        self.filters.iter().fold(text, |text, filter| filter.apply(text))
    }

    /// The most tokens that this slot takes, where a filter says so.
    pub fn max_tokens(&self) -> Option<usize> {
        let limits = self.filters.iter().filter_map(|filter| match filter {
            Filter::Max(count) => Some(*count),
            _ => None,
        });
        limits.min()
    }
}

/// A named way to wrap an example.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    pub id: String,
    /// As written in the task file.
    pub text: String,
    pub segments: Vec<Segment>,
    /// Never trained on.
    pub held_out: bool,
    /// How often it is drawn, relative to the others.
    pub weight: f64,
    /// Line of the task file, for messages.
    pub line: usize,
}

/// The id of the template without a mask.
pub const PLAIN: &str = "plain";

/// Splits a template's text into segments, or says everything that is wrong with it.
pub fn parse(text: &str, fields: &[Field]) -> Result<Vec<Segment>, Vec<String>> {
    parse_with_masks(text, fields, |masks| match masks {
        1 => None,
        0 => Some("no {mask}: one is needed".to_owned()),
        n => Some(format!("{n} times {{mask}}: exactly one is needed")),
    })
}

/// Splits the text of a template that has no mask.
pub fn parse_plain(text: &str, fields: &[Field]) -> Result<Vec<Segment>, Vec<String>> {
    parse_with_masks(text, fields, |masks| {
        (masks > 0).then(|| "standard fine-tuning reads no {mask}".to_owned())
    })
}

fn parse_with_masks(
    text: &str,
    fields: &[Field],
    fault: impl Fn(usize) -> Option<String>,
) -> Result<Vec<Segment>, Vec<String>> {
    let mut parser = Parser { fields, segments: Vec::new(), faults: Vec::new() };
    parser.run(text);
    let masks = parser.segments.iter().filter(|s| **s == Segment::Mask).count();
    parser.faults.extend(fault(masks));
    if parser.faults.is_empty() { Ok(parser.segments) } else { Err(parser.faults) }
}

/// What is left of a template without its words and its mask: its slots and separators.
pub fn plain(template: &Template) -> Template {
    let mut segments = Vec::new();
    for segment in &template.segments {
        match segment {
            Segment::Literal(_) | Segment::Mask => {}
            Segment::Separator => segments.push(Segment::Separator),
            Segment::Slot(_) => {
                if matches!(segments.last(), Some(Segment::Slot(_))) {
                    segments.push(Segment::Literal(" ".to_owned()));
                }
                segments.push(segment.clone());
            }
        }
    }
    let edge = |segment: Option<&Segment>| segment == Some(&Segment::Separator);
    if edge(segments.first()) {
        segments.remove(0);
    }
    if edge(segments.last()) {
        segments.pop();
    }
    Template { id: PLAIN.to_owned(), text: String::new(), segments, ..template.clone() }
}

struct Parser<'a> {
    fields: &'a [Field],
    segments: Vec<Segment>,
    faults: Vec<String>,
}

impl Parser<'_> {
    fn run(&mut self, text: &str) {
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            self.literal(&rest[..at]);
            let brace = &rest[at..];
            rest = if let Some(after) = brace.strip_prefix("{{") {
                self.literal("{");
                after
            } else if let Some(after) = brace.strip_prefix("}}") {
                self.literal("}");
                after
            } else if let Some(after) = brace.strip_prefix('}') {
                self.faults.push("a '}' without its '{' (write '}}' for a brace)".to_owned());
                after
            } else if let Some(end) = brace.find('}') {
                self.placeholder(&brace[1..end]);
                &brace[end + 1..]
            } else {
                self.faults.push("a '{' without its '}' (write '{{' for a brace)".to_owned());
                ""
            };
        }
        self.literal(rest);
    }

    fn literal(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.segments.last_mut() {
            Some(Segment::Literal(before)) => before.push_str(text),
            _ => self.segments.push(Segment::Literal(text.to_owned())),
        }
    }

    fn placeholder(&mut self, inside: &str) {
        let mut parts = inside.split('|');
        // `split` yields at least one part, be it empty.
        let name = parts.next().unwrap_or_default().trim();
        let filters: Vec<&str> = parts.map(str::trim).collect();
        match name {
            "mask" | "sep" if !filters.is_empty() => {
                self.faults.push(format!("{{{name}}} takes no filters"));
            }
            "mask" => self.segments.push(Segment::Mask),
            "sep" => self.segments.push(Segment::Separator),
            _ => self.slot(name, &filters),
        }
    }

    fn slot(&mut self, name: &str, filters: &[&str]) {
        let field = self.fields.iter().position(|field| field.name == name);
        if field.is_none() {
            let known: Vec<&str> = self.fields.iter().map(|f| f.name.as_str()).collect();
            let known = known.join(", ");
            self.faults.push(format!("unknown field {name:?} (the task has: {known})"));
        }
        let mut parsed = Vec::with_capacity(filters.len());
        for text in filters {
            match Filter::parse(text) {
                Some(filter) => parsed.push(filter),
                None => {
                    self.faults
                        .push(format!("unknown filter {text:?} (there are: {KNOWN_FILTERS})"));
                }
            }
        }
        if let Some(field) = field {
            self.segments.push(Segment::Slot(Slot { field, filters: parsed }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Truncate;

    fn fields() -> Vec<Field> {
        let field = |name: &str| Field {
            name: name.to_owned(),
            min_tokens: 1,
            truncate: Truncate::Tail,
            priority: 1,
            optional: false,
        };
        vec![field("text"), field("title")]
    }

    fn check(text: &str, expected: &[Segment]) {
        assert_eq!(parse(text, &fields()).as_deref(), Ok(expected), "{text}");
    }

    fn literal(text: &str) -> Segment {
        Segment::Literal(text.to_owned())
    }

    fn slot(field: usize, filters: &[Filter]) -> Segment {
        Segment::Slot(Slot { field, filters: filters.to_vec() })
    }

    #[test]
    fn templates_are_split_into_segments() {
        check(
            "{text} It was {mask}.",
            &[slot(0, &[]), literal(" It was "), Segment::Mask, literal(".")],
        );
        check(
            "{title|strip_punct|max:9}{sep}{text} {mask}",
            &[
                slot(1, &[Filter::StripPunct, Filter::Max(9)]),
                Segment::Separator,
                slot(0, &[]),
                literal(" "),
                Segment::Mask,
            ],
        );
        check("{{mask}} {mask} {{}}", &[literal("{mask} "), Segment::Mask, literal(" {}")]);
    }

    #[test]
    fn every_fault_is_said() {
        for (text, expected) in [
            ("no mask", 1),
            ("{mask} {mask}", 1),
            ("{mask} {price}", 1),
            ("{mask} {text|shout|max:0}", 2),
            ("{mask|strip}", 2),
            ("{mask} }", 1),
            ("{mask} {text", 1),
            ("{", 2),
            ("{} {price|x} }", 5),
        ] {
            let faults = parse(text, &fields()).expect_err(text);
            assert_eq!(faults.len(), expected, "{text}: {faults:?}");
        }
    }

    #[test]
    fn field_text_is_never_parsed() {
        let Ok(segments) = parse("{text|strip} {mask}", &fields()) else {
            panic!("a good template")
        };
        let Segment::Slot(slot) = &segments[0] else { panic!("a slot comes first") };
        let example = Example { values: vec![" {mask} }{ ".to_owned(), String::new()] };
        assert_eq!(slot.text(&example), "{mask} }{");
    }
}
