//! Tests of the layers and of the defaults; those of the messages and of `--print-config` lie
//! beside.

mod mistakes;
mod print_config;

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::keys::KEYS;
use super::layers::{DEFAULTS, FILE_NAME};
use super::*;

/// Loads a configuration from the text of `dynamar.toml`, variables and flags.
fn load(
    file: &str,
    variables: &[(&str, &str)],
    flags: &[(&str, &str, &str)],
) -> Result<Loaded, ConfigError> {
    let directory = TempDir::new().expect("a temporary directory");
    fs::write(directory.path().join(FILE_NAME), file).expect("the file can be written");
    let environment = variables.iter().map(|(name, value)| (name.into(), value.into()));
    let overrides: Vec<_> =
        flags.iter().map(|(key, flag, value)| Override::new(*key, *flag, value)).collect();
    Config::load_from(directory.path(), None, environment, &overrides)
}

/// What is wrong, one line each.
fn mistakes_in(
    file: &str,
    variables: &[(&str, &str)],
    flags: &[(&str, &str, &str)],
) -> Vec<String> {
    match load(file, variables, flags) {
        Ok(_) => Vec::new(),
        Err(error) => error.mistakes.iter().map(ToString::to_string).collect(),
    }
}

fn nothing() -> Vec<(OsString, OsString)> {
    Vec::new()
}

#[test]
fn each_layer_goes_over_the_one_before() {
    let file = "[batching]\nworkers = 2\n";
    let variables = &[("DYNAMAR_BATCHING__WORKERS", "3")][..];
    let flags = &[("batching.workers", "--workers", "4")][..];
    let check = |file, variables, flags, expected: usize, origin: &str| {
        let loaded = load(file, variables, flags).expect("a right configuration");
        let workers = loaded.config.batching.workers.map_or(0, |workers| workers.get());
        assert_eq!(workers, expected);
        assert_eq!(
            loaded.origin("batching.workers").map(ToString::to_string).as_deref(),
            Some(origin)
        );
        assert_eq!(loaded.origin("log.level"), Some(&Origin::Default));
    };
    check("", &[][..], &[][..], 0, "default");
    check(file, &[], &[], 2, "dynamar.toml");
    check(file, variables, &[], 3, "DYNAMAR_BATCHING__WORKERS");
    check(file, variables, flags, 4, "--workers");
    check("", variables, &[], 3, "DYNAMAR_BATCHING__WORKERS");
    check(file, &[], flags, 4, "--workers");
    let twice = [flags[0], ("batching.workers", "--set", "5")];
    check(file, &[], &twice, 5, "--set");
}

#[test]
fn the_defaults_stand_without_a_file() {
    let directory = TempDir::new().expect("a temporary directory");
    let config =
        Config::load_from(directory.path(), None, nothing(), &[]).expect("defaults").config;
    assert_eq!(config.server.address.to_string(), "127.0.0.1:50051");
    assert_eq!(config.server.stop_delay().as_secs(), 5);
    assert_eq!(config.server.drain_timeout().as_secs(), 10);
    assert_eq!(config.models.poll_interval(), Some(Duration::from_secs(5)));
    assert_eq!(config.models.directory, Path::new("models/serving"));
    assert_eq!(config.batching.workers, None);
    assert_eq!(config.onnxruntime.path, None);
    assert_eq!(config.log.format, LogFormat::Auto);
    assert!(config.batching.worker_count().get() >= 1);
}

#[test]
fn a_named_file_replaces_the_usual_one_and_must_exist() {
    let directory = TempDir::new().expect("a temporary directory");
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text);
    write(FILE_NAME, "[inference]\nintra_op_threads = 7\n").expect("the file can be written");
    write("other.toml", "[log]\nlevel = \"debug\"\n").expect("the file can be written");
    let load = |name| Config::load_from(directory.path(), Some(Path::new(name)), nothing(), &[]);

    let loaded = load("other.toml").expect("a right configuration");
    assert_eq!(loaded.config.log.level, "debug");
    assert_eq!(loaded.config.inference.intra_op_threads.get(), 1);
    assert_eq!(loaded.origin("log.level"), Some(&Origin::File("other.toml".into())));

    let error = load("missing.toml").expect_err("the file is missing").to_string();
    assert!(error.contains("file missing.toml: cannot be read (No such file"), "{error}");
}

