//! What is reported, word for word.

use super::{load, mistakes_in};

#[test]
fn an_unknown_key_names_the_nearest() {
    fn check(file: &str, variables: &[(&str, &str)], expected: &str) {
        assert_eq!(mistakes_in(file, variables, &[]), [expected]);
    }
    check(
        "[batching]\nworker = 2",
        &[],
        "in dynamar.toml, key `batching.worker`: there is no key `batching.worker`; \
         the nearest is `batching.workers`",
    );
    check(
        "workers = 2",
        &[],
        "in dynamar.toml, key `workers`: there is no key `workers`; \
         the nearest is `batching.workers`",
    );
    check(
        "\"server.address\" = \"127.0.0.1:1\"",
        &[],
        "in dynamar.toml, key `\"server.address\"`: there is no key `\"server.address\"`; \
         the nearest is `server.address`",
    );
    check(
        "[modles]",
        &[],
        "in dynamar.toml, key `modles`: there is no key `modles`; \
         the nearest is `models.directory`",
    );
    for name in ["DYNAMAR_SERVER_ADDRESS", "DYNAMAR_server__address", "DYNAMAR_ADDRESS"] {
        check(
            "",
            &[(name, "127.0.0.1:1")],
            &format!(
                "environment variable {name}: there is no key `{name}`; \
                 the nearest is `DYNAMAR_SERVER__ADDRESS`"
            ),
        );
    }
}

#[test]
fn a_section_is_no_key() {
    assert_eq!(
        mistakes_in("models = \"here\"", &[("DYNAMAR_LOG", "debug")], &[]),
        [
            "in dynamar.toml, key `models`: is a section, which has no value of its own; \
             its keys are models.directory, models.poll_interval_ms",
            "environment variable DYNAMAR_LOG: is a section, which has no value of its own; \
             its keys are DYNAMAR_LOG__FORMAT, DYNAMAR_LOG__LEVEL",
        ]
    );
    assert!(load("[server]\n[log]\n", &[], &[]).is_ok(), "an empty section is none the worse");
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let file = "[server]\nadress = \"x\"\nmax_examples = 0\n[batching]\nworkers = \"two\"\n";
    let variables = [("DYNAMAR_LOG__FORMAT", "xml"), ("DYNAMAR_SERVER__MAX_EXAMPLES", "many")];
    let error = load(file, &variables, &[("server.address", "--address", "localhost:50051")])
        .expect_err("six mistakes");
    assert_eq!(
        error.to_string(),
        "the configuration has 6 mistakes:
  in dynamar.toml, key `batching.workers`: found the string \"two\"; expected a whole number \
         from 0 to 1024
  in dynamar.toml, key `server.adress`: there is no key `server.adress`; the nearest is \
         `server.address`
  in dynamar.toml, key `server.max_examples`: found 0; expected a whole number from 1 to 65536
  environment variable DYNAMAR_LOG__FORMAT: found \"xml\"; expected one of \"auto\", \"pretty\", \
         \"json\"
  environment variable DYNAMAR_SERVER__MAX_EXAMPLES: found \"many\"; expected a whole number \
         from 1 to 65536
  flag --address: found \"localhost:50051\"; expected an IP address and a port, such as \
         \"127.0.0.1:50051\" or \"[::1]:50051\" (a host name such as localhost is not looked up)"
    );
}

#[test]
fn a_mistake_is_reported_even_where_a_higher_layer_replaces_it() {
    let flags = [("batching.workers", "--workers", "4")];
    assert_eq!(mistakes_in("batching.workers = -1", &[], &flags).len(), 1);
}

#[test]
fn a_file_too_large_for_a_configuration_is_not_read() {
    let comment = "# no configuration\n".repeat(1 << 16);
    assert_eq!(
        mistakes_in(&comment, &[], &[]),
        ["file dynamar.toml: is larger than 1048576 bytes; name a TOML file with configuration"]
    );
}

#[test]
fn a_value_of_the_wrong_type_is_described() {
    let check = |file: &str, expected: &str| {
        let found = mistakes_in(file, &[], &[]);
        assert!(matches!(&found[..], [one] if one.contains(expected)), "{file}: {found:?}");
    };
    check("inference.intra_op_threads = 1.5", "found 1.5; expected a whole number from 1 to");
    check("inference.intra_op_threads = -1", "found -1; expected a whole number from 1 to");
    check("inference.intra_op_threads = true", "found true; expected a whole number from 1 to");
    check("models.directory = 5", "found 5; expected a path that is not empty");
    check("models.directory = \"\"", "found the string \"\"; expected a path that is not empty");
    check("models.directory = [\"a\"]", "found an array; expected a path");
    check("log.level.ort = \"warn\"", "found a table; expected a string");
    check("log.level = 1979-05-27", "found a date or time; expected a string");
    check("server.address = \"0.0.0.0\"", "expected an IP address and a port");
    check("traces.sample_ratio = 1.5", "found 1.5; expected a number from 0.0 to 1.0");
    check("traces.sample_ratio = nan", "expected a number from 0.0 to 1.0");
    check("traces.sample_ratio = \"1\"", "the string \"1\"; expected a number from 0.0 to 1.0");
    check("traces.endpoint = \"https://a:4317\"", "expected an address such as \"http://127");
    check("server.max_message_bytes = 1023", "expected a whole number from 1024 to 268435456");
}

#[test]
fn a_file_that_is_not_toml_is_reported_beside_the_rest() {
    let found = mistakes_in("[server]\naddress = \n", &[("DYNAMAR_LOG__FORMAT", "xml")], &[]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("file dynamar.toml: line 2 is not TOML: "), "{}", found[0]);
    assert!(found.iter().all(|line| !line.contains('\n')), "{found:?}");
    let twice = mistakes_in("[log]\n[server]\n[log]\n", &[], &[]);
    assert!(twice[0].starts_with("file dynamar.toml: line 3 is not TOML: "), "{twice:?}");
}

#[test]
fn a_queue_smaller_than_a_batch_is_a_contradiction() {
    let batch = [("batching.max_batch_tokens", "--max-batch-tokens", "500")];
    assert_eq!(
        mistakes_in("[batching]\nmax_queued_tokens = 100", &[], &batch),
        ["in dynamar.toml, key `batching.max_queued_tokens`: 100 is less than \
          `batching.max_batch_tokens`, which is 500 (--max-batch-tokens); expected at least 500"]
    );
    let mistaken =
        mistakes_in("[batching]\nmax_queued_tokens = 100\nmax_batch_tokens = 0", &[], &[]);
    assert_eq!(mistaken.len(), 1, "{mistaken:?}");
}
