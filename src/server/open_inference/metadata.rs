//! What a model takes and answers.

use super::{
    outputs::OutputTensor,
    proto::{ModelMetadataResponse, model_metadata_response::TensorMetadata},
};
use crate::registry::{Registry, Route};

/// The protocol's name for what ONNX Runtime runs.
const PLATFORM: &str = "onnx_onnxv1";

/// Any number of examples.
const ANY: i64 = -1;

/// The name by which a task is asked, of this version or checkpoint unless it is empty.
pub(super) fn task_name(model: &str, version: &str) -> String {
    match version {
        "" => model.to_owned(),
        _ => format!("{model}@{version}"),
    }
}

/// A task, with the versions of it that this registry has.
pub(super) fn model(route: &Route, registry: &Registry) -> ModelMetadataResponse {
    let task = &route.task.predictor.file.task;
    let input = |name: &String| TensorMetadata {
        name: name.clone(),
        datatype: "BYTES".to_owned(),
        shape: vec![ANY],
    };
    let output = |output: &OutputTensor| TensorMetadata {
        name: output.name().to_owned(),
        datatype: output.datatype().to_owned(),
        shape: output.shape(task, ANY, 0),
    };
    ModelMetadataResponse {
        name: task.name.clone(),
        versions: versions(&task.name, registry),
        platform: PLATFORM.to_owned(),
        inputs: task.fields.iter().map(|field| input(&field.name)).collect(),
        outputs: OutputTensor::of(&task.kind).iter().map(output).collect(),
    }
}

/// The versions of a task, and the id of the checkpoint that has none, if there is such a one.
fn versions(task: &str, registry: &Registry) -> Vec<String> {
    let version_of = |route: &Route| -> Option<String> {
        let (name, version) = route.name().split_once('@')?;
        (name == task).then(|| version.to_owned())
    };
    let versioned = || registry.routes().filter(|route| version_of(route).is_some());
    let default = registry.routes().find(|route| route.name() == task);
    let nameless =
        default.filter(|route| !versioned().any(|other| other.checkpoint == route.checkpoint));
    let nameless = nameless.map(|route| route.checkpoint.clone());
    nameless.into_iter().chain(versioned().filter_map(version_of)).collect()
}
