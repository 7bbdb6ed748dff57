//! A bare server of the same HTTP library, which answers each request with nothing: what a hit is compared with.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Stdio},
};

use actix_web::{App, HttpResponse, HttpServer, rt::System, web};

use crate::{
    BenchError,
    broker::{command, terminate},
};

/// The mode in which this program is that server.
pub(crate) const MODE: &str = "serve-bare";

/// Serves until SIGTERM, and says where.
pub(crate) fn serve(workers: usize) -> Result<(), BenchError> {
    let app = || App::new().route("/v1/credentials", web::get().to(HttpResponse::Ok));
    System::new().block_on(async move {
        let server = HttpServer::new(app).workers(workers).bind("127.0.0.1:0")?;
        for address in server.addrs() {
            println!("{address}");
        }
        std::io::stdout().flush()?;
        server.run().await
    })?;
    Ok(())
}

/// That server, running.
#[derive(Debug)]
pub(crate) struct Bare {
    process: Child,
    pub(crate) address: String,
}

impl Bare {
    /// Starts it, under another program if `under` has words.
    pub(crate) fn start(workers: usize, under: &[&str], dir: &Path) -> Result<Self, BenchError> {
        let mut process = command(under, &env::current_exe()?)
            .args([MODE, &workers.to_string()])
            .current_dir(dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut address = String::new();
        BufReader::new(process.stdout.take().ok_or("no output")?).read_line(&mut address)?;
        Ok(Self { process, address: address.trim().to_owned() })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn stop(&mut self) -> Result<(), BenchError> {
        terminate(&mut self.process)
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
