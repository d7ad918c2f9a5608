//! A task that is to be trained, with its examples.

use std::sync::Arc;

use crate::{
    dataset::Dataset,
    evaluation::Metric,
    prompt::{ClassWeights, InferenceMode, TaskFile},
};

/// One task of a job.
pub struct JobTask {
    pub file: Arc<TaskFile>,
    /// The task file's path, for messages.
    pub path: String,
    pub train: Dataset,
    pub dev: Option<Dataset>,
    pub class_weights: ClassWeights,
    /// The figure by which a step is kept.
    pub metric: Metric,
    /// Templates that answer by default; `None` for what the task file says.
    pub inference: Option<InferenceMode>,
}

impl JobTask {
    /// A task with the class weights and the metric of its file, or the usual ones.
    pub fn new(file: Arc<TaskFile>, path: String, train: Dataset, dev: Option<Dataset>) -> Self {
        let class_weights = file.class_weights.unwrap_or_default();
        let metric = Self::usual_metric(&file, &train);
        Self { file, path, train, dev, class_weights, metric, inference: None }
    }

    /// The metric that the task file names, or the one that says most about such data.
    pub fn usual_metric(file: &TaskFile, train: &Dataset) -> Metric {
        let by_data = || Metric::for_task(&file.task.kind, file.positive, &train.targets()).metric;
        file.metric.unwrap_or_else(by_data)
    }
}
