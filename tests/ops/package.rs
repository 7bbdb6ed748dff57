//! The artefacts that `make package` makes, and the shell scripts that make them. `make test` fetches umoci and shellcheck.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};

use crate::support::{JWT_SECRET, binary, cosbroker, repository, write_secret};

/// A small program, where it does not matter which.
const STAND_IN: &str = "/bin/true";

/// Where the source is published.
const SOURCE_URL: &str = "https://git.example.com/cosbroker";

/// What a command printed. Fails the test if the command failed.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:#?}");
    String::from_utf8(output.stdout).unwrap()
}

fn tool(path: &str) -> Command {
    let program = repository("target/tools").join(path);
    assert!(program.exists(), "{} is missing; run `make package-tools` once", program.display());
    Command::new(program)
}

/// Runs a script of `deploy/package` and returns the path of the artefact.
fn made(script: &str, binary: &Path, folder: &Path) -> PathBuf {
    let script = repository("deploy/package").join(script);
    let variables = [("SOURCE_DATE_EPOCH", "1700000000"), ("SOURCE_URL", SOURCE_URL)];
    output(Command::new(script).arg(binary).arg(folder).envs(variables));
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = files.as_slice() else { panic!("one artefact: {files:?}") };
    file.clone()
}

/// The binary under test without what debuggers read, as that of a release.
fn stripped(folder: &Path) -> PathBuf {
    let file = folder.join("cosbroker");
    output(Command::new("strip").arg("-o").arg(&file).arg(binary()));
    file
}

/// The lines of a listing by tar: mode, owner and path, without size and time.
fn listed(listing: &str) -> Vec<String> {
    let lines = listing.lines().map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        format!("{} {} {}", words[0], words[1], words[5])
    });
    lines.collect()
}

fn assert_serves(checked: &Output) {
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn the_debian_package_holds_a_service_that_can_be_configured_and_started() {
    let dir = tempfile::tempdir().unwrap();
    let package = made("debian.sh", &stripped(dir.path()), &dir.path().join("package"));

    let listing = listed(&output(Command::new("dpkg-deb").arg("--contents").arg(&package)));
    for line in [
        "-rwxr-xr-x root/root ./usr/bin/cosbroker",
        "-rw-r--r-- root/root ./usr/lib/systemd/system/cosbroker.service",
        "-rw-r--r-- root/root ./usr/share/doc/cosbroker/copyright",
        "-rw-r--r-- root/root ./etc/cosbroker/config.toml",
        "drwxr-xr-x root/root ./etc/cosbroker/policies/",
        "drwx------ root/root ./etc/cosbroker/secrets/",
    ] {
        assert!(listing.iter().any(|listed| listed == line), "{line} is missing: {listing:#?}");
    }
    let field = |name: &str| {
        output(Command::new("dpkg-deb").arg("--field").arg(&package).arg(name)).trim_end().to_owned()
    };
    assert_eq!(field("Package"), "cosbroker");
    assert_eq!(field("Version"), env!("CARGO_PKG_VERSION"));
    assert!(field("Depends").starts_with("libc6 (>= 2."), "{}", field("Depends"));
    let conffiles = output(Command::new("dpkg-deb").arg("--info").arg(&package).arg("conffiles"));
    assert_eq!(conffiles, "/etc/cosbroker/config.toml\n");

    let root = dir.path().join("root");
    output(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&root));
    let unit = std::fs::read_to_string(root.join("usr/lib/systemd/system/cosbroker.service")).unwrap();
    assert!(unit.contains("\nExecStart=/usr/bin/cosbroker serve "), "{unit}");
    assert!(unit.contains("\nType=notify\nExecReload=/bin/kill -HUP $MAINPID\n"), "{unit}");
    assert!(!unit.contains("notify-reload"), "{unit}");

    let packaged = root.join("usr/bin/cosbroker");
    let checked = Command::new(&packaged)
        .args(["check", "--config", "config.example.toml"])
        .current_dir(root.join("usr/share/doc/cosbroker/examples"))
        .env("APP_JWT_SECRET", JWT_SECRET)
        .env("TENCENTCLOUD_SECRET_ID", "id")
        .env("TENCENTCLOUD_SECRET_KEY", "key")
        .output();
    assert_serves(&checked.unwrap());
    assert_serves(
        &configured(&root, dir.path()).args(["check", "--config", "config.toml"]).output().unwrap(),
    );
}

/// The packaged configuration as its comment says to complete it, with the paths of this machine.
fn configured(root: &Path, dir: &Path) -> Command {
    let etc = root.join("etc/cosbroker");
    for secret in ["secret_id", "secret_key", "admin.token"] {
        write_secret(&etc.join("secrets").join(secret), "a-secret-of-more-than-thirty-two-bytes\n");
    }
    std::fs::copy(repository("policies/upload.toml"), etc.join("policies/upload.toml")).unwrap();
    let config = std::fs::read_to_string(etc.join("config.toml")).unwrap();
    let secrets = etc.join("secrets");
    let config = config.replace("/run/credentials/cosbroker.service", secrets.to_str().unwrap());
    let config = config.replace("/var/lib/cosbroker", dir.to_str().unwrap());
    std::fs::write(etc.join("config.toml"), config.replace("/var/log/cosbroker", dir.to_str().unwrap()))
        .unwrap();
    cosbroker(&etc)
}

