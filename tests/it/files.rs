//! Files that are no files, are too large, or are readable by others.

use std::{
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Output,
};

use crate::support::{
    Answer, Answers, CannedSts, JWT_SECRET, Setup, Signal, cosbroker, make_fifo, token, write_secret,
};

/// Puts something at a path.
type Put = fn(&Path);

fn with_secret_file() -> Setup {
    let sts = CannedSts::start(Answers::Key(1800));
    Setup::new(sts.address).with("secret_env = \"JWT_SECRET\"", "secret_file = \"jwt.secret\"")
}

/// Runs `serve` where this was put for the secret. It ends because it cannot start.
fn serve_with(put: impl FnOnce(&Path)) -> Output {
    let dir = with_secret_file().write();
    put(&dir.path().join("jwt.secret"));
    cosbroker(dir.path()).args(["serve", "--config", "config.toml"]).output().unwrap()
}

fn write_with_mode(path: &Path, mode: u32) {
    write_secret(path, JWT_SECRET);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_is_no_secret_file_keeps_the_service_from_starting_and_is_named() {
    let cases: [(Put, &str); 6] = [
        (make_fifo, "is a pipe"),
        (|path| symlink("/dev/zero", path).unwrap(), "is a device"),
        (|path| std::fs::create_dir(path).unwrap(), "is a folder"),
        (|path| write_secret(path, &"x".repeat(1 << 20)), "is larger than"),
        (|path| write_with_mode(path, 0o666), "its mode 0666 lets others read or write it; run `chmod 600 "),
        (|path| write_secret(path, &format!("-----BEGIN PUBLIC KEY-----\n{JWT_SECRET}")), "in PEM"),
    ];
    for (put, message) in cases {
        let output = serve_with(put);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("config.toml:11:15") && said.contains(message), "{message}: {said}");
        assert!(!said.contains(JWT_SECRET), "{said}");
    }
}

/// Kubernetes mounts each file as a link to a link to the file of the present version.
#[tokio::test]
async fn a_secret_behind_links_is_read() {
    let broker = with_secret_file().start_with(|dir| {
        std::fs::create_dir(dir.join("..version")).unwrap();
        write_with_mode(&dir.join("..version/jwt.secret"), 0o440);
        symlink("..version", dir.join("..data")).unwrap();
        symlink("..data/jwt.secret", dir.join("jwt.secret")).unwrap();
    });
    assert_eq!(broker.get("/v1/credentials", &token("alice")).await.status, 200);
}

#[tokio::test]
async fn a_template_that_becomes_a_pipe_or_a_device_is_refused_while_the_last_good_ones_serve() {
    let mut broker = Setup::new(CannedSts::start(Answers::Key(1800)).address).start();
    let template = broker.dir().join("policies/upload.toml");
    let shipped = std::fs::read_to_string(&template).unwrap();
    let replacements: [(Put, &str); 3] = [
        (make_fifo, "is a pipe"),
        (|path| symlink("/dev/zero", path).unwrap(), "is a device"),
        (|path| std::fs::write(path, "#".repeat(2 << 20)).unwrap(), "is larger than 1048576 bytes"),
    ];
    for (replace, problem) in replacements {
        std::fs::remove_file(&template).unwrap();
        replace(&template);
        let (status, body) = broker.reload().await;
        assert_eq!(status, 409, "{body}");
        assert!(body["problems"][0].as_str().unwrap().contains(problem), "{body}");
        assert_eq!(broker.get("/v1/credentials", &token("alice")).await.status, 200);
    }
    std::fs::remove_file(&template).unwrap();
    std::fs::write(&template, shipped).unwrap();
    assert_eq!(broker.reload().await.0, 200);
    broker.signal(Signal::TERM);
    assert_eq!(tokio::task::spawn_blocking(move || broker.ended()).await.unwrap(), Some(0));
}

#[tokio::test]
async fn many_requests_for_a_reload_are_all_answered() {
    let broker = Setup::new(CannedSts::start(Answers::Key(1800)).address).start();
    let url = format!("http://{}/api/reload", broker.operators);
    let requests = (0..200).map(|_| tokio::spawn(Answer::of(broker.http.post(&url))));
    for answer in requests.collect::<Vec<_>>() {
        assert_eq!(answer.await.unwrap().json()["outcome"], "unchanged");
    }
    let reloads = broker.figure(&["cosbroker_template_reloads_total"]).await;
    assert!(reloads < 200, "they share reloads, of which there were {reloads}");
}
