//! Routes: the label of each in metrics, and the form of its errors.

use super::refusal::Form;

/// The route of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Credentials,
    Explain,
    Sign,
    Sts,
    KeyAndCredentials,
    /// Probes, descriptions, and paths that do not exist.
    Other,
}

impl Route {
    pub(super) const ALL: [Self; 6] =
        [Self::Credentials, Self::Explain, Self::Sign, Self::Sts, Self::KeyAndCredentials, Self::Other];

    pub(super) fn of(path: &str) -> Self {
        match path {
            "/sign" => Self::Sign,
            "/sts" => Self::Sts,
            "/getKeyAndCredentials" => Self::KeyAndCredentials,
            _ if is_below(path, "/v1/credentials") => Self::Credentials,
            _ if is_below(path, "/v1/explain") => Self::Explain,
            _ => Self::Other,
        }
    }

    /// Value of the `route` label.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Credentials => "/v1/credentials",
            Self::Explain => "/v1/explain",
            Self::Sign => "/sign",
            Self::Sts => "/sts",
            Self::KeyAndCredentials => "/getKeyAndCredentials",
            Self::Other => "other",
        }
    }

    /// Whether it answers with a credential.
    pub(super) fn serves_credentials(self) -> bool {
        match self {
            Self::Credentials | Self::Sign | Self::Sts | Self::KeyAndCredentials => true,
            Self::Explain | Self::Other => false,
        }
    }

    /// The body of its errors.
    pub(super) fn error_form(self) -> Form {
        match self {
            Self::Sign | Self::Sts | Self::KeyAndCredentials => Form::Envelope,
            Self::Credentials | Self::Explain | Self::Other => Form::Problem,
        }
    }
}

/// Whether a path is `route`, or has more segments behind it.
fn is_below(path: &str, route: &str) -> bool {
    path.strip_prefix(route).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_belongs_to_one_of_six_routes() {
        for (path, route) in [
            ("/v1/credentials", "/v1/credentials"),
            ("/v1/credentials/upload", "/v1/credentials"),
            ("/v1/credentialsx", "other"),
            ("/v1/explain/files", "/v1/explain"),
            ("/sign", "/sign"),
            ("/sts", "/sts"),
            ("/sts/alice", "other"),
            ("/getKeyAndCredentials", "/getKeyAndCredentials"),
            ("/healthz", "other"),
            ("/users/alice", "other"),
        ] {
            assert_eq!(Route::of(path).name(), route, "{path}");
        }
    }
}
