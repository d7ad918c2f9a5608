//! The dependency direction between modules, as ARCHITECTURE.md has it.

use std::{collections::BTreeSet, fs, path::Path};

use crate::fixtures;

/// Top-level modules, each with the modules that it may use. What is not listed is not allowed.
const ALLOWED: &[(&str, &[&str])] = &[
    ("task", &[]),
    ("architecture", &[]),
    ("config", &[]),
    ("evaluation", &["task"]),
    ("lexical", &["task"]),
    ("baseline", &["dataset", "evaluation", "lexical", "task"]),
    ("report", &["evaluation", "task"]),
    ("weights", &["architecture"]),
    ("prompt", &["evaluation", "task"]),
    ("staging", &[]),
    ("checkpoint", &["architecture", "staging", "weights"]),
    ("export", &["architecture", "checkpoint", "weights"]),
    ("metrics", &["task"]),
    ("panics", &[]),
    ("rows", &["panics"]),
    ("prediction_log", &["config"]),
    ("telemetry", &["config"]),
    ("tokenization", &["panics", "prompt", "task"]),
    ("dataset", &["prompt", "rows", "task"]),
    ("init", &["prompt", "rows", "staging", "task"]),
    ("foreign_graph", &["checkpoint", "export", "weights"]),
    (
        "import",
        &[
            "architecture",
            "checkpoint",
            "evaluation",
            "export",
            "foreign_graph",
            "inference",
            "prompt",
            "task",
            "tokenization",
            "weights",
        ],
    ),
    (
        "inference",
        &[
            "architecture",
            "checkpoint",
            "evaluation",
            "export",
            "foreign_graph",
            "lexical",
            "prompt",
            "task",
            "tokenization",
            "weights",
        ],
    ),
    (
        "training",
        &[
            "architecture",
            "baseline",
            "checkpoint",
            "dataset",
            "evaluation",
            "export",
            "inference",
            "lexical",
            "prompt",
            "task",
            "tokenization",
            "weights",
        ],
    ),
    (
        "comparison",
        &[
            "baseline",
            "checkpoint",
            "dataset",
            "evaluation",
            "export",
            "inference",
            "prompt",
            "report",
            "task",
            "tokenization",
            "training",
            "weights",
        ],
    ),
    ("batching", &["config", "inference", "metrics", "panics", "tokenization"]),
    (
        "bulk",
        &[
            "batching",
            "evaluation",
            "inference",
            "panics",
            "prompt",
            "rows",
            "task",
            "tokenization",
        ],
    ),
    ("registry", &["batching", "checkpoint", "config", "inference", "task", "tokenization"]),
    (
        "server",
        &[
            "batching",
            "config",
            "inference",
            "metrics",
            "panics",
            "prediction_log",
            "prompt",
            "registry",
            "task",
            "telemetry",
            "tokenization",
        ],
    ),
];

/// Crates that these modules alone may name.
const OWNERS: &[(&str, &[&str])] = &[
    ("arrow_array", &["bulk", "rows"]),
    ("arrow_schema", &["bulk", "rows"]),
    ("arrow_select", &["bulk", "rows/columnar"]),
    ("encoding_rs", &["rows/encoding"]),
    ("flate2", &["rows/packing"]),
    // The server has a module of that name.
    ("zstd", &["rows/packing", "server/connections"]),
    ("memmap2", &["inference/encoder"]),
    ("ort", &["inference/encoder"]),
    ("http_body_util", &["server"]),
    ("parquet", &["rows/columnar"]),
    ("hyper", &["server"]),
    ("hyper_util", &["server"]),
    ("subtle", &["server/access"]),
    ("tokio_rustls", &["server/access"]),
    ("opentelemetry", &["telemetry"]),
    ("opentelemetry_proto", &["telemetry"]),
    ("opentelemetry_sdk", &["telemetry"]),
    ("tonic", &["server", "telemetry/otlp"]),
    ("tonic_health", &["server"]),
    ("tonic_reflection", &["server"]),
    ("tonic_types", &["server"]),
    ("tower", &["server"]),
    ("figment", &["config"]),
    ("hmac", &["prediction_log"]),
    ("procfs", &["metrics"]),
    ("prometheus", &["metrics"]),
    ("gemm", &["training"]),
    ("rawzip", &["import/model_files/torch"]),
    ("safetensors", &["export", "import", "inference", "training"]),
    ("anyhow", &["cli"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("indicatif", &["cli"]),
    ("maud", &["report"]),
];

/// Source files below `directory`, as paths relative to it with their text.
fn sources(directory: &Path, prefix: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = format!("{prefix}{}", path.file_name().expect("a name").to_string_lossy());
        if path.is_dir() {
            found.extend(sources(&path, &format!("{name}/")));
        } else if name.ends_with(".rs") {
            found.push((name, fs::read_to_string(&path).expect("read")));
        }
    }
    found
}

/// The names after `crate::` in code, grouped imports included.
fn used_modules(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => names.extend(first_word(rest)),
            Some(group) => names.extend(top_level_items(group)),
        }
    }
    names
}

fn first_word(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}

/// `a::{x, y}, b}` gives `a` and `b`.
fn top_level_items(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut items = vec![String::new()];
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => items.push(String::new()),
            _ if depth == 0 => items.last_mut().expect("never empty").push(c),
            _ => {}
        }
    }
    items.iter().filter_map(|item| first_word(item.trim())).collect()
}

#[test]
fn modules_use_only_what_lies_below_them() {
    let mut faults = Vec::new();
    for (file, text) in sources(&fixtures::root().join("src"), "") {
        let module = file.split(['/', '.']).next().expect("a first part");
        if matches!(module, "lib" | "main" | "cli") {
            continue;
        }
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == module) else {
            faults.push(format!("{file}: the module {module} is not in the list"));
            continue;
        };
        for used in used_modules(&text) {
            if used != module && !allowed.contains(&used.as_str()) {
                faults.push(format!("{file}: {module} may not use {used}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn libraries_stay_in_the_module_that_names_them() {
    let mut faults = Vec::new();
    for (file, text) in sources(&fixtures::root().join("src"), "") {
        for (library, owners) in OWNERS {
            let named =
                text.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
                    line.contains(&format!("use {library}::"))
                        || line.contains(&format!(" {library}::"))
                });
            if named && !owners.iter().any(|owner| file.starts_with(owner)) {
                faults.push(format!("{file}: {library} belongs to {}", owners.join(", ")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_check_sees_what_it_looks_for() {
    let text = "use crate::{a::{b, c}, d};\nfn f() { crate::e::g() } use crate::h;";
    let expected = ["a", "d", "e", "h"].map(str::to_owned);
    assert_eq!(used_modules(text), BTreeSet::from(expected));
}
