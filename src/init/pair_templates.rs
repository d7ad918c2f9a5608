//! Templates of pairs: both sides with a separator between them. Pure.

use super::{
    fields::FieldPlan,
    names::capitalised,
    pairs::{Relation, Side},
    templates::{Body, Texts, joined},
    topic::Topic,
};

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

/// Seven templates of a pair with these fields.
pub fn of(fields: &[FieldPlan], topic: &Topic) -> Texts {
    let body = &PairBody::of(fields);
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
