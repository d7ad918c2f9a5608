//! Which environment variables are configuration.

use std::ffi::{OsStr, OsString};

use super::error::{Mistake, Origin, Problem};
use super::keys::{KEYS, Key};

/// What the name of every variable with configuration begins with.
const PREFIX: &str = "DYNAMAR_";

/// Where `make` keeps what it downloads. The fetch step alone reads it, and it may well be
/// exported in the shell that then starts the server.
const FETCH_DIR: &str = "DYNAMAR_FETCH_DIR";

/// A variable with configuration.
#[derive(Debug)]
pub(super) struct Variable {
    /// Its full name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl Variable {
    /// The known key that the variable sets. Its spelling must be exact, so that no two
    /// variables set the same key.
    pub fn known_key(&self) -> Option<&'static Key> {
        KEYS.iter().find(|key| variable_name(key.name) == self.name)
    }

    /// The dotted key that the variable sets, or would if there were such a key.
    pub fn dotted_key(&self) -> String {
        dotted_key(&self.name)
    }
}

/// The variable that sets a dotted key: `DYNAMAR_SERVER__ADDRESS` for `server.address`.
pub(super) fn variable_name(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

fn dotted_key(name: &str) -> String {
    let rest = name.strip_prefix(PREFIX).unwrap_or(name);
    rest.to_lowercase().replace("__", ".")
}

/// Picks the variables with configuration out of an environment, in the order of their names.
pub(super) fn variables(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> (Vec<Variable>, Vec<Mistake>) {
    let mut pairs: Vec<_> = environment
        .into_iter()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
        .filter(|(name, value)| is_ours(name, value))
        .collect();
    pairs.sort();
    let (mut variables, mut mistakes) = (Vec::new(), Vec::new());
    for (name, value) in pairs {
        match value.into_string() {
            Ok(value) => variables.push(Variable { name, value }),
            Err(_) => mistakes.push(Mistake {
                key: Some(dotted_key(&name)),
                origin: Origin::Variable(name),
                problem: Problem::NotUtf8,
            }),
        }
    }
    (variables, mistakes)
}

fn is_ours(name: &str, value: &OsStr) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|rest| {
        name != FETCH_DIR && !is_kubernetes_service(rest, &value.to_string_lossy())
    })
}

/// Whether Kubernetes set the variable rather than a person.
///
/// Into every container, Kubernetes puts variables that describe the Services of its namespace,
/// named after each Service. A Service called `dynamar`, or `dynamar-` and more, thus yields
/// variables that begin as ours do: `DYNAMAR_SERVICE_HOST`, `DYNAMAR_SERVICE_PORT`,
/// `DYNAMAR_SERVICE_PORT_GRPC`, `DYNAMAR_PORT=tcp://10.0.0.1:50051`, `DYNAMAR_PORT_50051_TCP`
/// and `DYNAMAR_PORT_50051_TCP_ADDR`. Refusing them would keep the server from starting beside
/// its own Service. The bare `_PORT` counts only with the URL that Kubernetes gives it, so that
/// somebody's `DYNAMAR_PORT=8080` is still reported.
///
/// `rest` is the name without `DYNAMAR_`.
fn is_kubernetes_service(rest: &str, value: &str) -> bool {
    let words: Vec<&str> = rest.split('_').collect();
    if words.contains(&"") {
        return false; // `__` stands between the parts of a key, never in such a name
    }
    words.ends_with(&["SERVICE", "HOST"])
        || words.windows(2).any(|pair| pair == ["SERVICE", "PORT"])
        || (words.ends_with(&["PORT"]) && value.contains("://"))
        || words.windows(3).any(is_docker_link)
}

/// Whether three words are `PORT`, a number and a protocol: the variables that Kubernetes keeps
/// for the sake of programs that expect Docker's links.
fn is_docker_link(words: &[&str]) -> bool {
    match words {
        ["PORT", number, protocol] => {
            number.parse::<u16>().is_ok() && ["TCP", "UDP", "SCTP"].contains(protocol)
        }
        _ => false,
    }
}
