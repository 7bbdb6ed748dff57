//! systemd judges the unit in `deploy/systemd`.

use std::process::Command;

use crate::support::{binary, repository};

/// The exposure that the unit may have, in tenths. systemd-analyze counts from 0 (closed) to 10; a service without
/// hardening has 9.6.
const MAX_EXPOSURE: &str = "15";

#[test]
fn systemd_accepts_the_unit_and_finds_it_hardened() {
    let unit = std::fs::read_to_string(repository("deploy/systemd/cosbroker.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/local/bin/cosbroker serve "), "{unit}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cosbroker.service");
    // The binary under test, which is not installed.
    let unit = unit.replace("/usr/local/bin/cosbroker", binary().to_str().unwrap());
    std::fs::write(&file, for_this_systemd(&unit)).unwrap();
    for arguments in [
        ["verify", "--man=no", "--recursive-errors=no"],
        ["security", "--offline=true", &format!("--threshold={MAX_EXPOSURE}")],
    ] {
        let judged = Command::new("systemd-analyze").args(arguments).arg(&file).output();
        let judged =
            judged.unwrap_or_else(|error| panic!("systemd-analyze: {error}; install the package systemd"));
        assert!(judged.status.success(), "{judged:#?}");
        assert!(!String::from_utf8_lossy(&judged.stderr).contains("cosbroker.service:"), "{judged:#?}");
    }
}

/// The unit as it tells to change it for systemd before version 253, which has no `notify-reload`.
fn for_this_systemd(unit: &str) -> String {
    assert!(unit.contains("Type=notify-reload\n"), "{unit}");
    let version = Command::new("systemd-analyze").arg("--version").output();
    let version =
        version.unwrap_or_else(|error| panic!("systemd-analyze: {error}; install the package systemd"));
    let version = String::from_utf8(version.stdout).unwrap();
    let number: u32 = version.split_whitespace().nth(1).unwrap().parse().unwrap();
    if number >= 253 {
        return unit.to_owned();
    }
    unit.replace("Type=notify-reload\n", "Type=notify\nExecReload=/bin/kill -HUP $MAINPID\n")
}
