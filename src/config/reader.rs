//! Checks the parts of a configuration against each other, section by section, and gathers every problem.

use std::{
    io::ErrorKind,
    net::IpAddr,
    ops::{Range, RangeInclusive},
    path::Path,
    time::Duration,
};

use jsonwebtoken::Algorithm;
use url::Url;

use super::{
    Admin, Cache, Config, CredentialFiles, Issuer, KeySource, Limits, RevokedFile, Server,
    SourceCredentialsConfig, Sts, StsAction, Templates, Tls,
    file::{self, File},
    secrets::{self, Secrets},
    source_credentials::is_valid_key_part,
};
use diagnostics::{Diagnostic, Source, nearest};
use tencent_sts::SourceCredentials;

/// What checking needs at hand.
pub(super) struct Reader<'a> {
    pub(super) source: &'a Source,
    pub(super) secrets: Secrets<'a>,
    pub(super) base: &'a Path,
}

impl Reader<'_> {
    pub(super) fn config(&self, file: File) -> Result<Config, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        if let Some(section) = &file.redis {
            problems.push(self.problem(
                section.span(),
                "[redis] is not built yet in this version",
                "remove the section",
            ));
        }
        let mut keep = |problem| problems.push(problem);
        let server = self.server(file.server).map_err(&mut keep).ok();
        let admin = self.admin(file.admin).map_err(&mut keep).ok();
        let sts = self.sts(file.sts).map_err(&mut keep).ok();
        let cache = self.cache(&file.cache).map_err(&mut keep).ok();
        let limits = self.limits(file.limits).map_err(&mut keep).ok();
        let audit = file.audit.map(|audit| self.audit(audit)).transpose().map_err(&mut keep).ok();
        let tracing = file.tracing.map(|tracing| self.tracing(tracing)).transpose().map_err(&mut keep).ok();
        if file.issuer.is_empty() {
            keep(self.problem(
                0..0,
                "no [[issuer]] is configured, so no token could be accepted",
                "add an [[issuer]] section with issuer, audience, algorithms and a key",
            ));
        }
        let mut issuers: Vec<Issuer> = Vec::new();
        for section in file.issuer {
            let span = section.span();
            match self.issuer(section.into_inner(), span.clone()) {
                Ok(issuer) if issuers.iter().any(|other| other.issuer == issuer.issuer) => {
                    keep(self.problem(
                        span,
                        format!("issuer `{}` is configured twice", issuer.issuer),
                        "merge the two sections: a token's `iss` must lead to one set of rules",
                    ));
                }
                Ok(issuer) => issuers.push(issuer),
                Err(problem) => keep(problem),
            }
        }
        if let (Some(server), Some(admin)) = (&server, &admin)
            && server.listen == admin.listen
            && server.listen.port() != 0
        {
            keep(self.problem(
                0..0,
                format!("server.listen and admin.listen are both {}", server.listen),
                "give the operators' listener a port of its own",
            ));
        }
        let templates = templates(file.templates, self.base);
        let canary = file.canary.map(|canary| self.canary(canary, &templates));
        let canary = canary.transpose().map_err(&mut keep).ok();
        match (server, admin, sts, cache, limits, audit, tracing, canary) {
            (
                Some(server),
                Some(admin),
                Some(sts),
                Some(cache),
                Some(limits),
                Some(audit),
                Some(tracing),
                Some(canary),
            ) if problems.is_empty() => {
                Ok(Config { server, admin, issuers, templates, sts, cache, limits, audit, tracing, canary })
            }
            _ => Err(problems),
        }
    }

    fn server(&self, server: file::Server) -> Result<Server, Diagnostic> {
        let tls = match (server.tls_cert_file, server.tls_key_file) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some(Tls {
                cert: self.secrets.bytes(cert.get_ref(), cert.span())?,
                key: self.secrets.bytes(key.get_ref(), key.span())?.into(),
                place: self.source.place(&cert.span()),
            }),
            (Some(only), None) | (None, Some(only)) => {
                return Err(self.problem(
                    only.span(),
                    "[server] has one of tls_cert_file and tls_key_file",
                    "give both, or neither for plain HTTP behind a TLS proxy",
                ));
            }
        };
        for origin in &server.cors_origins {
            let exact = Url::parse(origin.get_ref())
                .is_ok_and(|url| url.origin().ascii_serialization() == *origin.get_ref());
            if !exact {
                return Err(self.problem(
                    origin.span(),
                    format!("`{}` is not an origin", origin.get_ref()),
                    "write scheme and host only, like \"https://app.example.com\"; `*` is never allowed",
                ));
            }
        }
        if let Some(workers) = server.workers.as_ref().filter(|workers| *workers.get_ref() > MOST_WORKERS) {
            return Err(self.problem(
                workers.span(),
                format!("more than {MOST_WORKERS} workers"),
                "leave it out for one per core",
            ));
        }
        for count in [&server.workers, &server.max_connections].into_iter().flatten() {
            if *count.get_ref() == 0 {
                return Err(self.problem(count.span(), "zero would serve nobody", "give 1 or more"));
            }
        }
        Ok(Server {
            listen: server.listen,
            tls,
            trusted_proxies: server.trusted_proxies,
            cors_origins: server.cors_origins.into_iter().map(toml::Spanned::into_inner).collect(),
            workers: server.workers.map(toml::Spanned::into_inner),
            max_connections: server.max_connections.map_or(25_000, toml::Spanned::into_inner),
            shutdown_timeout: server.shutdown_timeout.0,
        })
    }

    pub(super) fn admin(&self, admin: file::Admin) -> Result<Admin, Diagnostic> {
        let token = self.secrets.one_of(admin.token_env, admin.token_file, "token")?;
        let listen = *admin.listen.get_ref();
        if token.is_none() && !listen.ip().is_loopback() {
            return Err(self.problem(
                admin.listen.span(),
                format!("the operators' listener on {listen} is reachable by others and has no token"),
                "set admin.token_file or admin.token_env, or listen on 127.0.0.1",
            ));
        }
        Ok(Admin { listen, token })
    }

    fn issuer(&self, issuer: file::Issuer, span: Range<usize>) -> Result<Issuer, Diagnostic> {
        if issuer.issuer.get_ref().is_empty() {
            return Err(self.problem(
                issuer.issuer.span(),
                "issuer is empty",
                "write what the tokens' `iss` says, to the letter",
            ));
        }
        if issuer.audience.get_ref().is_empty()
            || issuer.audience.get_ref().iter().any(|one| one.trim().is_empty())
        {
            return Err(self.problem(
                issuer.audience.span(),
                "audience is empty",
                "name the audience your tokens carry in `aud`; without one, a token meant for any other service would do",
            ));
        }
        let algorithms = self.algorithms(&issuer.algorithms)?;
        let leeway = issuer.leeway.map_or(Ok(Duration::from_secs(30)), |leeway| {
            if leeway.get_ref().0 > Duration::from_mins(1) {
                return Err(self.problem(
                    leeway.span(),
                    "leeway is longer than a minute",
                    "give at most \"60s\": expired tokens would live that much longer",
                ));
            }
            Ok(leeway.get_ref().0)
        })?;
        let hmac = algorithms.iter().any(|algorithm| secrets::is_hmac(*algorithm));
        let keys = match (
            issuer.jwks_url,
            issuer.jwks_file,
            issuer.public_key_file,
            issuer.secret_env.is_some() || issuer.secret_file.is_some(),
        ) {
            (Some(url), None, None, false) => KeySource::JwksUrl(self.url(&url)?),
            (None, Some(path), None, false) => {
                let full = self.base.join(path.get_ref());
                self.secrets.bytes(path.get_ref(), path.span())?;
                KeySource::JwksFile(full)
            }
            (None, None, Some(path), false) => {
                let pem = self.secrets.bytes(path.get_ref(), path.span())?;
                KeySource::PublicKey { path: self.base.join(path.get_ref()), pem }
            }
            (None, None, None, true) => {
                KeySource::Secret(self.secrets.hmac(issuer.secret_env, issuer.secret_file)?)
            }
            _ => {
                return Err(self.problem(
                    span,
                    format!("issuer `{}` needs exactly one source of keys", issuer.issuer.get_ref()),
                    "give one of jwks_url, jwks_file, public_key_file, secret_env, secret_file",
                ));
            }
        };
        if hmac != matches!(keys, KeySource::Secret(_)) {
            return Err(self.problem(
                issuer.algorithms.span(),
                "the algorithms do not fit the key",
                "HS256/384/512 go with secret_env or secret_file, all others with public keys",
            ));
        }
        Ok(Issuer {
            place: self.source.place(&span),
            issuer: issuer.issuer.into_inner(),
            audience: issuer.audience.into_inner(),
            algorithms,
            keys,
            trusted_claims: trusted_claims(issuer.trusted_claims),
            leeway,
            required_typ: issuer.required_typ,
        })
    }

    /// One family only: a list that mixes families is how a public key comes to be taken for an
    /// HMAC secret (RFC 8725 §2.1).
    fn algorithms(&self, names: &toml::Spanned<Vec<String>>) -> Result<Vec<Algorithm>, Diagnostic> {
        const KNOWN: [&str; 12] = [
            "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "HS256",
            "HS384", "HS512",
        ];
        let mut algorithms = Vec::new();
        for name in names.get_ref() {
            let algorithm: Algorithm = name.parse().map_err(|_| {
                let help = match nearest(name, KNOWN) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known: {}", KNOWN.join(", ")),
                };
                self.problem(names.span(), format!("unknown algorithm `{name}`"), help)
            })?;
            algorithms.push(algorithm);
        }
        match algorithms.first().map(|first| first.family()) {
            None => {
                Err(self.problem(names.span(), "algorithms is empty", "list what your issuer signs with"))
            }
            Some(family) if algorithms.iter().any(|other| other.family() != family) => Err(self.problem(
                names.span(),
                "algorithms mixes families",
                "keep one of RSA (RS*, PS*), EC (ES*), EdDSA or HMAC (HS*); use one [[issuer]] per family",
            )),
            Some(_) => Ok(algorithms),
        }
    }

    fn sts(&self, section: toml::Spanned<file::Sts>) -> Result<Sts, Diagnostic> {
        let span = section.span();
        let sts = section.into_inner();
        let action = match (sts.action, sts.role_arn, sts.external_id) {
            (file::StsAction::GetFederationToken, None, None) => StsAction::GetFederationToken,
            (file::StsAction::AssumeRole, Some(role_arn), _)
                if !role_arn.get_ref().starts_with("qcs::cam::") =>
            {
                return Err(self.problem(
                    role_arn.span(),
                    format!("`{}` is not a role's ARN", role_arn.get_ref()),
                    "write it like \"qcs::cam::uin/<account>:roleName/<role>\"",
                ));
            }
            (file::StsAction::AssumeRole, Some(role_arn), external_id) => StsAction::AssumeRole {
                role_arn: role_arn.into_inner(),
                external_id: external_id.map(toml::Spanned::into_inner),
            },
            (file::StsAction::AssumeRole, None, _) => {
                return Err(self.problem(
                    span,
                    "AssumeRole needs role_arn",
                    "add role_arn = \"qcs::cam::uin/<account>:roleName/<role>\"",
                ));
            }
            (file::StsAction::GetFederationToken, Some(field), _)
            | (file::StsAction::GetFederationToken, None, Some(field)) => {
                return Err(self.problem(
                    field.span(),
                    "GetFederationToken takes no role",
                    "remove it, or set action = \"AssumeRole\"",
                ));
            }
        };
        if !is_region(sts.region.get_ref()) {
            return Err(self.problem(
                sts.region.span(),
                format!("`{}` is not a region", sts.region.get_ref()),
                "write it like \"ap-guangzhou\"",
            ));
        }
        if sts.calls_per_second.get_ref().get() > 600 {
            return Err(self.problem(
                sts.calls_per_second.span(),
                "calls_per_second is above the account's quota of 600",
                "give at most 600, divided by the number of replicas",
            ));
        }
        let endpoint = match sts.endpoint {
            Some(endpoint) => self.url(&endpoint)?,
            None => self.url(&toml::Spanned::new(0..0, "https://sts.tencentcloudapi.com".to_owned()))?,
        };
        if endpoint.path() != "/" || endpoint.query().is_some() {
            return Err(self.problem(
                span,
                format!("sts.endpoint `{endpoint}` has a path, and the signature covers none"),
                "give scheme, host and port only",
            ));
        }
        if sts.timeout.0 < SHORTEST_TIMEOUT {
            return Err(self.problem(
                span,
                "sts.timeout is too short for any call",
                "give 100ms or more; 2s is usual",
            ));
        }
        let files = sts.secret_id_file.as_ref().zip(sts.secret_key_file.as_ref());
        let files = files.map(|(id, key)| CredentialFiles::Pair {
            id: self.base.join(id.get_ref()),
            key: self.base.join(key.get_ref()),
        });
        let id = self.secrets.one_of(sts.secret_id_env, sts.secret_id_file, "secret_id")?;
        let key = self.secrets.one_of(sts.secret_key_env, sts.secret_key_file, "secret_key")?;
        for half in [&id, &key].into_iter().flatten() {
            if !is_valid_key_part(half) {
                return Err(self.problem(
                    span,
                    "an operator's key holds a space, a line break or another byte no key has",
                    "put only the key there",
                ));
            }
        }
        let keys = match (id, key) {
            (Some(id), Some(key)) => {
                let credentials = SourceCredentials { secret_id: id, secret_key: key, token: None };
                SourceCredentialsConfig::Static(credentials, files)
            }
            (None, None) => SourceCredentialsConfig::of_provider_chain(self.secrets.environment),
            (Some(_), None) | (None, Some(_)) => {
                return Err(self.problem(
                    span,
                    "[sts] names only one half of the operator's keys",
                    "give both secret_id_env (or _file) and secret_key_env (or _file), or neither for the provider chain",
                ));
            }
        };
        if keys.are_temporary() && action == StsAction::GetFederationToken {
            return Err(self.problem(
                span,
                "no permanent keys were found, and GetFederationToken takes no others",
                "name them with secret_id_env and secret_key_env (or _file), or set action = \"AssumeRole\" with role_arn",
            ));
        }
        Ok(Sts {
            action,
            region: sts.region.into_inner(),
            endpoint,
            keys,
            calls_per_second: *sts.calls_per_second.get_ref(),
            timeout: sts.timeout.0,
        })
    }

    fn cache(&self, cache: &file::Cache) -> Result<Cache, Diagnostic> {
        let refresh_at = *cache.refresh_at.get_ref();
        if !(0.0..1.0).contains(&refresh_at) {
            return Err(self.problem(
                cache.refresh_at.span(),
                format!("refresh_at = {refresh_at} is not a share of a key's life"),
                "give a number from 0.0 (never refresh ahead) to below 1.0, like 0.3",
            ));
        }
        let advice_bytes = cache.advice_bytes.get_ref().0;
        if advice_bytes.is_some_and(|bytes| !ADVICE_BYTES.contains(&bytes)) {
            return Err(self.problem(
                cache.advice_bytes.span(),
                "advice_bytes holds too few asks, or more than can be replayed while somebody waits",
                "give \"64KiB\" to \"64MiB\", or \"off\"",
            ));
        }
        Ok(Cache {
            max_bytes: cache.max_bytes.0,
            min_remaining: cache.min_remaining.map(|span| span.0),
            refresh_at,
            advice_bytes,
        })
    }

    fn limits(&self, limits: file::Limits) -> Result<Limits, Diagnostic> {
        let revoked = limits.revoked_file.map(|path| {
            let full = self.base.join(path.get_ref());
            let folder = full.parent().filter(|folder| !folder.as_os_str().is_empty());
            match tempfile::tempfile_in(folder.unwrap_or(Path::new("."))).map_err(|error| error.kind()) {
                // Once there is a folder, a file that is not there yet says that nobody is revoked.
                Err(ErrorKind::NotFound | ErrorKind::NotADirectory) => Err(self.problem(
                    path.span(),
                    format!("there is no folder for {}", path.get_ref().display()),
                    "make it, or mount it: whoever was revoked would be served",
                )),
                Err(ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => Err(self.problem(
                    path.span(),
                    format!("the folder of {} cannot be written", path.get_ref().display()),
                    "let the service's user write there: a revocation would not outlast a restart",
                )),
                // What else keeps it from being written, such as a full disk, may pass.
                Ok(_) | Err(_) => RevokedFile::open(full),
            }
        });
        Ok(Limits {
            per_user: limits.per_user,
            scopes_per_user: limits.scopes_per_user,
            revoked: revoked.transpose()?,
        })
    }

    /// HTTPS anywhere, plain HTTP on loopback only; never with credentials inside.
    pub(super) fn url(&self, text: &toml::Spanned<String>) -> Result<Url, Diagnostic> {
        let problem = |message: String| {
            self.problem(
                text.span(),
                message,
                "write it like \"https://host/path\"; http:// is taken for loopback only",
            )
        };
        let url = Url::parse(text.get_ref())
            .map_err(|error| problem(format!("`{}` is not a URL: {error}", text.get_ref())))?;
        let loopback = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
            Some(url::Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
            None => false,
        };
        match url.scheme() {
            _ if !url.username().is_empty() || url.password().is_some() => {
                Err(problem("a URL with credentials in it".to_owned()))
            }
            "https" => Ok(url),
            "http" if loopback => Ok(url),
            _ => Err(problem(format!("`{}` is not a safe URL", text.get_ref()))),
        }
    }

    pub(super) fn problem(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Diagnostic {
        self.source.problem(span, message, help)
    }
}

/// `[templates]`, its folder relative to the configuration.
pub(super) fn templates(section: file::Templates, base: &Path) -> Templates {
    Templates {
        dir: base.join(section.dir.into_inner()),
        default: section.default.map(toml::Spanned::into_inner),
    }
}

/// Claims by their paths, however they are written.
pub(super) fn trusted_claims(written: Vec<String>) -> Vec<String> {
    let bare = |claim: String| claim.strip_prefix("claim.").map(str::to_owned).unwrap_or(claim);
    written.into_iter().map(bare).collect()
}

/// The server library's own bound.
const MOST_WORKERS: usize = 512;
/// From some 2700 asks to 2.8 million.
const ADVICE_BYTES: RangeInclusive<u64> = 64 << 10..=64 << 20;
/// No call to STS comes back sooner.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(100);

/// A region's name is lower-case words joined by dashes: `ap-guangzhou`, `na-siliconvalley`.
fn is_region(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
