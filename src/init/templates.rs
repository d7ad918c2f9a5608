//! Templates that fit the fields and what is asked, without presuming an answer. Pure.

use super::{
    fields::{FieldPlan, Fields},
    names::{capitalised, has_word, spoken, words},
    pairs::{Relation, Side},
    target::{Answers, TargetPlan},
};

/// A template of the task file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplatePlan {
    pub id: &'static str,
    pub text: String,
    pub held_out: bool,
}

/// What is asked of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topic {
    /// How good somebody finds something.
    Opinion,
    /// What the text is about.
    Subject,
    /// Whether two things are the same.
    Match,
    /// How a result fits a query, an answer its question, or what follows from a statement.
    Relation(Relation),
    /// Something else that has a name, such as `intent`.
    Named(String),
    /// Nothing that the file would name.
    Neutral,
}

const OPINION_WORDS: [&str; 13] = [
    "sentiment",
    "polarity",
    "star",
    "stars",
    "rating",
    "ratings",
    "overall",
    "opinion",
    "valence",
    "satisfaction",
    "satisfied",
    "recommended",
    "recommend",
];

const OPINION_LABELS: [&str; 6] =
    ["positive", "negative", "pos", "neg", "very positive", "very negative"];

const SUBJECT_WORDS: [&str; 12] = [
    "category",
    "categories",
    "topic",
    "topics",
    "subject",
    "genre",
    "section",
    "theme",
    "department",
    "domain",
    "industry",
    "newsgroup",
];

const MATCH_WORDS: [&str; 16] = [
    "match",
    "matches",
    "matching",
    "same",
    "duplicate",
    "duplicated",
    "similar",
    "similarity",
    "equal",
    "equivalent",
    "equivalence",
    "paraphrase",
    "relatedness",
    "different",
    "non match",
    "no match",
];

/// Names that say nothing of what is asked.
const GENERIC: [&str; 18] = [
    "label",
    "labels",
    "y",
    "target",
    "class",
    "output",
    "value",
    "annotation",
    "gold",
    "answer",
    "result",
    "score",
    "tag",
    "mask",
    "sep",
    "grade",
    "number",
    "id",
];

/// Marks of a side in the name of a column.
const SIDE_WORDS: [&str; 10] = ["left", "right", "ltable", "rtable", "l", "r", "a", "b", "1", "2"];

/// Characters of a name that templates use.
const MAX_NOUN_CHARS: usize = 30;

/// Tells what is asked, by the names of the target and of its labels.
pub fn topic(target: &TargetPlan, relation: Option<Relation>) -> Topic {
    let labels: Vec<String> = match &target.answers {
        Answers::Classification { labels, .. } => {
            labels.iter().map(|label| spoken(&label.name)).collect()
        }
        Answers::Regression { .. } => Vec::new(),
    };
    let any_label = |wanted: &[&str]| labels.iter().any(|label| wanted.contains(&label.as_str()));
    match relation {
        None => single_topic(&target.column, any_label),
        Some(Relation::Alike) => {
            let entails = labels.iter().any(|label| label.starts_with("entail"));
            let two = labels.len() == 2 && noun(&target.column).is_none();
            match has_word(&target.column, &MATCH_WORDS) || any_label(&MATCH_WORDS) || two {
                _ if entails => Topic::Relation(Relation::Entailment),
                true => Topic::Match,
                false => noun(&target.column).map_or(Topic::Neutral, Topic::Named),
            }
        }
        Some(relation) => Topic::Relation(relation),
    }
}

fn single_topic(column: &str, any_label: impl Fn(&[&str]) -> bool) -> Topic {
    if has_word(column, &OPINION_WORDS) || any_label(&OPINION_LABELS) {
        Topic::Opinion
    } else if has_word(column, &SUBJECT_WORDS) {
        Topic::Subject
    } else {
        noun(column).map_or(Topic::Neutral, Topic::Named)
    }
}

