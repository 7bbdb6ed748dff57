//! An OpenID provider that many apps use, the npm package `oidc-provider`, as the issuer: from its token to an upload.

use crate::{
    login_server::LoginServer,
    sdks::node,
    support::{Setup, emulator},
};

fn token(provider: &mut LoginServer) -> String {
    provider.ask("token").as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_login_at_an_openid_provider_leads_to_an_upload_before_and_after_its_keys_are_rotated() {
    let (cloud, _) = emulator();
    let (mut provider, issuer) = LoginServer::start(node("openid.mjs").arg(format!("http://{cloud}")));
    // The issuer alone: its discovery document says all the rest.
    let broker = Setup::new(cloud)
        .with("algorithms = [\"HS256\"]\n", "")
        .with("secret_env = \"JWT_SECRET\"\n", "")
        .with("https://id.test/", &issuer)
        .start();
    let first = token(&mut provider);
    let credentials = broker.get("/v1/credentials", &first).await;
    assert_eq!(credentials.status, 200, "{}\n{}", credentials.body, broker.log());
    assert_eq!(credentials.json()["prefix"], "users/alice/");
    assert_eq!(provider.ask(&format!("upload {}", credentials.json())), 200);

    provider.ask("rotate");
    let second = token(&mut provider);
    assert_ne!(first, second);
    let answer = loop {
        let answer = broker.get("/v1/credentials", &second).await;
        if answer.status != 503 {
            break answer;
        }
        // Two fetches within a second are one too many.
        let seconds: u64 = answer.header("retry-after").parse().unwrap();
        tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
    };
    assert_eq!(answer.status, 200, "{}\n{}", answer.body, broker.log());
    assert_eq!(provider.ask(&format!("upload {}", answer.json())), 200);
    assert_eq!(broker.get("/v1/credentials", &first).await.status, 401, "its key was withdrawn");
}
