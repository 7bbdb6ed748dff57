//! Servers of others: nginx, cossign, and Flask and Node with the vendor's SDKs. `make bench` installs them.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    BenchError,
    broker::{command, terminate},
    client::connect,
    compare::SERVER_CORE,
};

const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers");
const START_TIMEOUT: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Where they are installed.
#[derive(Debug)]
pub(crate) struct Peers(PathBuf);

/// One that runs.
#[derive(Debug)]
pub(crate) struct Peer {
    process: Child,
    pub(crate) name: &'static str,
    pub(crate) address: String,
    pub(crate) path: &'static str,
    _dir: Option<TempDir>,
}

impl Peers {
    pub(crate) fn new(installed: &Path) -> Result<Self, BenchError> {
        Ok(Self(fs::canonicalize(installed)?))
    }

    /// Starts those that call STS, one after the other: each ends before the next starts.
    pub(crate) fn start_all(&self, sts: &str) -> impl Iterator<Item = Result<Peer, BenchError>> {
        let python = self.0.join("python/bin/python");
        let modules = self.0.join("node_modules").display().to_string();
        let programs = [
            ("cossign", python.clone(), vec!["cossign_server.py".to_owned()], "/sign"),
            ("Flask, qcloud-python-sts", python, vec!["flask_server.py".to_owned()], "/v1/credentials"),
            (
                "Node, qcloud-cos-sts",
                PathBuf::from("node"),
                vec!["node_server.cjs".to_owned(), modules],
                "/v1/credentials",
            ),
        ];
        let sts = sts.to_owned();
        programs.into_iter().map(move |(name, program, mut arguments, path)| {
            let port = free_port()?;
            arguments.extend([sts.clone(), port.to_string()]);
            let process = command(&SERVER_CORE, &program)
                .args(arguments)
                .current_dir(PROGRAMS)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            Peer { process, name, address: format!("127.0.0.1:{port}"), path, _dir: None }.when_ready()
        })
    }

    /// Starts nginx with one worker and a file of this content.
    pub(crate) fn nginx(&self, content: &[u8]) -> Result<Peer, BenchError> {
        let (dir, port) = (tempfile::tempdir()?, free_port()?);
        fs::write(dir.path().join("key.json"), content)?;
        let root = dir.path().display();
        let config = format!(
            "daemon off; master_process off; worker_processes 1; pid {root}/pid; error_log stderr error;\n\
             events {{ worker_connections 256; }}\n\
             http {{ access_log off; keepalive_requests 100000000; open_file_cache max=10; sendfile on;\n\
             client_body_temp_path {root}; proxy_temp_path {root}; fastcgi_temp_path {root};\n\
             uwsgi_temp_path {root}; scgi_temp_path {root};\n\
             server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n"
        );
        let file = dir.path().join("nginx.conf");
        fs::write(&file, config)?;
        let process = command(&SERVER_CORE, &self.0.join("nginx"))
            .arg("-c")
            .arg(file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let address = format!("127.0.0.1:{port}");
        let nginx =
            Peer { process, name: "nginx, a static file", address, path: "/key.json", _dir: Some(dir) };
        nginx.when_ready()
    }
}

impl Peer {
    fn when_ready(mut self) -> Result<Self, BenchError> {
        let began = Instant::now();
        while connect(&self.address).is_err() {
            if began.elapsed() > START_TIMEOUT || self.process.try_wait()?.is_some() {
                return Err(format!("{} did not start: see benches/load/peers.rs", self.name).into());
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(self)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended.
        let _ = terminate(&mut self.process);
    }
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, BenchError> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
