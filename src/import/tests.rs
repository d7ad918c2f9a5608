use super::*;

fn directory(config: &str, tensors: Option<&[u8]>) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("config.json"), config).expect("written");
    std::fs::write(directory.path().join("tokenizer.json"), TOKENIZER).expect("written");
    if let Some(bytes) = tensors {
        std::fs::write(directory.path().join("model.safetensors"), bytes).expect("written");
    }
    directory
}

const CONFIG: &str = r#"{"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 12, "vocab_size": 20,
    "max_position_embeddings": 16, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
    "transformers_version": "4.0"}"#;

/// Five words, framed as BERT's are.
const TOKENIZER: &str = r#"{"version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [
        {"id": 1, "content": "[CLS]", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true},
        {"id": 2, "content": "[SEP]", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true},
        {"id": 3, "content": "[MASK]", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true}],
    "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "decoder": null,
    "post_processor": {"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
        "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
            {"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
        "special_tokens": {
            "[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]},
            "[SEP]": {"id": "[SEP]", "ids": [2], "tokens": ["[SEP]"]}}},
    "model": {"type": "WordLevel", "unk_token": "[UNK]",
        "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "[MASK]": 3, "a": 4}}}"#;

fn check(config: &str, tensors: Option<&[u8]>, words: &str) {
    let directory = directory(config, tensors);
    let error = read(directory.path()).expect_err(words).to_string();
    assert!(error.contains(words), "{error}");
    assert!(error.contains(&directory.path().display().to_string()), "{error} names the file");
}

#[test]
fn directories_of_no_encoder_say_why() {
    check("{", None, "config.json");
    check("{}", None, "model_type is missing: add it");
    let unknown = r#"{"model_type": "bloom", "architectures": ["BloomForCausalLM"]}"#;
    check(unknown, None, "no mask token; supported are: bert, roberta, xlm-roberta");
    check(r#"{"model_type": "bert"}"#, None, "type_vocab_size");
    check(&CONFIG.replace(": 2, \"inter", ": 3, \"inter"), None, "not a multiple");
    check(&CONFIG.replace("\"bert\"", "\"bert\", \"hidden_act\": \"silu\""), None, "silu");
    check(CONFIG, None, "model.safetensors");
    check(CONFIG, Some(b"garbage"), "no safetensors");
}

#[test]
fn tensors_that_are_missing_or_of_the_wrong_shape_are_named() {
    let check = |change: &dyn Fn(&mut Tensors), words: &str| {
        let directory = complete(change);
        let error = read(directory.path()).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    };
    let words = "bert.embeddings.word_embeddings.weight";
    let shape = "bert.embeddings.word_embeddings.weight has shape [40, 4], expected [20, 8]";
    check(&|tensors| tensors.get_mut(words).expect("there").0 = vec![40, 4], shape);
    let key = "bert.encoder.layer.0.attention.self.key.bias";
    check(&|tensors| drop(tensors.remove(key)), "encoder.layer.0.attention.self.key.bias");
    check(
        &|tensors| tensors.retain(|name, _| name.contains("embeddings")),
        "encoder.layer.0.attention.self.query.weight, encoder.layer.0.attention.self.query.bias",
    );
}

/// The small encoder as a directory of Hugging Face, with these changes to its tensors.
fn complete(change: impl FnOnce(&mut Tensors)) -> tempfile::TempDir {
    let mut tensors = Tensors::new();
    let mut put = |name: String, shape: Vec<usize>| {
        let at = tensors.len() as f32;
        let count = shape.iter().product::<usize>();
        // Different in every place.
        let data = (0..count).map(|i| (at + i as f32 * 0.1).sin()).collect();
        tensors.insert(name, (shape, data));
    };
    for (name, shape) in [
        ("embeddings.word_embeddings.weight", vec![20, 8]),
        ("embeddings.position_embeddings.weight", vec![16, 8]),
        ("embeddings.token_type_embeddings.weight", vec![2, 8]),
        ("embeddings.LayerNorm.weight", vec![8]),
        ("embeddings.LayerNorm.bias", vec![8]),
    ] {
        put(format!("bert.{name}"), shape);
    }
    for (name, out, width) in [
        ("attention.self.query", 8, 8),
        ("attention.self.key", 8, 8),
        ("attention.self.value", 8, 8),
        ("attention.output.dense", 8, 8),
        ("intermediate.dense", 12, 8),
        ("output.dense", 8, 12),
    ] {
        put(format!("bert.encoder.layer.0.{name}.weight"), vec![out, width]);
        put(format!("bert.encoder.layer.0.{name}.bias"), vec![out]);
    }
    for name in ["attention.output.LayerNorm", "output.LayerNorm"] {
        put(format!("bert.encoder.layer.0.{name}.weight"), vec![8]);
        put(format!("bert.encoder.layer.0.{name}.bias"), vec![8]);
    }
    for (name, shape) in [
        ("transform.dense.weight", vec![8, 8]),
        ("transform.dense.bias", vec![8]),
        ("transform.LayerNorm.gamma", vec![8]),
        ("transform.LayerNorm.beta", vec![8]),
        ("bias", vec![20]),
    ] {
        put(format!("cls.predictions.{name}"), shape);
    }
    change(&mut tensors);
    directory(CONFIG, Some(&serialised(&tensors)))
}

/// Shape and values of each tensor.
type Tensors = std::collections::BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn serialised(tensors: &Tensors) -> Vec<u8> {
    use safetensors::{Dtype, tensor::TensorView};
    let bytes: Vec<Vec<u8>> = tensors
        .values()
        .map(|(_, data)| data.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, (shape, _)), bytes)| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("sizes agree"))
    });
    safetensors::serialize(views, None).expect("serialised")
}

