//! Who a server is to the Syncthing of its peers: an Ed25519 key, a certificate made of it, and the device id, which is the
//! certificate's hash. Made from a secret of the server's own, always the same: peers can be told of a server before it runs
//! and after it was replaced, and nothing has to be kept. A cloned environment has other servers, therefore others' names.
//!
//! Everything that goes into a certificate is said here, and nothing is left to the library's choice: another certificate would
//! be another name.

use provisioners::Secret;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ED25519, SerialNumber, date_time_ymd};
use sha2::{Digest, Sha256};

/// One server's identity; certificate and key as PEM.
pub(super) struct Device {
    pub id: String,
    pub certificate: String,
    pub key: Secret,
}

/// The common name Syncthing expects of its peers.
const NAME: &str = "syncthing";
/// A PKCS #8 Ed25519 key up to the seed itself (RFC 8410, section 7).
const KEY_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// The identity that belongs to this secret.
pub(super) fn device(seed: &[u8; 32]) -> Device {
    let key = [KEY_HEAD.as_slice(), seed].concat();
    let pair = KeyPair::from_pkcs8_der_and_sign_algo(&key.into(), &PKCS_ED25519);
    let pair = pair.expect("every seed of 32 bytes is a key");
    let mut claims = CertificateParams::default();
    claims.serial_number = Some(SerialNumber::from(1));
    (claims.not_before, claims.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(9999, 1, 1));
    claims.distinguished_name = DistinguishedName::new();
    claims.distinguished_name.push(DnType::CommonName, NAME);
    let certificate = claims.self_signed(&pair).expect("a name and two days can be written");
    Device {
        id: device_id(&Sha256::digest(certificate.der())),
        certificate: certificate.pem(),
        key: Secret::new(pair.serialize_pem()),
    }
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// As Syncthing writes it: base32, a check digit after each 13, in groups of seven.
/// <https://docs.syncthing.net/dev/device-ids.html>
fn device_id(hash: &[u8]) -> String {
    let mut bits = hash.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect::<Vec<u8>>();
    bits.resize(bits.len().next_multiple_of(5), 0);
    let digits: Vec<u8> = bits.chunks(5).map(|five| five.iter().fold(0, |digit, bit| digit << 1 | bit)).collect();
    let checked: Vec<u8> = digits.chunks(13).flat_map(|part| part.iter().copied().chain([check_digit(part)])).collect();
    let groups =
        checked.chunks(7).map(|group| group.iter().map(|digit| char::from(BASE32[usize::from(*digit)])).collect());
    groups.collect::<Vec<String>>().join("-")
}

/// Luhn's, in base 32.
fn check_digit(digits: &[u8]) -> u8 {
    let sum = digits.iter().zip([1, 2].into_iter().cycle()).fold(0u32, |sum, (digit, factor)| {
        let product = factor * u32::from(*digit);
        sum + product / 32 + product % 32
    });
    u8::try_from((32 - sum % 32) % 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_always_the_same_to_its_peers_and_no_other() {
        let one = device(&[7; 32]);
        assert_eq!((&one.id, &one.certificate), (&device(&[7; 32]).id, &device(&[7; 32]).certificate));
        assert_ne!(one.id, device(&[8; 32]).id);
        assert_eq!(one.key.to_string(), "***");
        assert_eq!((one.id.len(), one.id.split('-').count()), (63, 8));
        // Also to those that were told of it by an earlier Bookend.
        assert_eq!(one.id, "5YL2LG4-VKYDMVJ-XCAW5RW-SASDIVQ-32AQINW-ZQ2TBZR-DEOYGS5-JRLKIQL");
    }

    /// An id that Syncthing 1.19 gave itself.
    #[test]
    fn device_ids_have_the_check_digits_that_syncthing_gives_them() {
        let id = "GUVT267-7VJ65NT-YWAQN6A-VJCXVQG-GTDQPVJ-XNAEFKY-DWZZJDG-4YRMXAA";
        let place = |byte| BASE32.iter().position(|digit| *digit == byte).and_then(|at| u8::try_from(at).ok());
        let digits: Vec<u8> = id.bytes().filter_map(place).collect();
        for part in digits.chunks(14) {
            assert_eq!(check_digit(&part[..13]), part[13]);
        }
        let bits = digits
            .chunks(14)
            .flat_map(|part| &part[..13])
            .flat_map(|digit| (0..5).rev().map(move |bit| digit >> bit & 1));
        let bits: Vec<u8> = bits.collect();
        let hash: Vec<u8> =
            bits.chunks_exact(8).map(|eight| eight.iter().fold(0, |byte, bit| byte << 1 | bit)).collect();
        assert_eq!(device_id(&hash), id);
    }
}
