//! The file of callers: who has which token or certificate, and may ask which tasks.
//!
//! A token is long and random, so its plain SHA-256 gives nothing away and needs no salt; it alone
//! is kept. A call's token is hashed and compared with all of them, each in constant time.

use std::{collections::BTreeSet, fmt::Write, fs::File, io::Read, sync::Arc};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tonic::codegen::http::HeaderValue;

use super::{
    AccessError, Caller,
    caller::Scope,
    files::{Kept, Source},
};
use crate::config::AuthConfig;

/// Bytes of a token that is hashed; those of `dynamar token` are far shorter.
const MAX_TOKEN_BYTES: usize = 1024;

/// Characters of a caller's name: it stands in every line of the log.
const MAX_NAME_CHARS: usize = 256;

/// What stands for every task.
const ALL_TASKS: &str = "*";

/// Random bytes of a new token.
const NEW_TOKEN_BYTES: usize = 32;

type Hash = [u8; 32];

/// Who may call.
pub(in crate::server) struct Callers {
    tokens: Vec<(Hash, Arc<Caller>)>,
    certificates: Vec<(String, Arc<Caller>)>,
}

/// Why a call is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::server) enum Refusal {
    #[error("no credentials: send a token in the metadata, `authorization: Bearer TOKEN`")]
    Missing,
    #[error(
        "the metadata `authorization` has another form than the one expected, `Bearer TOKEN`, once"
    )]
    Malformed,
    #[error("the token is not known to this server, or not any more")]
    UnknownToken,
    #[error(
        "the name in the client certificate is not known to this server: have it added, or send a \
         token in the metadata, `authorization: Bearer TOKEN`"
    )]
    UnknownCertificate,
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    caller: Vec<WrittenCaller>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCaller {
    name: Option<String>,
    sha256: Option<String>,
    certificate: Option<String>,
    tasks: Vec<String>,
}

/// What `[auth]` says; `None` if everybody may call.
pub(super) fn open(config: &AuthConfig) -> Result<Option<Kept<Callers>>, AccessError> {
    let Some(path) = config.tokens.clone() else { return Ok(None) };
    let source = Source { key: "auth.tokens", path };
    let parse = |sources: &[Source], contents: &[Vec<u8>]| {
        Callers::read(&contents[0]).map_err(|problem| sources[0].unfit(problem))
    };
    Kept::open(vec![source], parse).map(Some)
}

impl Callers {
    /// Reads a file's content. The error follows its path.
    fn read(content: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(content).map_err(|_| "is not UTF-8".to_owned())?;
        let written: Written = toml::from_str(text).map_err(|error| {
            let before = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = 1 + text.as_bytes()[..before].iter().filter(|&&byte| byte == b'\n').count();
            // The line itself is not shown: who knows what somebody put there.
            format!("line {line}: {}", error.message().replace('\n', " "))
        })?;
        let mut callers = Self { tokens: Vec::new(), certificates: Vec::new() };
        for (at, caller) in written.caller.into_iter().enumerate() {
            callers.add(caller).map_err(|problem| format!("caller {}: {problem}", at + 1))?;
        }
        Ok(callers)
    }

    fn add(&mut self, written: WrittenCaller) -> Result<(), String> {
        let WrittenCaller { name, sha256, certificate, tasks } = written;
        let name = name.or_else(|| certificate.clone()).ok_or("has no `name`")?;
        let is_plain = |name: &str| {
            (1..=MAX_NAME_CHARS).contains(&name.chars().count())
                && !name.chars().any(char::is_control)
        };
        if !is_plain(&name) {
            return Err(format!("`name` is not a line of 1 to {MAX_NAME_CHARS} characters"));
        }
        let caller = Arc::new(Caller::new(name, scope(tasks)?));
        match (sha256, certificate) {
            (Some(hash), None) => {
                let hash = hash_of_hex(&hash).ok_or(
                    "`sha256` is not a hash of 64 hexadecimal digits, as `dynamar token` prints it",
                )?;
                if self.tokens.iter().any(|(known, _)| *known == hash) {
                    return Err("has the same token as a caller before".to_owned());
                }
                self.tokens.push((hash, caller));
            }
            (None, Some(certificate)) => {
                if self.certificates.iter().any(|(known, _)| *known == certificate) {
                    return Err("has the same certificate as a caller before".to_owned());
                }
                self.certificates.push((certificate, caller));
            }
            _ => return Err("needs either `sha256` or `certificate`".to_owned()),
        }
        Ok(())
    }