#[test]
fn a_language_head_is_kept_in_our_layout() {
    let mut source = Tensors::new();
    let directory = complete(|tensors| {
        let words = tensors["bert.embeddings.word_embeddings.weight"].clone();
        tensors.insert("cls.predictions.decoder.weight".to_owned(), words);
        source = tensors.clone();
    });
    let imported = read(directory.path()).expect("complete");
    assert_eq!(imported.notes, [""; 0]);
    let head = imported.language_head.expect("it is there");
    let theirs = |name: &str| source[&format!("cls.predictions.{name}")].1.clone();
    let dense = theirs("transform.dense.weight");
    let turned: Vec<f32> = (0..64).map(|at| dense[at % 8 * 8 + at / 8]).collect();
    assert_eq!(head.transform.weight.data, turned, "[in, out]");
    assert_eq!(head.transform.bias.data, theirs("transform.dense.bias"));
    assert_eq!(head.norm.weight.data, theirs("transform.LayerNorm.gamma"));
    assert_eq!(head.norm.bias.data, theirs("transform.LayerNorm.beta"));
    assert_eq!(head.bias.data, theirs("bias"));

    let out = directory.path().join("out");
    let written =
        to_checkpoint(directory.path(), "small", Precision::Fp32, &out, false).expect("written");
    let encoder = &written.manifest.encoder;
    assert_eq!(encoder.language_head.as_deref(), Some(LANGUAGE_HEAD_FILE));
    let path = out.join(LANGUAGE_HEAD_FILE);
    let bytes = std::fs::read(&path).expect("written");
    let read = export::read_language_head(&bytes, &path, &encoder.architecture);
    assert_eq!(read.expect("readable"), head);
}

#[test]
fn the_bias_may_be_the_decoders() {
    let directory = complete(|tensors| {
        let mut bias = tensors.remove("cls.predictions.bias").expect("there");
        bias.1[7] = 77.0;
        tensors.insert("cls.predictions.decoder.bias".to_owned(), bias);
    });
    let head = read(directory.path()).expect("complete").language_head.expect("a head");
    assert_eq!(head.bias.data[7], 77.0);
}

