//! From examples to predictions, synchronously. Training, evaluation and the server all predict
//! through here.

mod calibration;
mod device;
mod encoder;
mod head;
mod model;
mod onnx_runtime;
mod predictor;
mod reading;

pub use calibration::Calibration;
pub use device::{Chosen, CudaDevice, CudaLack, CudaRefused, Device, Wish};
pub use encoder::{Encoder, EncoderError, EncoderSource, Runtime};
pub use head::{Activation, Dense, Head, HeadError, Layer, PairSimilarity, Scaling};
pub use model::{LoadError, Model, ServedTask, language_head, load_tokenizer};
pub use onnx_runtime::RuntimeNotFound;
pub use predictor::{
    MaskEncoder, PredictError, SelectionError, TaskPredictor, TemplateChoice, encode_all, predict,
    predict_each, read_each,
};
pub use reading::Reading;

#[cfg(test)]
pub use predictor::tests;