#[test]
fn the_image_runs_the_service_as_an_unprivileged_user_and_says_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let image = made("image.sh", &stripped(dir.path()), &dir.path().join("package"));
    let layout = dir.path().join("layout");
    std::fs::create_dir(&layout).unwrap();
    output(Command::new("tar").arg("-xf").arg(&image).arg("-C").arg(&layout));

    // umoci checks every digest and media type while it unpacks.
    let name = format!("{}:cosbroker:{}", layout.display(), env!("CARGO_PKG_VERSION"));
    let bundle = dir.path().join("bundle");
    output(tool("umoci/usr/bin/umoci").args(["unpack", "--rootless", "--image", &name]).arg(&bundle));
    let runtime: Value =
        serde_json::from_str(&std::fs::read_to_string(bundle.join("config.json")).unwrap()).unwrap();
    let process = &runtime["process"];
    let command =
        ["/usr/local/bin/cosbroker", "serve", "--config", "/etc/cosbroker/config.toml", "--log", "json"];
    assert_eq!(process["args"], json!(command));
    assert_eq!([&process["user"]["uid"], &process["user"]["gid"]], [10001, 10001]);
    let labels = &runtime["annotations"];
    assert_eq!(labels["org.opencontainers.image.title"], "cosbroker");
    assert_eq!(labels["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(labels["org.opencontainers.image.licenses"], "Apache-2.0");
    assert_eq!(labels["org.opencontainers.image.created"], "2023-11-14T22:13:20Z");
    let revision = labels["org.opencontainers.image.revision"].as_str().unwrap();
    assert!(revision.len() == 40 || revision == "unknown", "{revision}");

    let root = bundle.join("rootfs");
    assert!(root.join("etc/ssl/certs/ca-certificates.crt").exists());
    assert!(root.join("var/lib/dpkg/status.d/libc6").exists());
    assert!(!root.join("bin/sh").exists());
    let temporary = std::fs::metadata(root.join("tmp")).unwrap();
    assert_eq!(temporary.permissions().mode() & 0o7777, 0o1777, "the sandbox writes its templates there");
    let version = output(&mut inside(&root, "usr/local/bin/cosbroker"));
    assert_eq!(version, format!("cosbroker {}\n", env!("CARGO_PKG_VERSION")));
}

/// `--version` of a program with the libraries of the image only, which needs no rights as a container does.
fn inside(root: &Path, program: &str) -> Command {
    let machine = std::env::consts::ARCH;
    let loader = match machine {
        "x86_64" => "lib64/ld-linux-x86-64.so.2",
        "aarch64" => "lib/ld-linux-aarch64.so.1",
        other => panic!("no image is made for {other}"),
    };
    let mut command = Command::new(root.join(loader));
    command.arg("--inhibit-cache").arg("--library-path");
    command.arg(root.join(format!("lib/{machine}-linux-gnu"))).arg(root.join(program)).arg("--version");
    command
}

#[test]
fn the_archive_holds_what_an_installation_by_hand_needs() {
    let dir = tempfile::tempdir().unwrap();
    let archive = made("archive.sh", Path::new(STAND_IN), dir.path());
    let listing = listed(&output(Command::new("tar").arg("-tvf").arg(&archive)));
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let root = format!("cosbroker-{}-{target}", env!("CARGO_PKG_VERSION"));
    for (mode, file) in [
        ("-rwxr-xr-x", "cosbroker"),
        ("-rw-r--r--", "LICENSE"),
        ("-rw-r--r--", "README.md"),
        ("-rw-r--r--", "config.example.toml"),
        ("-rw-r--r--", "policies/upload.toml"),
        ("-rw-r--r--", "systemd/cosbroker.service"),
        ("-rw-r--r--", "monitoring/prometheus.yml"),
        ("-rw-r--r--", "monitoring/cosbroker.rules.yml"),
        ("-rw-r--r--", "monitoring/cosbroker.json"),
    ] {
        let line = format!("{mode} 0/0 {root}/{file}");
        assert!(listing.contains(&line), "{line} is missing: {listing:#?}");
    }
    let rules = format!("{root}/monitoring/cosbroker.rules.yml");
    let rules = output(Command::new("tar").arg("-xOf").arg(&archive).arg(rules));
    let links: Vec<_> = rules.lines().filter(|line| line.contains("runbook_url: ")).collect();
    let published = format!("{SOURCE_URL}/blob/v{}/docs/operate/", env!("CARGO_PKG_VERSION"));
    assert!(!links.is_empty() && links.iter().all(|link| link.contains(&published)), "{links:#?}");
}

#[test]
fn the_same_binary_and_commit_give_the_same_artefacts() {
    let dir = tempfile::tempdir().unwrap();
    for script in ["archive.sh", "debian.sh", "image.sh"] {
        let [first, second] = ["first", "second"].map(|round| {
            let artefact = made(script, Path::new(STAND_IN), &dir.path().join(script).join(round));
            std::fs::read(artefact).unwrap()
        });
        assert!(first == second, "{script}: the artefacts differ");
    }
}

#[test]
fn the_shell_scripts_have_no_findings() {
    let mut shellcheck = tool("shellcheck/bin/shellcheck");
    shellcheck.arg("--external-sources").current_dir(repository(""));
    shellcheck.args([".ci/run", "deploy/package/archive.sh", "deploy/package/common.sh"]);
    shellcheck.args(["deploy/package/debian.sh", "deploy/package/image.sh"]);
    shellcheck.args(["postinst", "prerm", "postrm"].map(|script| format!("deploy/package/debian/{script}")));
    output(&mut shellcheck);
}
