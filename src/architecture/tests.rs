use serde_json::{Value, json};

use super::*;

fn refused(change: impl FnOnce(&mut Architecture), of: &Family, words: &str) {
    let mut architecture = (of.tiny)();
    change(&mut architecture);
    let error = architecture.check().expect_err(words).to_string();
    assert!(error.contains(words), "{:?}: {error}", of.name);
}

fn family(name: FamilyName) -> &'static Family {
    ALL.iter().copied().find(|family| family.name == name).expect("in the list")
}

#[test]
fn absurd_numbers_are_refused_in_every_family() {
    for of in ALL {
        (of.tiny)().check().expect("a good encoder");
        refused(|a| a.hidden_size = 0, of, "hidden_size = 0");
        refused(|a| a.layers = 129, of, "layers = 129");
        refused(|a| a.vocabulary_size = usize::MAX, of, "vocabulary_size");
        refused(|a| a.max_positions = 1 << 20, of, "max_positions");
        refused(|a| a.segment_types = 1, of, "segment_types = 1");
        refused(|a| a.heads = 3, of, "not a multiple of the 3");
        refused(|a| a.layer_norm_eps = f64::NAN, of, "layer_norm_eps");
        refused(|a| a.embedding_size = Some(1 << 20), of, "embedding_size");
        refused(|a| a.layer_groups = Some(0), of, "0 sets of parameters");
        refused(|a| a.layer_groups = Some(7), of, "7 sets of parameters");
        let window = |span, global_every| Some(Window { span, global_every });
        refused(|a| a.window = window(0, 3), of, "window.span = 0");
        refused(|a| a.window = window(3, 0), of, "window.global_every = 0");
    }
    let of = family(FamilyName::Mpnet);
    let buckets = |buckets, max_distance| Distances::Buckets { buckets, max_distance };
    refused(|a| a.distances = buckets(3, 10), of, "distances.buckets = 3");
    refused(|a| a.distances = buckets(8, 1), of, "distances.max_distance = 1");
    let of = family(FamilyName::Modernbert);
    let rotary = |theta, local_theta| Distances::Rotary { theta, local_theta };
    refused(|a| a.distances = rotary(f64::INFINITY, 1.0), of, "distances.theta");
    refused(|a| a.distances = rotary(1.0, -1.0), of, "distances.local_theta");
    refused(|a| (a.hidden_size, a.heads) = (9, 3), of, "an even number of values");
    let of = family(FamilyName::Deberta);
    let disentangled = |span, buckets, max_distance| Distances::Disentangled {
        span,
        buckets,
        max_distance,
        norm: true,
    };
    refused(|a| a.distances = disentangled(0, 0, 9), of, "distances.span = 0");
    refused(|a| a.distances = disentangled(4, 5, 9), of, "distances.buckets = 5");
    refused(|a| a.distances = disentangled(4, 4, 3), of, "distances.max_distance = 3");
    let convolution = |kernel| Some(Convolution { kernel, activation: Activation::Gelu });
    for kernel in [0, 1, 4, 11, usize::MAX] {
        let words = format!("a convolution over {kernel} tokens");
        refused(|a| a.convolution = convolution(kernel), of, &words);
    }
    refused(|a| a.layers = 1, of, "after the first of 1 layers");
    refused(|a| a.norms = Norms::Pre, of, "norms after the sums");
}

