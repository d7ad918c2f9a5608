use super::*;

fn directory(config: &str, tensors: Option<&[u8]>) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("config.json"), config).expect("written");
    std::fs::write(directory.path().join("tokenizer.json"), "{}").expect("written");
    if let Some(bytes) = tensors {
        std::fs::write(directory.path().join("model.safetensors"), bytes).expect("written");
    }
    directory
}

const CONFIG: &str = r#"{"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 12, "vocab_size": 20,
    "max_position_embeddings": 16, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
    "transformers_version": "4.0"}"#;

fn check(config: &str, tensors: Option<&[u8]>, words: &str) {
    let directory = directory(config, tensors);
    let error = read(directory.path()).expect_err(words).to_string();
    assert!(error.contains(words), "{error}");
    assert!(error.contains(&directory.path().display().to_string()), "{error} names the file");
}

#[test]
fn directories_that_are_no_bert_say_why() {
    check("{", None, "config.json");
    check("{}", None, "model_type \"none\"");
    check(r#"{"model_type": "roberta"}"#, None, "model_type \"roberta\"");
    check(r#"{"model_type": "bert"}"#, None, "hidden_size");
    check(&CONFIG.replace(": 2, \"inter", ": 3, \"inter"), None, "not a multiple");
    check(&CONFIG.replace("\"bert\"", "\"bert\", \"hidden_act\": \"relu\""), None, "relu");
    check(CONFIG, None, "model.safetensors");
    check(CONFIG, Some(b"garbage"), "no safetensors");
}

#[test]
fn tensors_of_the_wrong_shape_or_type_are_named() {
    use safetensors::{Dtype, tensor::TensorView};
    let file = |shape: Vec<usize>, dtype, bytes: usize| {
        let data = vec![0; bytes];
        let view = TensorView::new(dtype, shape, &data).expect("sizes agree");
        safetensors::serialize([("bert.embeddings.word_embeddings.weight", view)], None)
            .expect("serialised")
    };
    check(CONFIG, Some(&file(vec![20, 4], Dtype::F32, 320)), "[20, 4], expected [20, 8]");
    check(CONFIG, Some(&file(vec![20, 8], Dtype::I8, 160)), "I8");
    let half = file(vec![20, 8], Dtype::F16, 320);
    check(CONFIG, Some(&half), "no parameter embeddings.position_embeddings.weight");
}
