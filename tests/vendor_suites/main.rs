//! The vendor's own tests of its SDKs, against the sandbox. `make vendor-suites` takes them from checkouts of the vendor's
//! repositories, and runs this.
//!
//! Nothing of them is in this repository but the names of those that are left out, with the reason. All others must pass.
#![expect(clippy::unwrap_used, reason = "a failed helper should stop the test")]
#![expect(clippy::print_stdout, reason = "what the suites say is for the reader")]

use cosbroker_test_support as support;

mod suite;

use suite::Suite;

#[test]
fn the_tests_of_the_node_sdk_pass() {
    Suite { sdk: "cos-nodejs-sdk-v5", interpreter: "node", program: "node_suite.mjs", arguments: &[] }.run();
}

#[test]
fn the_tests_of_the_sdk_for_browsers_pass_in_chromium() {
    Suite {
        sdk: "cos-js-sdk-v5",
        interpreter: "node",
        program: "browser_suite.mjs",
        arguments: &["/usr/bin/chromium"],
    }
    .run();
}

#[test]
fn the_tests_of_the_python_sdk_pass() {
    Suite {
        sdk: "cos-python-sdk-v5",
        interpreter: "target/oracle/bin/python",
        program: "python_suite.py",
        arguments: &[],
    }
    .run();
}