/// The name of a column as a noun for templates, unless it says nothing.
fn noun(column: &str) -> Option<String> {
    let mut words = words(column);
    words.retain(|word| !["is", "has", "label", "class", "id", "y"].contains(&word.as_str()));
    let noun = words.join(" ");
    let is_word = noun.chars().filter(|c| c.is_alphabetic()).count() >= 3
        && noun.chars().all(|c| c.is_alphabetic() || c == ' ')
        && noun.chars().count() <= MAX_NOUN_CHARS;
    (is_word && !GENERIC.contains(&noun.as_str())).then_some(noun)
}

/// Seven templates: six to train on, the canonical one first, and one that is held out.
pub fn templates(fields: &Fields, topic: &Topic) -> Vec<TemplatePlan> {
    let texts = match fields.relation {
        Some(_) => pair(&PairBody::of(&fields.fields), topic),
        None => single(&Body::of(&fields.fields), topic),
    };
    let last = texts.len() - 1;
    let plan = |(at, (id, text))| TemplatePlan { id, text, held_out: at == last };
    texts.into_iter().enumerate().map(plan).collect()
}

type Texts = [(&'static str, String); 7];

/// The fields of one example, as templates put them.
struct Body {
    /// One after the other.
    plain: String,
    /// As `plain`, without punctuation at the end.
    open: String,
    /// Each after its name, where there are several.
    named: String,
}

impl Body {
    fn of(fields: &[FieldPlan]) -> Self {
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

fn joined(parts: impl Iterator<Item = String>) -> String {
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

/// The two sides of a pair, as templates put them.
struct PairBody {
    left: String,
    right: String,
    /// Each field after its name without the side's mark, where that helps.
    first: String,
    second: String,
}

/// Fields of a side that templates name; more would be more names than text.
const MAX_NAMED: usize = 3;

impl PairBody {
    fn of(fields: &[FieldPlan]) -> Self {
        let of_side = |wanted: Side| -> Vec<FieldPlan> {
            fields.iter().filter(|field| field.side == wanted).cloned().collect()
        };
        let shared = Body::of(&of_side(Side::Shared));
        let (left, right) = (Body::of(&of_side(Side::Left)), Body::of(&of_side(Side::Right)));
        let named = |side: Side, body: &Body| match of_side(side).len() {
            2..=MAX_NAMED => body.named.clone(),
            _ => body.plain.clone(),
        };
        let before = |body: &str| {
            joined(
                [&shared.plain, body]
                    .into_iter()
                    .filter(|text| !text.is_empty())
                    .map(str::to_owned),
            )
        };
        Self {
            first: before(&named(Side::Left, &left)),
            second: named(Side::Right, &right),
            left: before(&left.plain),
            right: right.plain,
        }
    }
}

fn pair(body: &PairBody, topic: &Topic) -> Texts {
    let PairBody { left, right, first, second } = body;
    let mask_first = ("mask-first", format!("{{mask}}: {left} {{sep}} {right}"));
    let between = ("between", format!("{left} {{mask}} {{sep}} {right}"));
    match topic {
        Topic::Match => [
            ("they-are", format!("{left} {{sep}} {right} They are {{mask}}.")),
            mask_first,
            between,
            ("compared", format!("Compared with {left}, {{sep}} {right} is the {{mask}} thing.")),
            (
                "same-or-different",
                format!("One: {first} {{sep}} Two: {second} Same or different? {{mask}}."),
            ),
            ("equal", format!("Equal? {{mask}}! {left} {{sep}} {right}")),
            ("the-pair", format!("The pair {left} {{sep}} and {right} is {{mask}}.")),
        ],
        Topic::Relation(Relation::Relevance) => [
            ("result-is", format!("{left} {{sep}} {right} This result is {{mask}}.")),
            mask_first,
            between,
            (
                "looks-for",
                format!("Somebody looks for {left} {{sep}} and finds {right}, which is {{mask}}."),
            ),
            (
                "query-result",
                format!("Query: {first} {{sep}} Result: {second} Relevance: {{mask}}."),
            ),
            ("does-it-fit", format!("Does it fit? {{mask}}! {left} {{sep}} {right}")),
            (
                "for-the-query",
                format!("For the query {left} {{sep}} the result {right} is {{mask}}."),
            ),
        ],
        Topic::Relation(Relation::Entailment) => [
            ("it-follows", format!("{left} {{sep}} {right} Does it follow? {{mask}}.")),
            mask_first,
            between,
            ("if-then", format!("If {left}, {{sep}} then {right}? {{mask}}.")),
            ("verdict", format!("Statement: {first} {{sep}} Claim: {second} Verdict: {{mask}}.")),
            ("given", format!("Given this, {{mask}}! {left} {{sep}} {right}")),
            ("one-would-say", format!("From {left} {{sep}} one would say {{mask}} to {right}")),
        ],
        Topic::Relation(Relation::Answer) => [
            ("the-answer-is", format!("{left} {{sep}} {right} This answer is {{mask}}.")),
            mask_first,
            between,
            (
                "asked",
                format!(
                    "Somebody asked: {left} {{sep}} The answer was {right}, which is {{mask}}."
                ),
            ),
            (
                "question-answer",
                format!("Question: {first} {{sep}} Answer: {second} Verdict: {{mask}}."),
            ),
            ("is-it", format!("Is that the answer? {{mask}}! {left} {{sep}} {right}")),
            (
                "to-the-question",
                format!("To the question {left} {{sep}} the reply {right} is {{mask}}."),
            ),
        ],
        other => neutral_pair(body, mask_first, between, other),
    }
}

fn neutral_pair(
    PairBody { left, right, first, second }: &PairBody,
    mask_first: (&'static str, String),
    between: (&'static str, String),
    topic: &Topic,
) -> Texts {
    let noun = match topic {
        Topic::Named(noun) => capitalised(noun),
        _ => "Answer".to_owned(),
    };
    [
        ("answer", format!("{left} {{sep}} {right} {noun}: {{mask}}.")),
        mask_first,
        between,
        ("compare", format!("Compare {left} {{sep}} with {right}: {{mask}}.")),
        ("one-two", format!("One: {first} {{sep}} Two: {second} {noun}? {{mask}}.")),
        ("answer-first", format!("{noun} {{mask}} - {left} {{sep}} {right}")),
        ("one-would-say", format!("Of {left} {{sep}} and {right} one would say {{mask}}.")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::target::LabelCount;

    fn target(column: &str, labels: &[&str]) -> TargetPlan {
        let labels: Vec<LabelCount> =
            labels.iter().map(|name| LabelCount { name: (*name).to_owned(), rows: 9 }).collect();
        let answers = match labels.is_empty() {
            true => Answers::Regression { min: 0.0, max: 1.0 },
            false => Answers::Classification { labels, positive: None },
        };
        let (column, reason) = (column.to_owned(), String::new());
        TargetPlan { column, at: 0, answers, reason, variants: Vec::new(), named: false }
    }

    #[test]
    fn the_topic_follows_from_names() {
        let named = |noun: &str| Topic::Named(noun.to_owned());
        for (column, labels, relation, expected) in [
            ("stars", vec!["1", "5"], None, Topic::Opinion),
            ("label", vec!["negative", "positive"], None, Topic::Opinion),
            ("label", vec!["0", "1"], None, Topic::Neutral),
            ("product_category", vec!["a", "b"], None, Topic::Subject),
            ("is_spam", vec!["0", "1"], None, named("spam")),
            ("intent", vec!["a", "b"], None, named("intent")),
            ("price", vec![], None, named("price")),
            ("score", vec![], None, Topic::Neutral),
            ("label", vec!["0", "1"], Some(Relation::Alike), Topic::Match),
            ("is_duplicate", vec!["0", "1"], Some(Relation::Alike), Topic::Match),
            ("similarity", vec![], Some(Relation::Alike), Topic::Match),
            ("label", vec!["a", "b", "c"], Some(Relation::Alike), Topic::Neutral),
            (
                "label",
                vec!["contradiction", "entailment", "neutral"],
                Some(Relation::Alike),
                Topic::Relation(Relation::Entailment),
            ),
            ("x", vec!["0", "1"], Some(Relation::Relevance), Topic::Relation(Relation::Relevance)),
        ] {
            assert_eq!(topic(&target(column, &labels), relation), expected, "{column} {labels:?}");
        }
    }

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