    /// Who sends these `authorization` headers, on a connection whose client's certificate has
    /// these names. A token counts before the certificate.
    pub(super) fn identify<'a>(
        &self,
        mut credentials: impl Iterator<Item = &'a HeaderValue>,
        names: &[String],
    ) -> Result<Arc<Caller>, Refusal> {
        match (credentials.next(), credentials.next()) {
            (Some(only), None) => {
                let token = token(only.as_bytes()).ok_or(Refusal::Malformed)?;
                self.with_token(token).ok_or(Refusal::UnknownToken)
            }
            (Some(_), Some(_)) => Err(Refusal::Malformed),
            (None, _) if names.is_empty() => Err(Refusal::Missing),
            (None, _) => {
                let mut known = self.certificates.iter();
                let found = known.find(|(certificate, _)| names.contains(certificate));
                found.map(|(_, caller)| Arc::clone(caller)).ok_or(Refusal::UnknownCertificate)
            }
        }
    }

    fn with_token(&self, token: &[u8]) -> Option<Arc<Caller>> {
        let hash: Hash = Sha256::digest(token).into();
        // All are compared, wherever the right one stands.
        let compare = |found: Option<Arc<Caller>>, (known, caller): &(Hash, Arc<Caller>)| {
            if bool::from(known.ct_eq(&hash)) { Some(Arc::clone(caller)) } else { found }
        };
        self.tokens.iter().fold(None, compare)
    }
}

fn scope(tasks: Vec<String>) -> Result<Scope, String> {
    let tasks: BTreeSet<String> = tasks.into_iter().collect();
    match (tasks.contains(ALL_TASKS), tasks.len()) {
        (_, 0) => Err("`tasks` is empty: name tasks, or [\"*\"] for all".to_owned()),
        (true, 1) => Ok(Scope::All),
        (true, _) => Err("`tasks` has \"*\" beside others: name tasks, or all".to_owned()),
        (false, _) => Ok(Scope::These(tasks)),
    }
}

/// What follows `Bearer`.
fn token(credentials: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = credentials.split_at_checked(b"Bearer ".len())?;
    let token = token.trim_ascii();
    let fits = (1..=MAX_TOKEN_BYTES).contains(&token.len());
    (scheme.eq_ignore_ascii_case(b"Bearer ") && fits).then_some(token)
}

fn hash_of_hex(hex: &str) -> Option<Hash> {
    let mut hash = Hash::default();
    let digits: Option<Vec<u8>> =
        hex.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len() == 2 * hash.len())?;
    for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    Some(hash)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A token that has just been made.
pub struct NewToken {
    /// For the caller, who keeps it secret.
    pub token: String,
    /// For the server's file.
    pub sha256: String,
}