#[test]
fn variables_of_kubernetes_and_of_the_build_are_ignored() {
    let ignored = [
        ("DYNAMAR_SERVICE_HOST", "10.0.0.1"),
        ("DYNAMAR_SERVICE_PORT", "50051"),
        ("DYNAMAR_SERVICE_PORT_GRPC", "50051"),
        ("DYNAMAR_PORT", "tcp://10.0.0.1:50051"),
        ("DYNAMAR_PORT_50051_TCP", "tcp://10.0.0.1:50051"),
        ("DYNAMAR_PORT_50051_TCP_PROTO", "tcp"),
        ("DYNAMAR_PORT_50051_TCP_PORT", "50051"),
        ("DYNAMAR_PORT_50051_TCP_ADDR", "10.0.0.1"),
        ("DYNAMAR_METRICS_SERVICE_HOST", "10.0.0.2"),
        ("DYNAMAR_METRICS_PORT", "tcp://10.0.0.2:9090"),
        ("DYNAMAR_METRICS_PORT_9090_TCP_ADDR", "10.0.0.2"),
        ("DYNAMAR_FETCH_DIR", "archives"),
        ("PATH", "/bin"),
    ];
    assert_eq!(mistakes_in("", &ignored, &[]), [""; 0]);
    let reported = [
        ("DYNAMAR_", ""),
        ("DYNAMAR_PORT", "8080"),
        ("DYNAMAR_SERVER_PORT", "8080"),
        ("DYNAMAR_SERVER__PORT", "8080"),
        ("DYNAMAR_FETCH_DIRECTORY", "archives"),
    ];
    assert_eq!(mistakes_in("", &reported, &[]).len(), reported.len());
}

#[cfg(unix)]
#[test]
fn a_value_that_is_not_utf8_is_a_mistake_only_in_our_variables() {
    use std::os::unix::ffi::OsStringExt;
    let broken = || OsString::from_vec(vec![b'a', 0xff]);
    let environment = [("DYNAMAR_MODELS__DIRECTORY".into(), broken()), ("HOME".into(), broken())];
    let error = Config::load_from(Path::new("/nowhere"), None, environment, &[])
        .expect_err("one value is not UTF-8");
    assert_eq!(
        error.to_string(),
        "the configuration has a mistake:\n  environment variable DYNAMAR_MODELS__DIRECTORY: \
         its value is not UTF-8; set it to text in UTF-8, or unset it"
    );
}

#[test]
fn every_limit_fits_its_type() {
    use super::keys::Rule;
    for key in KEYS {
        // A queue smaller than a batch is refused for another reason.
        if let Rule::Count(min, max) = key.rule
            && key.name != MAX_QUEUED_TOKENS
        {
            for count in [min, max] {
                let flags = [
                    ("batching.max_queued_tokens", "--q", "1073741824"),
                    (key.name, "--x", &count.to_string()),
                ];
                assert_eq!(mistakes_in("", &[], &flags), [""; 0], "{} = {count}", key.name);
            }
            let above = (max + 1).to_string();
            assert_eq!(mistakes_in("", &[], &[(key.name, "--x", &above)]).len(), 1, "{}", key.name);
        }
    }
    for name in LogFormat::NAMES {
        assert_eq!(mistakes_in("", &[], &[("log.format", "--log-format", name)]), [""; 0]);
    }
}

/// The structs have no defaults of their own, so that the defaults load shows that none of their
/// fields is missing in `default.toml`; that there is nothing else in it is seen here.
#[test]
fn the_default_file_holds_every_key_in_order_with_a_comment() {
    let mut section = "";
    let mut previous = "";
    let mut found = Vec::new();
    for line in DEFAULTS.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((name, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            assert!(previous.starts_with("# "), "`{name}` has no comment above it");
            found.push(format!("{section}.{name}"));
        }
        previous = line;
    }
    assert_eq!(found, KEYS.iter().map(|key| key.name).collect::<Vec<_>>());
}
