//! The operator's own keys: given by the configuration or by the provider chain of Tencent's SDKs, or fetched
//! where the cloud puts them; and the files that a given key is read from once more when it is rotated.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::secrets::{Environment, secret_of};

/// Where the operator's own keys come from.
#[derive(Debug)]
pub enum SourceCredentialsConfig {
    /// Read from the environment, a file or the SDK's profile; and the files, if both halves stand in files.
    Static(StaticCredentials, Option<CredentialFiles>),
    /// A TKE web identity, from the variables that the cluster sets.
    WebIdentity {
        /// `TKE_REGION`.
        region: String,
        /// `TKE_PROVIDER_ID`.
        provider_id: String,
        /// `TKE_WEB_IDENTITY_TOKEN_FILE`, read anew each time: the cluster rotates it.
        token_file: PathBuf,
        /// `TKE_ROLE_ARN`.
        role_arn: String,
    },
    /// The role of the CVM instance this runs on, from the instance's metadata.
    InstanceRole,
}

/// A key that was given.
#[derive(Debug)]
pub struct StaticCredentials {
    /// `SecretId`.
    pub id: SecretString,
    /// `SecretKey`.
    pub key: SecretString,
    /// `Token`, where the key is temporary itself.
    pub token: Option<SecretString>,
}

/// The files that a given key stands in. Whoever rotates it writes the new one there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialFiles {
    /// `sts.secret_id_file` and `sts.secret_key_file`.
    Pair {
        /// `SecretId`.
        id: PathBuf,
        /// `SecretKey`.
        key: PathBuf,
    },
    /// The profile of Tencent's SDKs.
    Profile(PathBuf),
}

/// Why there is no key in a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}", file.display())]
pub struct MissingCredentials {
    file: PathBuf,
    what: String,
}

impl CredentialFiles {
    /// Reads the key that stands there now.
    ///
    /// # Errors
    /// The file that cannot be read or holds none.
    pub fn read(&self) -> Result<StaticCredentials, MissingCredentials> {
        match self {
            Self::Pair { id, key } => Ok(StaticCredentials { id: half(id)?, key: half(key)?, token: None }),
            Self::Profile(path) => profile(path),
        }
    }
}

impl SourceCredentialsConfig {
    /// The operator's keys where the configuration names none: the environment, the SDK's profile file,
    /// a TKE web identity, else the instance's role (`docs/tencent.md`; SDK credential.py). The SDK asks the
    /// instance before the cluster; a pod that has a web identity means it, so it goes first here.
    pub(super) fn of_provider_chain(environment: &Environment<'_>) -> Self {
        let variable = |name: &str| (environment.0)(name).filter(|value| !value.is_empty());
        if let (Some(id), Some(key)) =
            (variable("TENCENTCLOUD_SECRET_ID"), variable("TENCENTCLOUD_SECRET_KEY"))
        {
            let token = variable("TENCENTCLOUD_TOKEN").map(SecretString::from);
            return Self::Static(StaticCredentials { id: id.into(), key: key.into(), token }, None);
        }
        let home = variable("HOME").map(|home| Path::new(&home).join(".tencentcloud/credentials"));
        let mut profiles = home.into_iter().chain([PathBuf::from("/etc/tencentcloud/credentials")]);
        if let Some((key, path)) = profiles.find_map(|path| Some((profile(&path).ok()?, path))) {
            return Self::Static(key, Some(CredentialFiles::Profile(path)));
        }
        let cluster =
            ["TKE_REGION", "TKE_PROVIDER_ID", "TKE_WEB_IDENTITY_TOKEN_FILE", "TKE_ROLE_ARN"].map(variable);
        match cluster {
            [Some(region), Some(provider_id), Some(token_file), Some(role_arn)] => {
                Self::WebIdentity { region, provider_id, token_file: token_file.into(), role_arn }
            }
            _ => Self::InstanceRole,
        }
    }

    /// Whether the keys are temporary themselves.
    pub(super) fn are_temporary(&self) -> bool {
        match self {
            Self::Static(key, _) => key.token.is_some(),
            Self::WebIdentity { .. } | Self::InstanceRole => true,
        }
    }
}

/// Whether a text may be half of a key: neither empty nor with a byte that no key has.
pub(super) fn is_half(text: &SecretString) -> bool {
    let text = text.expose_secret();
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn half(path: &Path) -> Result<SecretString, MissingCredentials> {
    let no_key = |what: String| MissingCredentials { file: path.to_owned(), what };
    let bytes = std::fs::read(path).map_err(|error| no_key(error.to_string()))?;
    let half = secret_of(bytes).map_err(|error| no_key(error.to_string()))?;
    if is_half(&half) { Ok(half) } else { Err(no_key("holds something else than a key".to_owned())) }
}

/// `secret_id` and `secret_key` of the section `[default]` of the SDK's INI profile.
fn profile(path: &Path) -> Result<StaticCredentials, MissingCredentials> {
    let no_key = |what: String| MissingCredentials { file: path.to_owned(), what };
    let bytes = std::fs::read(path).map_err(|error| no_key(error.to_string()))?;
    let text = secret_of(bytes).map_err(|error| no_key(error.to_string()))?;
    let entries: Vec<(&str, &str)> = text
        .expose_secret()
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "[default]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect();
    let value = |name: &str| {
        let found = entries.iter().find(|(key, value)| *key == name && !value.is_empty());
        found.map(|(_, value)| SecretString::from(*value)).filter(is_half)
    };
    let (id, key) = value("secret_id")
        .zip(value("secret_key"))
        .ok_or_else(|| no_key("its section [default] has not both secret_id and secret_key".to_owned()))?;
    Ok(StaticCredentials { id, key, token: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(read: Result<StaticCredentials, MissingCredentials>) -> Result<(String, String), String> {
        read.map(|key| (key.id.expose_secret().to_owned(), key.key.expose_secret().to_owned()))
            .map_err(|none| none.to_string())
    }

    #[test]
    fn a_key_is_read_from_where_it_stands_or_the_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let [id, key, ini] = ["id", "key", "credentials"].map(|name| dir.path().join(name));
        let pair = CredentialFiles::Pair { id: id.clone(), key: key.clone() };
        std::fs::write(&id, "AKIDone\r\n").unwrap();
        assert!(shown(pair.read()).unwrap_err().contains("key: No such file"), "{:?}", pair.read());
        for (text, what) in [("", "something else"), ("two words", "something else"), ("ü", "something else")]
        {
            std::fs::write(&key, text).unwrap();
            assert!(shown(pair.read()).unwrap_err().contains(what), "{text}: {:?}", pair.read());
        }
        std::fs::write(&key, "secret\n").unwrap();
        assert_eq!(shown(pair.read()), Ok(("AKIDone".to_owned(), "secret".to_owned())));

        let profile = CredentialFiles::Profile(ini.clone());
        std::fs::write(&ini, "[other]\nsecret_id = x\nsecret_key = y\n[default]\nsecret_id = AKIDtwo\n")
            .unwrap();
        assert!(shown(profile.read()).unwrap_err().contains("[default]"));
        std::fs::write(&ini, "[default]\nsecret_id = AKIDtwo\nsecret_key=s2\n[other]\n").unwrap();
        assert_eq!(shown(profile.read()), Ok(("AKIDtwo".to_owned(), "s2".to_owned())));
    }
}
