//! systemd judges the unit in `deploy/systemd`.

use std::process::Command;

use crate::support::{binary, repository};

/// systemd-analyze counts from 0 (nothing is open) to 10; services that are not hardened have 9.6. 1.5 is what
/// the unit may come to, in tenths.
const EXPOSURE: &str = "15";

#[test]
fn systemd_takes_the_unit_and_finds_it_hardened() {
    let unit = std::fs::read_to_string(repository("deploy/systemd/cosbroker.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/local/bin/cosbroker serve "), "{unit}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cosbroker.service");
    // Where the program is, if it is not installed here.
    std::fs::write(&file, unit.replace("/usr/local/bin/cosbroker", binary().to_str().unwrap())).unwrap();
    for arguments in [
        ["verify", "--man=no", "--recursive-errors=no"],
        ["security", "--offline=true", &format!("--threshold={EXPOSURE}")],
    ] {
        let said = Command::new("systemd-analyze").args(arguments).arg(&file).output();
        let said =
            said.unwrap_or_else(|error| panic!("systemd-analyze: {error}; install the package systemd"));
        assert!(said.status.success(), "{said:#?}");
        assert!(!String::from_utf8_lossy(&said.stderr).contains("cosbroker.service:"), "{said:#?}");
    }
}
