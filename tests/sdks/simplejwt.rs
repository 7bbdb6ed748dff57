//! A login that many apps have, Django with the package `SimpleJWT` from `PyPI`, as the issuer: from a user's name and
//! password to an upload, by the recipe in `logins/`.

use crate::{
    login_server::LoginServer,
    sdks::python,
    support::{Broker, JWT_SECRET, Setup, emulator, repository},
};

/// A broker that takes the tokens of this login as its recipe says.
fn broker_by_the_recipe(cloud: std::net::SocketAddr) -> Broker {
    let recipe = std::fs::read_to_string(repository("logins/django-simplejwt.toml")).unwrap();
    let (issuer, require) = recipe.split_once("\n[require]\n").unwrap();
    let issuer = issuer.replace("DJANGO_SIGNING_KEY", "JWT_SECRET");
    let mut setup = Setup::new(cloud);
    let start = setup.config.find("[[issuer]]").unwrap();
    let end = setup.config.find("[templates]").unwrap();
    setup.config.replace_range(start..end, &format!("{issuer}\n"));
    for (_, template) in &mut setup.templates {
        *template = template.replacen("[[statement]]", &format!("[require]\n{require}\n[[statement]]"), 1);
    }
    setup.start()
}

#[tokio::test]
async fn a_user_of_django_simplejwt_logs_in_with_a_password_and_uploads() {
    let (cloud, _) = emulator();
    let mut program = python("simplejwt.py");
    let program = program.arg(format!("http://{cloud}")).env("DJANGO_SIGNING_KEY", JWT_SECRET);
    let (mut django, _) = LoginServer::start(program);
    let broker = broker_by_the_recipe(cloud);
    for (user, home) in [("alice", "users/1/"), ("bob", "users/2/")] {
        let tokens = django.ask(&format!("login {user}"));
        let credentials = broker.get("/v1/credentials", tokens["access"].as_str().unwrap()).await;
        assert_eq!(credentials.status, 200, "{}\n{}", credentials.body, broker.log());
        assert_eq!(credentials.json()["prefix"], home);
        assert_eq!(django.ask(&format!("upload {}", credentials.json())), 200);
        let mut elsewhere = credentials.json();
        elsewhere["prefix"] = "users/3/".into();
        assert_eq!(django.ask(&format!("upload {elsewhere}")), 403);

        let refused = broker.get("/v1/credentials", tokens["refresh"].as_str().unwrap()).await;
        assert_eq!(refused.status, 403, "a refresh token is not for keys: {}", refused.body);
    }
}
