//! What a certificate says of itself (RFC 5280): its owner's names and the time in which it holds.
//!
//! rustls checks certificates; it does not tell this much of them. Only what has passed its checks
//! comes here, or is an operator's own.

use std::{
    ops::RangeInclusive,
    time::{SystemTime, UNIX_EPOCH},
};

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT: u8 = 0x06;
const OCTETS: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const VERSION: u8 = 0xA0;
const EXTENSIONS: u8 = 0xA3;
const DNS_NAME: u8 = 0x82;
const URI: u8 = 0x86;

/// 2.5.29.17, subjectAltName.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1D, 0x11];

/// 2.5.4.3, commonName.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// What is of interest here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    /// The DNS names and URIs of its owner; the common name if there are none.
    pub names: Vec<String>,
    /// From the first second to the last, since 1970.
    pub validity: RangeInclusive<i64>,
}

impl Certificate {
    /// Reads the DER encoding; `None` if it is none.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let mut certificate = Der(Der(der).get(SEQUENCE)?);
        let mut signed = Der(certificate.get(SEQUENCE)?);
        if signed.peek() == Some(VERSION) {
            signed.next()?;
        }
        let (_serial, _algorithm, _issuer) = (signed.next()?, signed.next()?, signed.next()?);
        let mut validity = Der(signed.get(SEQUENCE)?);
        let validity = time(validity.next()?)?..=time(validity.next()?)?;
        let subject = signed.get(SEQUENCE)?;
        let mut names = Vec::new();
        while let Some((tag, content)) = signed.next() {
            if tag == EXTENSIONS {
                names = alternative_names(Der(content).get(SEQUENCE)?)?;
            }
        }
        if names.is_empty() {
            names.extend(common_name(subject));
        }
        Some(Self { names, validity })
    }

    /// What is wrong with its time, to follow its path.
    pub(super) fn is_out_of_date(&self, now: SystemTime) -> Option<&'static str> {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        if now > *self.validity.end() {
            Some("has expired: renew the certificate")
        } else if now < *self.validity.start() {
            Some("is not valid yet: look at the certificate, and at this machine's clock")
        } else {
            None
        }
    }
}

fn alternative_names(extensions: &[u8]) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut extensions = Der(extensions);
    while let Some((_, extension)) = extensions.next() {
        let mut extension = Der(extension);
        if extension.get(OBJECT)? != ALTERNATIVE_NAMES {
            continue;
        }
        // Whether it is critical may stand between.
        let value = loop {
            let (tag, content) = extension.next()?;
            if tag == OCTETS {
                break content;
            }
        };
        let mut names = Der(Der(value).get(SEQUENCE)?);
        while let Some((tag, name)) = names.next() {
            if [DNS_NAME, URI].contains(&tag) {
                found.push(std::str::from_utf8(name).ok()?.to_owned());
            }
        }
    }
    Some(found)
}

fn common_name(subject: &[u8]) -> Option<String> {
    let mut subject = Der(subject);
    let mut found = None;
    while let Some(mut attributes) = subject.get(SET).map(Der) {
        while let Some(mut attribute) = attributes.get(SEQUENCE).map(Der) {
            if attribute.get(OBJECT)? == COMMON_NAME {
                found = Some(std::str::from_utf8(attribute.next()?.1).ok()?.to_owned());
            }
        }
    }
    found
}

/// Seconds since 1970 of `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time((tag, text): (u8, &[u8])) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = text.split_at_checked(if tag == UTC_TIME { 2 } else { 4 })?;
    let year: i64 = year.parse().ok()?;
    let year = match tag {
        UTC_TIME if year < 50 => year + 2000,
        UTC_TIME => year + 1900,
        _ => year,
    };
    let part = |at: usize| rest.get(2 * at..2 * at + 2)?.parse::<i64>().ok();
    let days = days_since_1970(year, part(0)?, part(1)?);
    Some(((days * 24 + part(2)?) * 60 + part(3)?) * 60 + part(4)?)
}

/// In the Gregorian calendar. Years begin in March here, so that the leap day is their last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let in_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + in_year
        - 719_468
}

/// What is left of a DER encoding: tags, lengths and contents.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next element; `None` at the end, or if it is none.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7F => (usize::from(first), rest),
            0x81..=0x84 => {
                let (length, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
                (length.iter().fold(0, |all, &byte| all << 8 | usize::from(byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The content of the next element if it has this tag.
    fn get(&mut self, expected: u8) -> Option<&'a [u8]> {
        self.next().filter(|(tag, _)| *tag == expected).map(|(_, content)| content)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, DnType, KeyPair, SanType, date_time_ymd};

    use super::*;

    fn read(change: impl FnOnce(&mut CertificateParams)) -> Certificate {
        let mut params = CertificateParams::default();
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let der = params.self_signed(&key).expect("a certificate").der().to_vec();
        for cut in 0..der.len() {
            assert_eq!(Certificate::read(&der[..cut]), None);
        }
        Certificate::read(&der).expect("read")
    }

    #[test]
    fn alternative_names_come_before_the_common_name() {
        let named = |names: Vec<SanType>| {
            read(|params| {
                params.distinguished_name.push(DnType::OrganizationName, "Example");
                params.distinguished_name.push(DnType::CommonName, "shop");
                params.subject_alt_names = names;
            })
            .names
        };
        assert_eq!(named(Vec::new()), ["shop"]);
        let dns = SanType::DnsName("a.example".try_into().expect("ASCII"));
        let uri = SanType::URI("spiffe://example/shop".try_into().expect("ASCII"));
        let ip = SanType::IpAddress([127, 0, 0, 1].into());
        assert_eq!(named(vec![ip.clone()]), ["shop"]);
        assert_eq!(named(vec![dns, ip, uri]), ["a.example", "spiffe://example/shop"]);
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        let dated =
            |from, to| read(|params| (params.not_before, params.not_after) = (from, to)).validity;
        // As `date -u -d 2024-02-29 +%s` says.
        let validity = dated(date_time_ymd(2024, 2, 29), date_time_ymd(2100, 3, 1));
        assert_eq!(validity, 1_709_164_800..=4_107_542_400);
        let old = dated(date_time_ymd(1970, 1, 1), date_time_ymd(1999, 12, 31));
        assert_eq!(old, 0..=946_598_400);
        let certificate = Certificate { names: Vec::new(), validity: 10..=20 };
        let at = |seconds| certificate.is_out_of_date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert!(at(9).is_some_and(|problem| problem.contains("not valid yet")));
        assert_eq!((at(10), at(20)), (None, None));
        assert!(at(21).is_some_and(|problem| problem.contains("expired")));
    }
}
