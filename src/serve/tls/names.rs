//! Whose a client certificate is.

use rustls::pki_types::CertificateDer;
use x509_parser::error::X509Error;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Most names of one certificate; the first count.
const MOST: usize = 64;
/// Longest name, bytes; SPIFFE's limit.
const LONGEST: usize = 2048;

/// The names in a certificate, each with its kind, in its order: alternative names, then common names.
///
/// Names that may be taken for others are left out: empty ones, those with control characters, and alternative names that
/// are not ASCII.
///
/// # Errors
/// When it cannot be read, or its names are malformed.
pub(super) fn names(certificate: &CertificateDer<'_>) -> Result<Vec<String>, X509Error> {
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|error| match error {
        x509_parser::nom::Err::Error(error) | x509_parser::nom::Err::Failure(error) => error,
        x509_parser::nom::Err::Incomplete(_) => X509Error::InvalidCertificate,
    })?;
    let alternative = certificate.subject_alternative_name()?;
    let alternative =
        alternative.iter().flat_map(|found| &found.value.general_names).filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(("DNS", *name)),
            GeneralName::URI(name) => Some(("URI", *name)),
            GeneralName::RFC822Name(name) => Some(("email", *name)),
            _ => None,
        });
    let alternative = alternative.filter(|(_, name)| name.is_ascii());
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let all = alternative.chain(common.map(|name| ("CN", name)));
    let clear = all.filter(|(_, name)| is_clear(name)).map(|(kind, name)| format!("{kind}:{name}"));
    Ok(clear.take(MOST).collect())
}

fn is_clear(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len()) && !name.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn made(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    /// Alternative names by their tags, whatever bytes they have.
    fn raw(names: &[(u8, &[u8])]) -> CertificateDer<'static> {
        let length = |length: usize| match length {
            0..128 => vec![u8::try_from(length).unwrap()],
            _ => [&[0x82][..], &u16::try_from(length).unwrap().to_be_bytes()].concat(),
        };
        let tagged = |tag: u8, bytes: &[u8]| [&[tag][..], &length(bytes.len()), bytes].concat();
        let all: Vec<u8> = names.iter().flat_map(|(tag, bytes)| tagged(0x80 | tag, bytes)).collect();
        let oid = [2, 5, 29, 17];
        made(|params| {
            params.custom_extensions.push(CustomExtension::from_oid_content(&oid, tagged(0x30, &all)));
        })
    }

    const EMAIL: u8 = 1;
    const DNS: u8 = 2;
    const URI: u8 = 6;

    #[test]
    fn every_kind_of_name_is_told_with_its_kind() {
        let certificate = made(|params| {
            params.subject_alt_names = vec![
                SanType::DnsName("a.example".try_into().unwrap()),
                SanType::URI("spiffe://a.example/team".try_into().unwrap()),
                SanType::IpAddress([10, 0, 0, 1].into()),
                SanType::Rfc822Name("a@b.example".try_into().unwrap()),
                SanType::DnsName("*.example".try_into().unwrap()),
            ];
            params.distinguished_name.push(DnType::OrganizationName, "not a name of its own");
            params.distinguished_name.push(DnType::CommonName, "J\u{fc}rgen");
        });
        assert_eq!(
            names(&certificate).unwrap(),
            [
                "DNS:a.example",
                "URI:spiffe://a.example/team",
                "email:a@b.example",
                "DNS:*.example",
                "CN:J\u{fc}rgen"
            ]
        );
        assert!(names(&made(|_| ())).unwrap().is_empty());
    }

    #[test]
    fn names_that_may_be_taken_for_others_are_left_out() {
        let long = vec![b'a'; LONGEST + 1];
        let odd: [(u8, &[u8]); 9] = [
            (DNS, b"good.example\0.evil.example"),
            (URI, b"spiffe://good\n"),
            (EMAIL, b"a@good.example\x7f"),
            (DNS, b""),
            (URI, &long),
            (DNS, "g\u{f6}\u{f6}d.example".as_bytes()),
            (DNS, b"\xff\xfe"),
            // A directory's name and an address, malformed.
            (4, b"junk"),
            (7, b"1"),
        ];
        for one in odd {
            let found = names(&raw(&[one, (DNS, b"right.example")]));
            // Whole lists may be refused, no name may come out changed.
            assert!(found.as_ref().map_or(true, |found| found == &["DNS:right.example"]), "{found:?}");
        }
        assert_eq!(names(&raw(&odd[..6])).unwrap(), Vec::<String>::new());
        let common = made(|params| params.distinguished_name.push(DnType::CommonName, "good\0evil"));
        assert!(names(&common).unwrap().is_empty());
    }

    #[test]
    fn a_thousand_names_are_bounded() {
        let all: Vec<String> = (0..1000).map(|number| format!("{number}.example")).collect();
        let all: Vec<(u8, &[u8])> = all.iter().map(|name| (DNS, name.as_bytes())).collect();
        let found = names(&raw(&all)).unwrap();
        assert_eq!(
            (found.len(), found[0].as_str(), found[63].as_str()),
            (MOST, "DNS:0.example", "DNS:63.example")
        );
    }

    #[test]
    fn what_is_no_certificate_is_an_error() {
        let whole = made(|params| params.subject_alt_names = vec![SanType::DnsName("a".try_into().unwrap())]);
        for end in 0..whole.len() {
            assert!(names(&CertificateDer::from(&whole[..end])).is_err(), "{end}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.to_vec();
            changed[at] ^= 0xff;
            // An error or other names, never a panic.
            let _ = names(&CertificateDer::from(changed));
        }
    }
}
