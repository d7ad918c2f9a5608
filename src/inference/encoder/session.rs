//! Sessions of an encoder.

use std::sync::Arc;

use ort::session::{
    Session,
    builder::{GraphOptimizationLevel, SessionBuilder},
};

use super::{
    super::device::Device,
    Encoder, EncoderError, EncoderSource, Inputs, cuda,
    feeds::Feeds,
    padded::Padded,
    source::{NOWHERE, has_exact_8_bit_products},
};
/// The directory in which a graph that is given as bytes looks for its matrices.
const WEIGHTS_DIRECTORY: &str = "session.model_external_initializers_file_folder_path";

/// Whether weights are allocated outside of the arena that a session computes in.
const WEIGHTS_BESIDE_ARENA: &str = "session.use_device_allocator_for_initializers";

impl EncoderSource {
    /// A new session, which computes with so many threads.
    ///
    /// # Errors
    ///
    /// If ONNX Runtime refuses the graph, or it is none of ours.
    pub fn session(&self, intra_op_threads: usize) -> Result<Encoder, EncoderError> {
        let name = || self.path.clone();
        let session = self
            .commit(intra_op_threads)
            .map_err(|source| EncoderError::Load { path: name(), source })?;
        let inputs = match &self.foreign {
            None => Inputs::Packed(Feeds::new(&self.architecture)),
            Some(graph) => Inputs::Padded(Padded::new(graph, self.architecture.segment_types > 1)),
        };
        let has = |input: &str| session.inputs().iter().any(|known| known.name() == input);
        if let Some(input) = inputs.names().into_iter().find(|input| !has(input)) {
            return Err(EncoderError::Input { path: name(), input });
        }
        Ok(Encoder {
            session,
            _weights: self.weights.clone(),
            hidden_size: self.architecture.hidden_size,
            device: self.device,
            inputs,
        })
    }

    fn commit(&self, intra_op_threads: usize) -> ort::Result<Session> {
        let builder = self.builder(intra_op_threads)?;
        let mut builder = match self.device {
            Device::Cpu if self.foreign.is_none() => self.share(builder)?,
            // The optimiser looks at the numbers of a graph that it does not know; and those that it
            // leaves as they are, sessions share.
            Device::Cpu => self.share(self.hand_over(builder)?)?,
            Device::Cuda(gpu) => self.hand_over(cuda::on_gpu(builder, gpu)?)?,
        };
        // From memory: what was checked is what is run.
        builder.commit_from_memory(&self.graph)
    }

    /// What sessions on all devices have in common.
    fn builder(&self, intra_op_threads: usize) -> ort::Result<SessionBuilder> {
        let builder = Session::builder(&self.runtime.environment)?
            .with_optimization_level(GraphOptimizationLevel::Level3)?
            .with_intra_threads(intra_op_threads)?
            // An idle server must not burn its cores.
            .with_intra_op_spinning(false)?
            // Every batch has another shape; a plan for each would only collect memory.
            .with_memory_pattern(false)?
            .with_config_entry(WEIGHTS_DIRECTORY, NOWHERE.0)?;
        Ok(builder)
    }

    /// Sessions on the CPU compute in one arena with one copy of the weights.
    fn share(&self, mut builder: SessionBuilder) -> ort::Result<SessionBuilder> {
        builder = builder
            .with_env_allocators()?
            // The arena gives nothing back; what a session holds for its whole life lies beside it.
            .with_config_entry(WEIGHTS_BESIDE_ARENA, "1")?
            .with_prepacked_weights(&self.prepacked)?;
        if !has_exact_8_bit_products() {
            builder = builder.with_precise_qmm()?;
        }
        for (name, value) in &self.matrices {
            builder = builder.with_initializer(name, Arc::clone(value))?;
        }
        Ok(builder)
    }

    /// A session elsewhere takes a copy of the weights. Initialisers that are shared have to lie where
    /// they are computed with; these take the place of those in the file.
    fn hand_over(&self, mut builder: SessionBuilder) -> ort::Result<SessionBuilder> {
        for (name, value) in &self.matrices {
            builder = builder.with_external_initializer(name, Arc::clone(value))?;
        }
        Ok(builder)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        export::to_onnx,
        inference::{Encoder, EncoderSource, MaskEncoder, Runtime},
        tokenization::Prompt,
        weights::{Precision, tests::small},
    };

    use super::*;

    fn vectors(session: Session, source: &EncoderSource) -> Vec<f32> {
        let prompt = Prompt {
            input_ids: vec![1, 7, 3, 2],
            segment_ids: vec![0, 0, 1, 1],
            mask_position: 2,
            truncated: false,
        };
        let short = Prompt { input_ids: vec![4], segment_ids: vec![0], mask_position: 0, ..prompt };
        let mut encoder = Encoder {
            session,
            _weights: source.weights.clone(),
            hidden_size: source.architecture.hidden_size,
            device: source.device,
            inputs: Inputs::Packed(Feeds::new(&source.architecture)),
        };
        encoder.mask_vectors(&[&prompt, &short]).expect("vectors")
    }

    fn source(precision: Precision) -> EncoderSource {
        let runtime = Runtime::load(None).expect("ONNX Runtime: `make test` fetches it");
        let directory = tempfile::tempdir().expect("a directory");
        let (weights, path) = (small(), directory.path().join("encoder.onnx"));
        let files = to_onnx(&weights, precision, "encoder.weights");
        std::fs::write(&path, &files.graph).expect("written");
        std::fs::write(directory.path().join("encoder.weights"), &files.weights).expect("written");
        EncoderSource::open(&runtime, &path, &weights.architecture).expect("opened")
    }

    #[test]
    fn eight_bits_are_for_cpus() {
        let gpu = Device::Cuda(Default::default());
        let error = source(Precision::Int8).on(gpu).err().expect("refused").to_string();
        assert!(error.contains("encoder.onnx has its matrices in 8 bits"), "{error}");
        assert!(source(Precision::Int8).on(Device::Cpu).is_ok());
        assert!(source(Precision::Fp16).on(gpu).is_ok());
    }

    /// What a GPU is given, on the CPU.
    #[test]
    fn weights_that_are_handed_over_are_those_that_are_shared() {
        for precision in [Precision::Fp32, Precision::Fp16] {
            let source = source(precision);
            let shared = source.commit(1).expect("a session");
            let builder = source.builder(1).and_then(|builder| source.hand_over(builder));
            let handed_over = builder
                .and_then(|mut builder| builder.commit_from_memory(&source.graph))
                .expect("a session");
            assert_eq!(vectors(handed_over, &source), vectors(shared, &source), "{precision:?}");
        }
    }
}
