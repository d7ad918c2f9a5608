//! Templates that fit the fields and what is asked, without presuming an answer. Pure.

use super::{
    fields::{FieldPlan, Fields},
    names::{capitalised, words},
    pair_templates,
    pairs::Side,
    topic::Topic,
};

/// A template of the task file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplatePlan {
    pub id: &'static str,
    pub text: String,
    pub held_out: bool,
}

/// Marks of a side in the name of a column.
const SIDE_WORDS: [&str; 10] = ["left", "right", "ltable", "rtable", "l", "r", "a", "b", "1", "2"];

/// Seven templates: six to train on, the canonical one first, and one that is held out.
pub fn templates(fields: &Fields, topic: &Topic) -> Vec<TemplatePlan> {
    let texts = match fields.relation {
        Some(_) => pair_templates::of(&fields.fields, topic),
        None => single(&Body::of(&fields.fields), topic),
    };
    let last = texts.len() - 1;
    let plan = |(at, (id, text))| TemplatePlan { id, text, held_out: at == last };
    texts.into_iter().enumerate().map(plan).collect()
}

/// The ids of templates with their texts; the last one is held out.
pub(super) type Texts = [(&'static str, String); 7];

/// The fields of an example or of one side of a pair, as templates put them.
pub(super) struct Body {
    /// One after the other.
    pub plain: String,
    /// As `plain`, without punctuation at the end.
    pub open: String,
    /// Each after its name, where there are several.
    pub named: String,
}

impl Body {
    pub fn of(fields: &[FieldPlan]) -> Self {
        let slot = |field: &FieldPlan| format!("{{{}}}", field.name);
        let plain = joined(fields.iter().map(slot));
        let open = match fields.split_last() {
            None => String::new(),
            Some((last, before)) => {
                let last = format!("{{{}|strip_punct}}", last.name);
                joined(before.iter().map(slot).chain([last]))
            }
        };
        let named = match fields {
            [_] => plain.clone(),
            fields => joined(fields.iter().map(|field| match spoken_field(field) {
                name if name.is_empty() => slot(field),
                name => format!("{name}: {}", slot(field)),
            })),
        };
        Self { plain, open, named }
    }
}

/// The name of a field as people write it, without the mark of its side.
fn spoken_field(field: &FieldPlan) -> String {
    let mut words = words(&field.column);
    if field.side != Side::Shared && words.len() > 1 {
        words.retain(|word| !SIDE_WORDS.contains(&word.as_str()));
    }
    if field.side != Side::Shared
        && let Some(last) = words.last_mut()
    {
        // As in question1.
        last.truncate(last.trim_end_matches(['1', '2']).len());
    }
    capitalised(&words.join(" "))
}

/// Parts with blanks between them.
pub(super) fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(" ")
}

fn single(body: &Body, topic: &Topic) -> Texts {
    let Body { plain, open, named } = body;
    match topic {
        Topic::Opinion => [
            ("it-was", format!("{named} It was {{mask}}.")),
            ("overall", format!("Overall {{mask}}: {plain}")),
            ("in-a-word", format!("My opinion, in one word: {{mask}}! {open}.")),
            ("felt", format!("Somebody wrote: \"{plain}\" They felt {{mask}} about it.")),
            ("verdict", format!("Verdict {{mask}} - {named}")),
            ("made-me-feel", format!("{open}, which made me feel {{mask}}.")),
            ("all-in-all", format!("All in all, this is {{mask}}. {plain}")),
        ],
        Topic::Subject => [
            ("about", format!("{named} This is about {{mask}}.")),
            ("category", format!("Category {{mask}}: {plain}")),
            ("mask-first", format!("{{mask}} - {named}")),
            ("filed-under", format!("Filed under {{mask}}: \"{plain}\"")),
            ("what-about", format!("What is this about? {open}. It is about {{mask}}.")),
            ("in-a-word", format!("The topic, in one word: {{mask}}! {plain}")),
            ("look-for", format!("People who look for {{mask}} find this: {plain}")),
        ],
        Topic::Named(noun) => named_single(body, noun),
        Topic::Neutral | Topic::Match | Topic::Relation(_) => [
            ("answer", format!("{named} Answer: {{mask}}.")),
            ("mask-first", format!("{{mask}}: {plain}")),
            ("in-a-word", format!("In one word: {{mask}}! {open}.")),
            ("quoted", format!("The text \"{plain}\" is {{mask}}.")),
            ("label", format!("Label {{mask}} - {named}")),
            ("which-is", format!("{open}, which is {{mask}}.")),
            ("one-would-say", format!("One would say {{mask}} of this: {plain}")),
        ],
    }
}

fn named_single(Body { plain, open, named }: &Body, noun: &str) -> Texts {
    let title = capitalised(noun);
    [
        ("name-last", format!("{named} {title}: {{mask}}.")),
        ("name-first", format!("{title} {{mask}} - {plain}")),
        ("mask-first", format!("{{mask}}: {named}")),
        ("quoted", format!("The text \"{plain}\" has the {noun} {{mask}}.")),
        ("what-is", format!("What is the {noun}? {open}. It is {{mask}}.")),
        ("in-a-word", format!("The {noun}, in one word: {{mask}}! {plain}")),
        (
            "one-would-say",
            format!("One would say {{mask}} when asked for the {noun} of this: {plain}"),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::pairs::Relation;

    fn field(column: &str, side: Side) -> FieldPlan {
        let name = column.replace(' ', "_");
        FieldPlan { name, column: column.to_owned(), at: 0, side, optional: false }
    }

    #[test]
    fn several_fields_are_named_and_one_is_not() {
        let one =
            Fields { fields: vec![field("text", Side::Shared)], unused: vec![], relation: None };
        let found = templates(&one, &Topic::Opinion);
        assert_eq!(found[0].text, "{text} It was {mask}.");
        assert_eq!(found.iter().filter(|template| template.held_out).count(), 1);
        let fields = vec![field("title", Side::Shared), field("review text", Side::Shared)];
        let two = Fields { fields, unused: vec![], relation: None };
        let found = templates(&two, &Topic::Neutral);
        assert_eq!(found[0].text, "Title: {title} Review text: {review_text} Answer: {mask}.");
        assert_eq!(found[2].text, "In one word: {mask}! {title} {review_text|strip_punct}.");
    }

    #[test]
    fn pairs_have_a_separator_between_their_sides() {
        let fields = vec![field("a", Side::Left), field("b", Side::Right)];
        let pair = Fields { fields, unused: vec![], relation: Some(Relation::Alike) };
        for topic in [Topic::Match, Topic::Neutral, Topic::Relation(Relation::Relevance)] {
            let found = templates(&pair, &topic);
            assert!(found.iter().all(|template| template.text.matches("{sep}").count() == 1));
            assert_eq!(found[2].text, "{a} {mask} {sep} {b}");
        }
    }
}
