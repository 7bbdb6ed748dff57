//! Subjects as logins make them, generated: for the warning about a filter that refuses some of them, and for the
//! tests of the templates that are shipped. Each is a function of its kind and number, so it is the same every time.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// A way in which logins make the ids of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubjectKind {
    /// 21 of `A-Za-z0-9_-` (npm's `nanoid`).
    Nanoid,
    /// A random UUID (RFC 9562 §5.4).
    Uuid,
    /// `o` and 27 characters of base64url.
    WechatOpenid,
    Email,
    /// 32 bytes in base64url, as the pairwise `sub` of Entra ID.
    Base64Url,
    /// A mobile number of China with its `+86` (E.164).
    #[cfg(test)]
    Phone,
    /// Any text of Unicode with at most 128 bytes.
    #[cfg(test)]
    Unicode,
}

const BASE64URL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The characters of the local part of an e-mail address that people use.
const EMAIL: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789.+_-";

impl SubjectKind {
    /// The kinds that `lint` tries.
    pub(crate) const COMMON: [Self; 5] =
        [Self::Nanoid, Self::Uuid, Self::WechatOpenid, Self::Email, Self::Base64Url];

    #[cfg(test)]
    pub(crate) const ALL: [Self; 7] = [
        Self::Nanoid,
        Self::Uuid,
        Self::WechatOpenid,
        Self::Email,
        Self::Base64Url,
        Self::Phone,
        Self::Unicode,
    ];

    /// Returns the name for messages, in the plural.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nanoid => "nanoid ids",
            Self::Uuid => "UUIDs",
            Self::WechatOpenid => "WeChat openids",
            Self::Email => "e-mail addresses",
            Self::Base64Url => "base64url ids (Entra ID)",
            #[cfg(test)]
            Self::Phone => "phone numbers",
            #[cfg(test)]
            Self::Unicode => "Unicode texts",
        }
    }

    /// Makes the subject of a number. Two numbers make the same one only by chance.
    pub(crate) fn subject(self, number: u64) -> String {
        let mut random = SplitMix64(number.wrapping_mul(16).wrapping_add(self as u64));
        match self {
            Self::Nanoid => random.text(BASE64URL, 21),
            Self::Uuid => uuid(random.next(), random.next()),
            Self::WechatOpenid => format!("o{}", random.text(BASE64URL, 27)),
            Self::Email => format!("{}{}@example.com", random.text(b"abcdefgh", 1), random.text(EMAIL, 12)),
            Self::Base64Url => {
                let bytes: Vec<u8> = (0..4).flat_map(|_| random.next().to_be_bytes()).collect();
                URL_SAFE_NO_PAD.encode(bytes)
            }
            #[cfg(test)]
            Self::Phone => format!("+861{}", random.text(b"0123456789", 10)),
            #[cfg(test)]
            Self::Unicode => unicode(&mut random),
        }
    }
}

fn uuid(high: u64, low: u64) -> String {
    let (version, variant) = (high & !0xF000 | 0x4000, low >> 2 | 1 << 63);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        version >> 32,
        version >> 16 & 0xFFFF,
        version & 0xFFFF,
        variant >> 48,
        variant & 0xFFFF_FFFF_FFFF
    )
}

/// Makes a text of 1 to 128 bytes, of any characters or mostly of those that keys and policies treat specially.
#[cfg(test)]
fn unicode(random: &mut SplitMix64) -> String {
    const SPECIAL: &[u8] = b"ab09._-!~*?$%+/\\|{}[]()@:;,\"' \n\x1b\0";
    let max_bytes = 1 + random.below(128);
    let is_special = random.below(2) == 0;
    let mut text = String::new();
    loop {
        let c = if is_special {
            random.text(SPECIAL, 1).pop()
        } else {
            u32::try_from(random.below(0x0011_0000)).ok().and_then(char::from_u32)
        };
        let Some(c) = c else { continue };
        if text.len() + c.len_utf8() > max_bytes && !text.is_empty() {
            return text;
        }
        text.push(c);
    }
}

/// The generator of Steele, Lea and Flood (2014). It needs no secret and no seed that differs.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        let number = self.next() % (bound.max(1) as u64);
        usize::try_from(number).unwrap_or_default()
    }

    fn text(&mut self, alphabet: &[u8], length: usize) -> String {
        let characters = (0..length).filter_map(|_| alphabet.get(self.below(alphabet.len())));
        characters.map(|byte| char::from(*byte)).collect()
    }
}