/// Makes a token of 256 random bits.
///
/// # Errors
///
/// If the system has no random numbers.
pub fn new_token() -> std::io::Result<NewToken> {
    let mut random = [0; NEW_TOKEN_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    // The beginning lets those who look for leaked secrets find it.
    let token = format!("dynamar_{}", hex(&random));
    let sha256 = hex(&Sha256::digest(token.as_bytes()));
    Ok(NewToken { token, sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        [[caller]]
        name = "shop"
        # Of "secret", in capitals.
        sha256 = "2BB80D537B1DA3E38BD30361AA855686BDE0EACD7162FEF6A25FE97BF527A25B"
        tasks = ["polarity", "intensity"]

        [[caller]]
        certificate = "batch.example"
        tasks = ["*"]
    "#;

    fn identify(
        callers: &Callers,
        credentials: &[&str],
        names: &[&str],
    ) -> Result<String, Refusal> {
        let credentials: Vec<HeaderValue> =
            credentials.iter().map(|one| HeaderValue::from_str(one).expect("a header")).collect();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let caller = callers.identify(credentials.iter(), &names)?;
        Ok(caller.name().to_owned())
    }

    #[test]
    fn callers_are_known_by_token_or_certificate() {
        let callers = Callers::read(FILE.as_bytes()).expect("a good file");
        let check = |credentials: &[&str], names: &[&str], expected: Result<&str, Refusal>| {
            let found = identify(&callers, credentials, names);
            assert_eq!(found.as_deref().map_err(|refusal| *refusal), expected, "{credentials:?}");
        };
        check(&["Bearer secret"], &[], Ok("shop"));
        check(&["bearer  secret "], &["nobody"], Ok("shop"));
        check(&[], &["other", "batch.example"], Ok("batch.example"));
        check(&[], &[], Err(Refusal::Missing));
        check(&[], &["other"], Err(Refusal::UnknownCertificate));
        check(&["Bearer Secret"], &["batch.example"], Err(Refusal::UnknownToken));
        let long = format!("Bearer {}", "x".repeat(MAX_TOKEN_BYTES + 1));
        for bad in ["", "Bearer", "Bearer ", "secret", "Basic secret", &long] {
            check(&[bad], &["batch.example"], Err(Refusal::Malformed));
        }
        check(&["Bearer secret", "Bearer secret"], &[], Err(Refusal::Malformed));
    }

    #[test]
    fn a_scope_is_all_tasks_or_some() {
        let callers = Callers::read(FILE.as_bytes()).expect("a good file");
        let (_, shop) = &callers.tokens[0];
        assert!(shop.may_ask("polarity") && shop.may_ask("intensity") && !shop.may_ask("other"));
        let (_, batch) = &callers.certificates[0];
        assert!(batch.may_ask("other"));
        assert!(!Caller::nobody().may_ask("polarity"));
    }

    #[test]
    fn mistakes_are_told_with_their_place_and_without_what_stands_there() {
        let check = |file: &str, expected: &str| {
            let problem = Callers::read(file.as_bytes()).err().unwrap_or_default();
            assert!(problem.contains(expected), "{file}: {problem}");
            assert_eq!(problem.lines().count(), 1, "{problem}");
            assert!(!problem.contains("topsecret"), "{problem}");
        };
        let hash = "0".repeat(64);
        check("[[caller]]\nname = topsecret", "line 2: ");
        check("[[callers]]", "line 1: unknown field `callers`");
        check("[[caller]]\ntoken = \"topsecret\"\ntasks = []", "line 2: unknown field `token`");
        check("[[caller]]\nname = \"a\"\ntasks = [\"*\"]", "caller 1: needs either");
        check(&format!("[[caller]]\nsha256 = \"{hash}\"\ntasks = [\"*\"]"), "has no `name`");
        let with = |rest: &str| format!("[[caller]]\nname = \"a\"\n{rest}");
        check(&with("sha256 = \"topsecret\"\ntasks = [\"*\"]"), "64 hexadecimal digits");
        check(&with(&format!("sha256 = \"{hash}\"\ntasks = []")), "`tasks` is empty");
        check(&with(&format!("sha256 = \"{hash}\"\ntasks = [\"*\", \"b\"]")), "beside others");
        check(&with(&format!("sha256 = \"{hash}\"\n")), "missing field `tasks`");
        let twice = with(&format!("sha256 = \"{hash}\"\ntasks = [\"*\"]\n")).repeat(2);
        check(&twice, "caller 2: has the same token");
        let twice = "[[caller]]\ncertificate = \"c\"\ntasks = [\"*\"]\n".repeat(2);
        check(&twice, "caller 2: has the same certificate");
        check(
            "[[caller]]\nname = \"a\\nb\"\ncertificate = \"c\"\ntasks = [\"*\"]",
            "`name` is not",
        );
        assert!(Callers::read(b"\xff").is_err_and(|problem| problem == "is not UTF-8"));
        assert!(Callers::read(b"").is_ok(), "nobody may call");
    }

    #[test]
    fn a_new_token_opens_the_door_and_is_new() {
        let (one, other) = (new_token().expect("random"), new_token().expect("random"));
        assert_ne!(one.token, other.token);
        assert_eq!(one.token.len(), "dynamar_".len() + 2 * NEW_TOKEN_BYTES);
        let file =
            format!("[[caller]]\nname = \"a\"\nsha256 = \"{}\"\ntasks = [\"*\"]", one.sha256);
        let callers = Callers::read(file.as_bytes()).expect("a good file");
        let bearer = |token: &str| format!("Bearer {token}");
        assert_eq!(identify(&callers, &[&bearer(&one.token)], &[]), Ok("a".to_owned()));
        assert_eq!(identify(&callers, &[&bearer(&other.token)], &[]), Err(Refusal::UnknownToken));
    }
}
