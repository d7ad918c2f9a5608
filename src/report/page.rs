//! The frame of every page.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::glossary::glossary;

const STYLE: &str = include_str!("style.css");

/// Nothing is loaded and nothing runs, whatever a name in the data holds.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// A whole document, with the explanations of its words at the end.
pub fn document(title: &str, body: &Markup) -> String {
    let words = glossary(&body.0);
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { h1 { (title) } (body) (words) } }
        }
    };
    document.into_string()
}

/// Names with values, as a list.
pub fn facts<'a>(facts: impl IntoIterator<Item = (&'a str, String)>) -> Markup {
    html! {
        dl {
            @for (name, value) in facts {
                div { dt { (name) } dd { (value) } }
            }
        }
    }
}
