//! The logins that `cosbroker init` knows. Their files in `logins/` are the recipes of docs/start/logins.md.

use super::quoted;

/// The sections of a configuration and a template for one login.
#[derive(Debug, Clone)]
pub(super) struct Login {
    /// The section `[[issuer]]`, with its comments.
    pub(super) section: String,
    /// The section `[require]` of the template, if the login has tokens that must not get keys.
    pub(super) require: Option<String>,
}

const LOGINS: [(&str, &str); 23] = [
    ("apple", include_str!("../../../logins/apple.toml")),
    ("auth0", include_str!("../../../logins/auth0.toml")),
    ("authing", include_str!("../../../logins/authing.toml")),
    ("casdoor", include_str!("../../../logins/casdoor.toml")),
    ("clerk", include_str!("../../../logins/clerk.toml")),
    ("cognito-access", include_str!("../../../logins/cognito-access.toml")),
    ("cognito-id", include_str!("../../../logins/cognito-id.toml")),
    ("devise-jwt", include_str!("../../../logins/devise-jwt.toml")),
    ("django-simplejwt", include_str!("../../../logins/django-simplejwt.toml")),
    ("entra-id-multi-tenant", include_str!("../../../logins/entra-id-multi-tenant.toml")),
    ("entra-id", include_str!("../../../logins/entra-id.toml")),
    ("firebase", include_str!("../../../logins/firebase.toml")),
    ("flask-jwt-extended", include_str!("../../../logins/flask-jwt-extended.toml")),
    ("google", include_str!("../../../logins/google.toml")),
    ("keycloak", include_str!("../../../logins/keycloak.toml")),
    ("laravel-passport", include_str!("../../../logins/laravel-passport.toml")),
    ("logto", include_str!("../../../logins/logto.toml")),
    ("okta", include_str!("../../../logins/okta.toml")),
    ("ruoyi", include_str!("../../../logins/ruoyi.toml")),
    ("spring-authorization-server", include_str!("../../../logins/spring-authorization-server.toml")),
    ("supabase", include_str!("../../../logins/supabase.toml")),
    ("wechat-mini-program", include_str!("../../../logins/wechat-mini-program.toml")),
    ("zitadel", include_str!("../../../logins/zitadel.toml")),
];

/// Returns the names of all logins.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    LOGINS.iter().map(|(name, _)| *name)
}

impl Login {
    pub(super) fn named(name: &str) -> Option<Self> {
        let (_, text) = LOGINS.iter().find(|(known, _)| *known == name)?;
        Some(match text.split_once("\n[require]\n") {
            Some((section, require)) => {
                Self { section: section.to_owned(), require: Some(format!("[require]\n{require}")) }
            }
            None => Self { section: (*text).to_owned(), require: None },
        })
    }

    /// Returns the login with the app's issuer and audience instead of the example's.
    pub(super) fn with(self, issuer: Option<&str>, audience: Option<&str>) -> Self {
        let lines = self.section.lines().map(|line| match (issuer, audience) {
            (Some(issuer), _) if line.starts_with("issuer = ") => format!("issuer = {}", quoted(issuer)),
            (_, Some(audience)) if line.starts_with("audience = ") => {
                format!("audience = [{}]", quoted(audience))
            }
            _ => line.to_owned(),
        });
        Self { section: lines.map(|line| line + "\n").collect(), ..self }
    }

    /// Whether its tokens name an audience.
    pub(super) fn has_audience(&self) -> bool {
        self.value("audience").is_none_or(|audience| audience != "absent")
    }

    /// Whether its issuer has tenants, which the home in a template must name.
    pub(super) fn has_tenants(&self) -> bool {
        self.value("issuer").is_some_and(|issuer| issuer.contains("{tenantid}"))
    }

    /// The variable with the secret, if there is one.
    pub(super) fn secret_variable(&self) -> Option<&str> {
        self.value("secret_env")
    }

    /// The file with the public key, if there is one.
    pub(super) fn key_file(&self) -> Option<&str> {
        self.value("public_key_file")
    }

    /// The issuer as written.
    pub(super) fn issuer(&self) -> String {
        self.value("issuer").unwrap_or_default().to_owned()
    }

    /// The first audience as written; nothing if its tokens have none.
    pub(super) fn audience(&self) -> String {
        let written = self.value("audience").unwrap_or_default();
        let list = written.trim_start_matches('[').trim_end_matches(']');
        list.split(',').next().unwrap_or_default().trim().trim_matches('"').to_owned()
    }

    fn value(&self, key: &str) -> Option<&str> {
        let line = self.section.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))?;
        Some(line.trim_matches('"'))
    }
}
