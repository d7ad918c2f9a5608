//! Requests that are refused, and how exactly.

use std::time::Instant;

use dynamar::server::proto::{self, inference_client::InferenceClient, options::TemplateMode};
use tokio::time;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;

use crate::{
    judge::{Circumstances, reason},
    proxy::Line,
    scene::{MAX_MESSAGE_BYTES, PATIENCE, Scene},
    stage::{classify, example, options, regress, texts},
    tables::Dice,
};

/// What must come of it.
struct Refusal {
    code: Code,
    reason: &'static str,
    /// What is wrong with the request.
    paths: &'static [&'static str],
}

const fn invalid(reason: &'static str, paths: &'static [&'static str]) -> Refusal {
    Refusal { code: Code::InvalidArgument, reason, paths }
}

enum Request {
    Classify(proto::ClassifyRequest),
    Regress(proto::RegressRequest),
}

/// A request with something wrong, by its number.
fn draw(dice: &mut Dice) -> (&'static str, Request, Refusal) {
    let mut polarity = classify("polarity", texts(&["fine"]));
    match dice.roll(8) {
        0 => {
            let wrong = invalid("INVALID_REQUEST", &["examples[1].fields.text"]);
            ("polarity", Request::Classify(classify("polarity", texts(&["fine", " "]))), wrong)
        }
        1 => {
            let wrong = invalid("INVALID_REQUEST", &["examples"]);
            ("match", Request::Classify(classify("match", vec![])), wrong)
        }
        2 => {
            polarity.options = options(TemplateMode::Single, &["nope"]);
            let wrong = invalid("INVALID_REQUEST", &["options.template_ids[0]"]);
            ("polarity", Request::Classify(polarity), wrong)
        }
        3 => {
            let odd = vec![example(&[("text", "fine"), ("colour", "red")])];
            let wrong = invalid("INVALID_REQUEST", &["examples[0].fields.colour"]);
            ("intensity", Request::Regress(regress("intensity", odd)), wrong)
        }
        4 => {
            // More different prompts than may ever wait.
            let many: Vec<String> =
                (0..250).map(|at| format!("{at} {}", "a ".repeat(40))).collect();
            let many: Vec<&str> = many.iter().map(String::as_str).collect();
            let wrong = invalid("CALL_TOO_LARGE", &["examples"]);
            ("polarity", Request::Classify(classify("polarity", texts(&many))), wrong)
        }
        5 => {
            let refusal = Refusal {
                code: Code::FailedPrecondition,
                reason: "WRONG_KIND_OF_TASK",
                paths: &[],
            };
            ("polarity", Request::Regress(regress("polarity", texts(&["fine"]))), refusal)
        }
        6 => {
            let refusal = Refusal { code: Code::NotFound, reason: "UNKNOWN_TASK", paths: &[] };
            ("", Request::Classify(classify("polarities", texts(&["fine"]))), refusal)
        }
        _ => {
            let large = "x".repeat(2 * MAX_MESSAGE_BYTES);
            // By tonic, before the message is read.
            let refusal = Refusal { code: Code::OutOfRange, reason: "", paths: &[] };
            ("", Request::Classify(classify("polarity", texts(&[&large]))), refusal)
        }
    }
}

/// Asks something wrong, and sees that it is refused as it must be.
pub async fn ask(
    scene: &Scene,
    client: &mut InferenceClient<Channel>,
    line: Option<&Line>,
    dice: &mut Dice,
) {
    let (task, request, refusal) = draw(dice);
    let begun = Instant::now();
    let asked = async {
        match request {
            Request::Classify(request) => client.classify(request).await.map(drop),
            Request::Regress(request) => client.regress(request).await.map(drop),
        }
    };
    let status = match time::timeout(PATIENCE, asked).await {
        Err(_) => return scene.tally.failed(format!("a wrong request of {task:?} hangs")),
        Ok(Ok(())) => {
            return scene.tally.failed(format!("a wrong request of {task:?} is answered"));
        }
        Ok(Err(status)) => status,
    };
    if is_told(&status, &refusal) {
        return scene.tally.outcome("refused as invalid");
    }
    let tasks = Vec::from_iter((!task.is_empty()).then_some(task));
    let circumstances = Circumstances { begun, tasks, deadline: None, line };
    match circumstances.judge(scene, &status) {
        // Whoever cannot be served now is told before the request is looked at.
        Ok(counted) => scene.tally.outcome(counted),
        Err(_) => {
            let Refusal { code, reason, paths } = refusal;
            scene.tally.failed(format!(
                "a wrong request of {task:?}, expected {code:?} {reason} {paths:?}: {status:?}"
            ));
        }
    }
}

fn is_told(status: &Status, refusal: &Refusal) -> bool {
    let details = status.get_error_details();
    let violations = details.bad_request().map(|bad| &bad.field_violations);
    let paths = violations.into_iter().flatten().map(|violation| violation.field.as_str());
    status.code() == refusal.code
        && reason(status) == refusal.reason
        && paths.eq(refusal.paths.iter().copied())
}