#[test]
fn a_description_survives_its_json_and_berts_has_the_fields_that_it_had() {
    for of in ALL {
        let architecture = (of.tiny)();
        let json = serde_json::to_string(&architecture).expect("plain data");
        let read: Architecture = serde_json::from_str(&json).expect("our own");
        assert_eq!(read, architecture);
        assert_eq!(architecture.is_bert_shaped(), of.name == FamilyName::Bert, "{:?}", of.name);
    }
    let bert = serde_json::to_string(&(family(FamilyName::Bert).tiny)()).expect("plain data");
    let expected = r#"{"hidden_size":8,"layers":2,"heads":2,"intermediate_size":12,"vocabulary_size":20,"max_positions":16,"segment_types":2,"layer_norm_eps":1e-12}"#;
    assert_eq!(bert, expected);
    let unknown = expected.replace("}", r#","twist":1}"#);
    assert!(serde_json::from_str::<Architecture>(&unknown).is_err());
}

#[test]
fn every_parameter_has_a_source_in_the_familys_files() {
    for of in ALL {
        let architecture = (of.tiny)();
        for parameter in architecture.parameters() {
            assert!(of.source(&parameter.name).is_some(), "{:?} {}", of.name, parameter.name);
        }
        let known = of.sources.iter().copied().flatten().map(|(name, _)| *name);
        let names: Vec<String> = architecture.parameters().into_iter().map(|p| p.name).collect();
        for name in known.filter(|name| {
            !["embeddings.position", "embeddings.segment", "embeddings.projection"].contains(name)
        }) {
            assert!(names.iter().any(|full| full.contains(name)), "{:?} has no {name}", of.name);
        }
    }
}

/// Buckets as transformers computes them: the first distance of each.
#[test]
fn distances_fall_into_the_buckets_of_the_families() {
    let mpnet = Distances::Buckets { buckets: 32, max_distance: 128 };
    for (distance, bucket) in [
        (0, 0),
        (7, 7),
        (8, 8),
        (11, 8),
        (12, 9),
        (15, 9),
        (16, 10),
        (22, 10),
        (23, 11),
        (31, 11),
        (32, 12),
        (45, 12),
        (46, 13),
        (63, 13),
        (64, 14),
        (90, 14),
        (91, 15),
        (500, 15),
    ] {
        assert_eq!(mpnet.row(distance, 0), bucket, "a key {distance} before its query");
        if distance > 0 {
            assert_eq!(mpnet.row(0, distance), 16 + bucket, "a key {distance} after its query");
        }
    }
    let v3 = Distances::Disentangled { span: 256, buckets: 256, max_distance: 512, norm: true };
    for (distance, bucket) in [(0, 0), (128, 128), (129, 129), (132, 131), (133, 132), (511, 255)] {
        assert_eq!(v3.row(distance, 0), 256 + bucket);
        assert_eq!(v3.row(0, distance), 256 - bucket);
    }
    let plain = Distances::Disentangled { span: 4, buckets: 0, max_distance: 4, norm: false };
    assert_eq!([plain.row(9, 0), plain.row(3, 0), plain.row(0, 4), plain.row(0, 9)], [7, 7, 0, 0]);
    let mut rows = DistanceRows::default();
    rows.reach(plain, 3);
    assert_eq!(rows.between(1, 2), [5, 4, 3, 2]);
    assert!(rows.covers(2) && !rows.covers(3));
}

fn error(config: Value) -> String {
    let found = family_of(config).map(|(family, _)| family.name);
    found.expect_err("refused").to_string()
}

fn with(mut config: Value, key: &str, value: Value) -> Value {
    config[key] = value;
    config
}

#[test]
fn configs_that_ask_for_more_than_there_is_say_what() {
    let sizes = json!({
        "model_type": "bert", "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 12, "vocab_size": 20, "max_position_embeddings": 16,
        "type_vocab_size": 2
    });
    family_of(sizes.clone()).expect("BERT");
    for (key, value, words) in [
        ("model_type", json!("gpt2"), "supported are: bert, roberta"),
        ("model_type", json!("nomic_bert"), "is taken as an ONNX graph, with --graph FILE"),
        ("model_type", Value::Null, "model_type is missing: add it"),
        ("hidden_size", json!("8"), "hidden_size is missing, or is not a whole number"),
        ("hidden_size", json!(-8), "hidden_size"),
        ("hidden_act", json!("silu"), "hidden_act \"silu\" is not supported"),
        ("position_embedding_type", json!("relative_key"), "supported is absolute"),
        ("is_decoder", json!(true), "is_decoder true is not supported"),
        ("num_attention_heads", json!(3), "not a multiple of the 3"),
    ] {
        let found = error(with(sizes.clone(), key, value));
        assert!(found.contains(words), "{key}: {found}");
    }
    let decoder = json!({"model_type": "llama", "architectures": ["LlamaForCausalLM"]});
    assert!(error(decoder.clone()).contains("it is a decoder"));
    assert!(!error(decoder).contains("--graph"));

    let albert = with(sizes.clone(), "model_type", json!("albert"));
    let found = error(with(albert, "inner_group_num", json!(2)));
    assert!(found.contains("inner_group_num 2 is not supported"), "{found}");
    let mpnet = with(sizes.clone(), "model_type", json!("mpnet"));
    let found = error(with(mpnet, "relative_attention_num_buckets", json!(16)));
    assert!(found.contains("supported is 32"), "{found}");
}

#[test]
fn deberta_and_modernbert_take_the_attention_that_is_published() {
    let deberta = json!({
        "model_type": "deberta-v2", "hidden_size": 8, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 12, "vocab_size": 20,
        "max_position_embeddings": 16, "relative_attention": true, "share_att_key": true,
        "pos_att_type": ["p2c", "c2p"], "position_buckets": 4, "position_biased_input": false,
        "max_relative_positions": -1
    });
    let (_, read) = family_of(deberta.clone()).expect("DeBERTa");
    let expected = Distances::Disentangled { span: 4, buckets: 4, max_distance: 16, norm: false };
    assert_eq!((read.distances, read.no_learned_positions), (expected, true));
    for (key, value) in [
        ("relative_attention", json!(false)),
        ("share_att_key", json!(false)),
        ("pos_att_type", json!("c2p")),
        ("conv_kernel_size", json!("3")),
        ("embedding_size", json!(4)),
    ] {
        let found = error(with(deberta.clone(), key, value));
        assert!(found.starts_with(key), "{key}: {found}");
    }
    let kernel = with(deberta, "conv_kernel_size", json!(3));
    let (_, read) = family_of(with(kernel.clone(), "conv_act", json!("gelu"))).expect("DeBERTa-v2");
    let expected = Convolution { kernel: 3, activation: Activation::Gelu };
    assert_eq!(read.convolution, Some(expected));
    assert!(error(kernel.clone()).starts_with("conv_act \"tanh\" is not supported"));
    let groups = with(with(kernel, "conv_act", json!("relu")), "conv_groups", json!(2));
    assert!(error(groups).starts_with("conv_groups 2"));

    let modern = json!({
        "model_type": "modernbert", "hidden_size": 8, "num_hidden_layers": 4,
        "num_attention_heads": 2, "intermediate_size": 12, "vocab_size": 20,
        "max_position_embeddings": 64, "local_attention": 9
    });
    let (_, read) = family_of(modern.clone()).expect("ModernBERT");
    assert_eq!(read.window, Some(Window { span: 4, global_every: 3 }));
    let thetas = Distances::Rotary { theta: 160_000.0, local_theta: 10_000.0 };
    assert_eq!(read.distances, thetas);
    // As transformers writes it since version 5.
    let kind = |kind: &str| json!(format!("{kind}_attention"));
    let (full, sliding) = (kind("full"), kind("sliding"));
    let types = json!([full, sliding, full, sliding]);
    let mut newer = with(modern.clone(), "layer_types", types);
    newer["rope_parameters"] = json!({
        "full_attention": {"rope_theta": 5.0, "rope_type": "default"},
        "sliding_attention": {"rope_theta": 6.0, "rope_type": "default"}
    });
    let (_, read) = family_of(newer.clone()).expect("ModernBERT");
    assert_eq!(read.window.map(|window| window.global_every), Some(2));
    assert_eq!(read.distances, Distances::Rotary { theta: 5.0, local_theta: 6.0 });
    let found = error(with(newer.clone(), "layer_types", json!([full, full, sliding, full])));
    assert!(found.starts_with("layer_types"), "{found}");
    newer["rope_parameters"]["full_attention"]["rope_type"] = json!("yarn");
    assert!(error(newer).starts_with("rope_type \"yarn\""));
    let found = error(with(modern, "rope_scaling", json!({"type": "linear"})));
    assert!(found.starts_with("rope_scaling"), "{found}");
}