#[test]
fn an_encoder_without_a_language_head_needs_no_note() {
    let directory = complete(|tensors| tensors.retain(|name, _| !name.starts_with("cls.")));
    let imported = read(directory.path()).expect("complete");
    assert!(imported.language_head.is_none() && imported.notes.is_empty());
    let out = directory.path().join("out");
    let written =
        to_checkpoint(directory.path(), "small", Precision::Fp32, &out, false).expect("written");
    assert_eq!(written.manifest.encoder.language_head, None);
    assert!(!out.join(LANGUAGE_HEAD_FILE).exists());
}

#[test]
fn tensors_that_nothing_is_made_of_are_noted_where_they_are_not_to_be_expected() {
    let directory = complete(|tensors| {
        for name in ["bert.embeddings.extra", "bert.pooler.dense.weight", "classifier.weight"] {
            tensors.insert(name.to_owned(), (vec![1], vec![1.0]));
        }
    });
    let imported = read(directory.path()).expect("complete");
    let expected = "left out, as no part of the encoder: bert.embeddings.extra, classifier.weight";
    assert_eq!(imported.notes, [expected]);
}

#[test]
fn a_language_head_that_does_not_fit_is_left_out_with_a_note() {
    let check = |change: &dyn Fn(&mut Tensors), words: &str| {
        let directory = complete(change);
        let out = directory.path().join("out");
        let written = to_checkpoint(directory.path(), "small", Precision::Fp32, &out, false)
            .expect("written");
        assert_eq!(written.manifest.encoder.language_head, None);
        let [note] = written.notes.as_slice() else { panic!("one note: {:?}", written.notes) };
        assert!(note.contains(words) && note.ends_with("is left out"), "{note}");
    };
    let decoder = |change: fn(&mut (Vec<usize>, Vec<f32>))| {
        move |tensors: &mut Tensors| {
            let mut words = tensors["bert.embeddings.word_embeddings.weight"].clone();
            change(&mut words);
            tensors.insert("cls.predictions.decoder.weight".to_owned(), words);
        }
    };
    check(&decoder(|words| words.1[100] += 1e-3), "not that of the word embeddings");
    check(&decoder(|words| words.0.reverse()), "[8, 20], expected [20, 8]");
    let norm = "cls.predictions.transform.LayerNorm.beta";
    check(&|t| drop(t.remove(norm)), "no parameter cls.predictions.transform.LayerNorm.bias");
    check(&|t| t.get_mut(norm).expect("there").1[0] = f32::NAN, "not finite");
}

const LFS_POINTER: &str = "version https://git-lfs.github.com/spec/v1\n\
    oid sha256:be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037\nsize 466247\n";

#[test]
fn what_lies_in_the_place_of_a_file_is_named_and_nothing_is_published() {
    let other_vocabulary = TOKENIZER.replace("\"a\": 4", "\"a\": 20");
    for (file, content, words) in [
        ("config.json", LFS_POINTER, "is a Git LFS pointer"),
        ("config.json", "<html>", "is a page of HTML"),
        ("tokenizer.json", LFS_POINTER, "is a Git LFS pointer"),
        ("tokenizer.json", "<!DOCTYPE html><p>Sign in", "is a page of HTML"),
        ("tokenizer.json", "", "is an empty file"),
        ("tokenizer.json", "{}", "cannot load the tokenizer"),
        ("tokenizer.json", &TOKENIZER.replace("[MASK]", "[GAP]"), "has no mask token"),
        ("tokenizer.json", &other_vocabulary, "21 tokens, but the encoder has embeddings for 20"),
        ("model.safetensors", LFS_POINTER, "is a Git LFS pointer"),
        ("model.safetensors", "<?xml version=\"1.0\"?><Error/>", "is an XML document"),
    ] {
        let directory = complete(|_| ());
        std::fs::write(directory.path().join(file), content).expect("written");
        let out = directory.path().join("out");
        let error = to_checkpoint(directory.path(), "small", Precision::Fp32, &out, false);
        let error = error.expect_err(words).to_string();
        assert!(error.contains(words) && error.contains(file), "{error}");
        assert!(!out.exists());
    }
}
