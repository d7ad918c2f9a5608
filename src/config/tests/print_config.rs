//! `--print-config`: what it shows, and that it can be read back.

use proptest::prelude::*;

use super::load;
use crate::config::keys::KEYS;
use crate::config::layers::FILE_NAME;
use crate::config::{Origin, render};

#[test]
fn print_config_shows_each_origin() {
    let loaded = load(
        "[batching]\nmax_batch_tokens = 4096\n",
        &[("DYNAMAR_LOG__LEVEL", "info,h2=\"warn\"")],
        &[("server.address", "--address", "[::1]:0")],
    );
    let expected = r#"[server]
address = "[::1]:0"             # --address
max_message_bytes = 4194304     # default
max_examples = 256              # default
max_text_bytes = 32768          # default
max_stream_in_flight = 64       # default
max_connections = 4096          # default
max_connection_streams = 1024   # default
max_header_bytes = 16384        # default
handshake_timeout_ms = 10000    # default
first_call_timeout_ms = 60000   # default
idle_timeout_ms = 1800000       # default
max_connection_age_ms = 0       # default
receive_timeout_ms = 60000      # default
send_timeout_ms = 60000         # default
stop_delay_ms = 5000            # default
drain_timeout_ms = 10000        # default
reload_interval_ms = 5000       # default

[tls]
certificate = ""                # default
private_key = ""                # default
client_ca = ""                  # default

[auth]
tokens = ""                     # default

[models]
directory = "models/serving"    # default
poll_interval_ms = 5000         # default

[batching]
workers = 0                     # default
max_batch_tokens = 4096         # dynamar.toml
max_queued_tokens = 262144      # default
max_queue_delay_ms = 5000       # default

[cache]
max_bytes = 0                   # default

[inference]
intra_op_threads = 1            # default
lone_request_threads = 0        # default
execution_provider = "auto"     # default

[cuda]
device = 0                      # default
memory_limit_bytes = 0          # default
max_batch_tokens = 8192         # default

[health]
address = ""                    # default
probe_interval_ms = 5000        # default
stall_timeout_ms = 20000        # default

[metrics]
address = "127.0.0.1:9090"      # default

[prediction_log]
path = ""                       # default
sample_one_in = 1               # default
inputs = "off"                  # default
hash_key_file = ""              # default
max_file_bytes = 67108864       # default
max_files = 8                   # default

[onnxruntime]
path = ""                       # default

[log]
format = "auto"                 # default
level = "info,h2=\"warn\""      # DYNAMAR_LOG__LEVEL

[traces]
endpoint = ""                   # default
sample_ratio = 1.0              # default
service_name = "dynamar"        # default
"#;
    assert_eq!(render(&loaded.expect("a right configuration")), expected);
}

proptest! {
    #[test]
    fn print_config_gives_the_same_configuration_back(
        level in any::<String>(),
        directory in "[^\0]+",
        workers in 0..=1024_u32,
    ) {
        let flags = [
            ("log.level", "--log-level", level.as_str()),
            ("models.directory", "--models", &directory),
        ];
        let workers = workers.to_string();
        let first = load("", &[("DYNAMAR_BATCHING__WORKERS", &workers)], &flags);
        let first = first.expect("a right configuration");
        let again = load(&render(&first), &[], &[]).expect("what was printed is right");
        prop_assert_eq!(&first.config, &again.config);
        prop_assert_eq!(&first.config.log.level, &level);
        for key in KEYS {
            prop_assert_eq!(again.origin(key.name), Some(&Origin::File(FILE_NAME.into())));
        }
    }
}
