//! Single examples with their predictions.

use maud::{Markup, html};

use super::chart::shortened;

/// Characters of a text that a page shows.
const MAX_CHARACTERS: usize = 600;

/// An example, what it should be and what was answered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ShownExample {
    /// The example's number in its file, from 1.
    pub row: usize,
    /// Names of the fields with their texts.
    pub fields: Vec<(String, String)>,
    pub truth: String,
    pub predicted: String,
    /// Of the answer and of what else is worth knowing, in words.
    pub notes: Vec<String>,
    pub nearest: Option<NearestExample>,
}

/// The training example that is most like another.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NearestExample {
    pub fields: Vec<(String, String)>,
    pub truth: String,
    /// From 0 to 1.
    pub similarity: f64,
}

/// The examples as a list.
pub fn example_list(examples: &[ShownExample]) -> Markup {
    html! {
        ol.examples {
            @for example in examples {
                li {
                    (texts(&example.fields))
                    p.verdict {
                        span { "true: " b { (example.truth) } }
                        span { "predicted: " b { (example.predicted) } }
                        @for note in &example.notes { span { (note) } }
                        span { "example " (example.row) }
                    }
                    @if let Some(nearest) = &example.nearest { (nearest_example(nearest)) }
                }
            }
        }
    }
}

fn nearest_example(nearest: &NearestExample) -> Markup {
    html! {
        div.nearest {
            p.verdict {
                span { "nearest training example" }
                span { "true: " b { (nearest.truth) } }
                span { "similarity " (format!("{:.2}", nearest.similarity)) }
            }
            (texts(&nearest.fields))
        }
    }
}

fn texts(fields: &[(String, String)]) -> Markup {
    html! {
        @for (name, text) in fields {
            p.text {
                @if fields.len() > 1 { span.field { (name) } " " }
                (shortened(text, MAX_CHARACTERS))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_cut_and_named_where_there_are_several() {
        let field = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let mut example = ShownExample {
            row: 7,
            fields: vec![field("text", "<b>bold</b>")],
            truth: "yes".to_owned(),
            predicted: "no".to_owned(),
            notes: vec!["probability 0.910".to_owned()],
            nearest: None,
        };
        let found = example_list(std::slice::from_ref(&example)).into_string();
        assert!(found.contains("<p class=\"text\">&lt;b&gt;bold"), "{found}");
        assert!(found.contains("true: <b>yes</b>") && found.contains("example 7"), "{found}");
        assert!(!found.contains("nearest"), "{found}");
        example.fields = vec![field("query", "shoes"), field("title", &"x".repeat(700))];
        example.nearest = Some(NearestExample {
            similarity: 0.514,
            truth: "no".to_owned(),
            ..Default::default()
        });
        let found = example_list(&[example]).into_string();
        assert!(found.contains("<span class=\"field\">query</span> shoes"), "{found}");
        assert!(found.contains(&format!("{}…", "x".repeat(599))), "{found}");
        assert!(found.contains("similarity 0.51"), "{found}");
    }
}
