//! What depends on how the large matrices are stored: linear layers and the word embeddings.
//!
//! 8-bit products are computed with a scale for each row of activations, found at run time. A scale
//! for the whole batch, as `DynamicQuantizeLinear` gives it, would be a little faster, but then an
//! answer would depend on who shares the batch, and one outlier would cost everybody precision.

use super::{
    super::{
        messages::{DataType, Tensor},
        quantize::{LEVELS, Scales},
    },
    nodes::{Nodes, ONNX_RUNTIME, int, tensor},
};
use crate::{
    architecture::{Architecture, GraphInput},
    weights::Precision,
};

/// What stands for 0 in unsigned 8-bit activations.
const ZERO_POINT: u8 = 128;

/// The least scale of a row: one of zeros alone must not divide by zero.
const LEAST_SCALE: f32 = 1e-20;

/// Ends the names of matrices that are stored as 16-bit floats.
pub(in super::super) const FP16_SUFFIX: &str = ".fp16";

/// Ends the names of matrices that are stored as 8-bit integers.
pub(in super::super) const INT8_SUFFIX: &str = ".int8";

impl Nodes<'_> {
    /// The embeddings of the words in the batch, `[tokens, hidden]`.
    pub fn words(&mut self) -> String {
        const NAME: &str = Architecture::WORD_EMBEDDINGS;
        let ids = GraphInput::InputIds.name();
        let output = "embeddings/word";
        let Some(array) = self.weights.get(NAME) else { return output.to_owned() };
        match self.precision {
            Precision::Fp32 => {
                self.store.fp32(NAME, array);
                self.gather(NAME, ids, output)
            }
            Precision::Fp16 => {
                let stored = format!("{NAME}{FP16_SUFFIX}");
                self.store.fp16(&stored, array);
                let rows = self.gather(&stored, ids, "embeddings/word_fp16");
                self.cast_to_float(&rows, output)
            }
            Precision::Int8 => {
                let (stored, scale) = (format!("{NAME}{INT8_SUFFIX}"), format!("{NAME}.scale"));
                self.store.int8(&stored, &scale, array, Scales::Rows);
                let rows = self.gather(&stored, ids, "embeddings/word_int8");
                let rows = self.cast_to_float(&rows, "embeddings/word_levels");
                let scales = self.gather(&scale, ids, "embeddings/word_scales");
                self.node("Mul", &[&rows, &scales], output, vec![])
            }
        }
    }

    /// `x·W + b` with the parameters `name.weight` and, where the encoder has it, `name.bias`.
    pub fn linear(&mut self, x: &str, name: &str, scope: &str) -> String {
        let weight = format!("{name}.weight");
        let bias = self.bias(name);
        let short = name.rsplit('.').next().unwrap_or(name);
        let output = format!("{scope}/{short}_linear");
        let weight = match self.precision {
            Precision::Fp32 => self.parameter(&weight),
            Precision::Fp16 => {
                let stored = format!("{weight}{FP16_SUFFIX}");
                match self.weights.get(&weight) {
                    // Layers may share their weights.
                    Some(array) if !self.store.has(&stored) => {
                        self.store.fp16(&stored, array);
                        self.cast_to_float(&stored, &weight)
                    }
                    _ => weight,
                }
            }
            Precision::Int8 => return self.linear_int8(x, &weight, bias.as_deref(), &output),
        };
        let inputs: Vec<&str> = [x, &weight].into_iter().chain(bias.as_deref()).collect();
        self.node("Gemm", &inputs, &output, vec![])
    }

    fn linear_int8(&mut self, x: &str, weight: &str, bias: Option<&str>, output: &str) -> String {
        let (stored, scale) = (format!("{weight}{INT8_SUFFIX}"), format!("{weight}.scale"));
        if let Some(array) = self.weights.get(weight)
            && !self.store.has(&stored)
        {
            self.store.int8(&stored, &scale, array, Scales::Columns);
        }
        let (rows, row_scales) = self.quantize_rows(x);
        // The scale of a row cannot be told to the product, which takes one for the whole of its
        // left side: it computes with 1, and the rows are scaled after it.
        let one = self.scalar("quantize/one", 1.0);
        let zero = self.constant("quantize/zero_point", vec![], DataType::Uint8, vec![ZERO_POINT]);
        let product = self.node_of(
            ONNX_RUNTIME,
            "MatMulIntegerToFloat",
            &[&rows, &stored, &one, &scale, &zero],
            &format!("{output}_product"),
            vec![],
        );
        let Some(bias) = bias else {
            return self.node("Mul", &[&product, &row_scales], output, vec![]);
        };
        let scaled =
            self.node("Mul", &[&product, &row_scales], &format!("{output}_scaled"), vec![]);
        self.node("Add", &[&scaled, bias], output, vec![])
    }

    /// `x`, `[rows, width]`, as unsigned 8-bit integers, and the scale of each row, `[rows, 1]`.
    fn quantize_rows(&mut self, x: &str) -> (String, String) {
        if let Some(done) = self.quantized.get(x) {
            return done.clone();
        }
        let name = |part: &str| format!("{x}/{part}");
        let axis = self.integers("quantize/last_axis", &[-1]);
        let step = self.scalar("quantize/step", 1.0 / LEVELS);
        let least = self.scalar("quantize/least_scale", LEAST_SCALE);
        let sizes = self.node("Abs", &[x], &name("sizes"), vec![]);
        let largest =
            self.node("ReduceMax", &[&sizes, &axis], &name("largest"), vec![int("keepdims", 0)]);
        let scales = self.node("Mul", &[&largest, &step], &name("steps"), vec![]);
        let scales = self.node("Max", &[&scales, &least], &name("scales"), vec![]);
        let zero_points = self.zero_points(&scales, &name("zero_points"));
        let attributes = vec![int("axis", 0)];
        let rows = self.node(
            "QuantizeLinear",
            &[x, &scales, &zero_points],
            &name("quantized"),
            attributes,
        );
        let column = self.reshape(&scales, "quantize/column", &[-1, 1], &name("row_scales"));
        self.quantized.insert(x.to_owned(), (rows.clone(), column.clone()));
        (rows, column)
    }

    /// As many zero points as there are scales.
    fn zero_points(&mut self, scales: &str, output: &str) -> String {
        let shape = self.node("Shape", &[scales], &format!("{output}_shape"), vec![]);
        let value = Tensor {
            dims: vec![1],
            data_type: DataType::Uint8 as i32,
            raw_data: vec![ZERO_POINT],
            ..Tensor::default()
        };
        self.node("ConstantOfShape", &[&shape], output, vec![tensor("value", value)])
    }

    fn cast_to_float(&mut self, x: &str, output: &str) -> String {
        self.node("Cast", &[x], output, vec![int("to", DataType::Float as i64)])
    }
}
